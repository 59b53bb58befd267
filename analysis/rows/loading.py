"""Results -> validated rows, what they say together, and all that is wrong or missing."""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from analysis.rows import flags, missing, progress, scan, versions
from analysis.rows.overview import (
    IDENTITY,
    Overview,
    facts,
    newest,
    of_probe,
    of_trial,
    rows_at,
    summarised,
    without,
)
from analysis.rows.scan import PROBE, ROW, TRIAL, Place
from rotgrid.results.columns import KEYS, TableName
from rotgrid.results.grids import launched_plans, launched_versions
from rotgrid.results.inventory import State


class NoResults(LookupError):
    """There is not a single row to analyse; the message says where it was looked for."""


class Wanted(NamedTuple):
    """Which rows to load; of all others it is only said that they are there."""

    rows: pl.Expr = pl.lit(True)
    columns: Sequence[str] = ()
    """Beside those of `overview.IDENTITY`; all if empty."""
    only: Mapping[str, pl.Expr] = {}
    """Of columns that need much memory: the rows for which they are kept; elsewhere they are
    null."""
    few: int = 0
    """If so many rows or fewer are stored, all of them are wanted, and `only` does not hold for
    columns that it keeps for `rows`."""

    def of(self, stored: int) -> "Wanted":
        """What is wanted of so many stored rows."""
        if stored > self.few:
            return self
        only = {name: where for name, where in self.only.items() if where is not self.rows}
        return self._replace(rows=pl.lit(True), only=only)


EVERYTHING, NOTHING = Wanted(), Wanted(pl.lit(False))
KEY = list(KEYS["evaluations"])


class Loaded(NamedTuple):
    """All that is known about some results locations."""

    rows: pl.DataFrame
    """The rows that were asked for, each (trial, probe) once; `n_correct` fits `n` and `correct`;
    `flags` are the failed checks that speak against a row, `cautions` those that would against
    another attack (`analysis.rows.flags.against_rows`)."""
    problems: list[str]
    grids: list[str]
    """Names of the grids that were launched and can be read."""
    diagnostics: pl.DataFrame
    """A row per (trial, probe, check) of the networks."""
    failed: pl.DataFrame
    """A row per network and check that it fails: `value` and `limit`."""
    overview: Overview
    """What all rows say, asked for or not."""
    training: pl.DataFrame = pl.DataFrame()
    """A row per epoch of the networks."""
    equivariance: pl.DataFrame = pl.DataFrame()
    """A row per (angle, layer) of the networks."""
    unfinished: pl.DataFrame = pl.DataFrame()
    """A row per epoch of the trainings under way, as in `training`; no verdict reads them."""
    progress: Mapping[str, State] = {}
    """The state of each trial that a launched grid asks for, by key."""


class _Evaluations(NamedTuple):
    """Valid rows of some places."""

    rows: pl.DataFrame
    overview: Overview
    transferred: pl.DataFrame
    """What `flags.transferred` needs."""
    begun: set[str]
    """The trials that have rows,"""
    measured: pl.Series
    """and a number for each (trial, probe), both with those of earlier versions."""
    older: pl.DataFrame
    """The versions that were left out."""
    problems: list[str]


def load(*locations: Place) -> pl.DataFrame:
    """All valid evaluations of the locations, each (trial, probe) once, the newest, sorted by
    their fields.

    Of own networks, data, attacks, adversaries and recipes the rows of *every* version are there,
    told apart by `model_digest` and its like and by `recipe_settings`. `newest_versions` keeps
    those that the report is made of; what would average several versions refuses them.

    Columns and types are those of `rotgrid.results`, also if there is no row or no such folder;
    and `flags` and `cautions`, see `Loaded`. Ask `problems` what was left out.

    Raises:
        OSError: a location or a file there cannot be reached; a damaged file is left out.
    """
    return gather(*locations, every_version=True).rows.sort(*TRIAL, *PROBE)


def problems(*locations: Place) -> list[str]:
    """Everything wrong or missing: skipped files, duplicates, impossible counts, failed trials,
    planned trials and probes without rows, rows of earlier versions of own names, which the
    report leaves out, and networks that fail checks. Empty if all is well."""
    return gather(*locations, wanted=NOTHING).problems


def training(*locations: Place) -> pl.DataFrame:
    """A row per (trial, epoch), the newest of each."""
    return _table(_readable(locations), "training")[0]


def equivariance(*locations: Place) -> pl.DataFrame:
    """A row per (trial, angle, layer): how far the layer is from equivariance."""
    return _table(_readable(locations), "equivariance")[0]


def diagnostics(*locations: Place) -> pl.DataFrame:
    """A row per (trial, probe, check): what was measured, and whether the network passes."""
    return _table(_readable(locations), "diagnostics")[0]


def gather(*locations: Place, wanted: Wanted = EVERYTHING, every_version: bool = False) -> Loaded:
    """The rows that are wanted, what all of them say, and what is wrong or missing. Unless
    `every_version`, rows of earlier versions of own names count as if they were not there.

    Raises:
        OSError: a location or a file there cannot be reached; a damaged file is left out.
    """
    places = _readable(locations)
    lines = [line for place in locations for line in missing.unreadable(place)]
    stored = [(place, *launched_plans(place)) for place in places]
    launched: dict[str, str] = {}
    for place, plans, _ in stored:
        launched |= launched_versions(place, plans)
    found, of_files = scan.read(
        places, "evaluations", lambda rows: _evaluations(rows, wanted, every_version, launched)
    )
    lines += [*of_files.skipped, *(f"{os.fspath(p)}: no evaluations" for p in of_files.empty)]
    tables: dict[TableName, pl.DataFrame] = {}
    networks = found.overview.networks
    for table in ("diagnostics", "training", "equivariance"):
        rows, skipped = _table(places, table)
        tables[table] = rows.join(networks, on="trial", how="semi", maintain_order="left")
        lines += skipped
    lines += [*found.problems, *missing.unknown_words(found.overview)]
    lines += [line for place in places for line in missing.failed(place, launched)]
    grids: list[str] = []
    older = set(found.older.rows())
    states: dict[str, State] = {}
    for place, plans, unreadable in stored:
        lines += [missing.unreadable_grid(place, problem) for problem in unreadable]
        for name, plan in plans.items():
            asked = missing.asked(plan, found.measured, older, launched)
            lines += missing.unanswered(place, name, asked, found.begun)
            states = progress.furthest(states, progress.states(place, asked, found.begun))
        grids += plans
    failed = flags.failed(found.transferred, tables["diagnostics"], tables["training"])
    networks = flags.flagged(networks, failed, tables["diagnostics"])
    lines += missing.not_believed(networks)
    return Loaded(
        found.rows.hstack(flags.against_rows(found.rows, failed, tables["diagnostics"])),
        list(dict.fromkeys(lines)),
        list(dict.fromkeys(grids)),
        tables["diagnostics"],
        failed,
        found.overview._replace(networks=networks),
        tables["training"],
        tables["equivariance"],
        progress.unfinished(places, networks["trial"]),
        states,
    )


def _readable(locations: Sequence[Place]) -> list[Place]:
    return [place for place in locations if not [*missing.unreadable(place)]]


def _table(places: Sequence[Place], table: TableName) -> tuple[pl.DataFrame, list[str]]:
    """Each row once, the newest, sorted; and a line for every skipped file."""
    rows, found = scan.read(places, table, lambda rows: rows.collect(engine="streaming"))
    key = KEYS[table]
    return newest(rows, key).sort(key).drop(ROW), found.skipped


def _evaluations(
    stored: pl.LazyFrame, wanted: Wanted, every_version: bool, launched: Mapping[str, str]
) -> _Evaluations:
    """The valid rows; of repeated ones the newest counts.

    Raises:
        ChangedError: files were replaced meanwhile.
    """
    every = facts(stored)
    once = _once(every)  # needs much memory for a moment, so before there are rows
    rows = _chosen(stored, wanted.of(every.height))
    whole = summarised(stored, once, rows)
    current = _under_one_key(once, whole)
    wrong = current.filter(~pl.col("fits"))
    valid = without(current, wrong[ROW])
    lines = [
        *missing.repeated(every.height - once.height, once.height - current.height),
        *missing.impossible(rows_at(stored, wrong[ROW], missing.NAMED) if len(wrong) else wrong),
    ]
    measured = valid.select(pl.col("trial") ^ pl.col("probe")).to_series()
    begun = whole.networks.filter(of_trial().is_in(valid["trial"].unique().implode()))["trial"]
    older = versions.earlier(versions.seen_in(valid, whole), launched)
    if every_version:
        older = older.clear()
    for part in versions.by_name(older):
        lines.append(versions.line(part, int(versions.are_of(part, valid, whole).sum())))
    if older.height:
        valid = valid.filter(~versions.are_of(older, valid, whole))
    if valid.height < every.height:
        rows = _still(rows, valid)
        whole = summarised(stored, valid, rows)
    transferred = _transferred(stored, valid, whole)
    return _Evaluations(rows.drop(ROW), whole, transferred, set(begun), measured, older, lines)


def _chosen(stored: pl.LazyFrame, wanted: Wanted) -> pl.DataFrame:
    """The rows that are wanted, as they are stored."""
    every = scan.schema("evaluations")
    asked = {*IDENTITY, *flags.NOTICED, *(wanted.columns or every)}
    columns = [
        pl.when(wanted.only[name]).then(_copied(name, dtype)).alias(name)
        if name in wanted.only
        else pl.col(name)
        for name, dtype in every.items()
        if name in asked
    ]
    chosen = stored.filter(wanted.rows).select(ROW, *columns)
    pieces = chosen.collect(engine="streaming").get_columns()  # one for each file is slow to use
    return pl.DataFrame([pieces.pop(0).rechunk() for _ in range(len(pieces))])


def _copied(name: str, dtype: pl.DataType) -> pl.Expr:
    """Values that do not, as they are stored, hold on to those of all rows that were read."""
    column = pl.col(name)
    return column.bin.slice(0) if dtype == pl.Binary else column.list.slice(0)


def _once(facts: pl.DataFrame) -> pl.DataFrame:
    """Each (trial, probe) once, the newest."""
    distinct = facts.select((pl.col("trial") ^ pl.col("probe")).n_unique()).item()
    return facts if distinct == facts.height else newest(facts, KEY)


def _under_one_key(facts: pl.DataFrame, whole: Overview) -> pl.DataFrame:
    """Each measurement once, the newest, whatever its keys."""
    other = {
        "trial": _other_keys(whole.networks, TRIAL, of_trial()),
        "probe": _other_keys(whole.probes, PROBE, of_probe()),
    }
    if not any(other.values()):
        return facts
    named = facts.with_columns(pl.col(name).replace(keys) for name, keys in other.items())
    return _still(facts, newest(named, KEY))


def _other_keys(names: pl.DataFrame, fields: Sequence[str], key: pl.Expr) -> dict[int, int]:
    """Of trials or probes with equal fields: the number of the first by that of each other."""
    keys = names.select(*fields, _key=key).unique("_key", maintain_order=True)
    first = keys.select("_key", _first=pl.col("_key").first().over(fields))
    return dict(first.filter(pl.col("_key") != pl.col("_first")).iter_rows())


def _still(rows: pl.DataFrame, valid: pl.DataFrame) -> pl.DataFrame:
    """Those of the rows that are among the others."""
    return rows.join(valid.select(ROW), on=ROW, how="semi", maintain_order="left")


def _transferred(stored: pl.LazyFrame, valid: pl.DataFrame, whole: Overview) -> pl.DataFrame:
    """The rows of PGD and of transferred PGD of the networks that were tested with the latter."""
    hashes = valid.filter("transfer")["trial"].unique()
    if hashes.is_empty():
        return pl.DataFrame(schema=scan.schema("evaluations"))
    trials = whole.networks.filter(of_trial().is_in(hashes.implode()))["trial"]
    attacks = pl.col("attack").is_in(["pgd", "transfer"])
    chosen = stored.filter(attacks, pl.col("trial").is_in(trials.implode()))
    return _still(chosen.collect(engine="streaming"), valid)
