"""Parts on disk -> one validated frame, and one list of everything that is wrong or missing."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import polars as pl
import pyarrow as pa

from analysis import flags
from rotgrid import failures, grid, results, storage
from rotgrid.spec import Probe, Trial

Place = str | os.PathLike[str]
FIELDS = [*Trial.model_fields, *Probe.model_fields]
NAMED_AT_MOST = 5
"""Trials named in one line, or flagged ones in lines of their own; the rest are counted."""


class NoResults(LookupError):
    """There is not a single row to analyse; the message says where it was looked for."""


class Loaded(NamedTuple):
    """All that is known about some results locations."""

    rows: pl.DataFrame
    """A row per (trial, probe); `n_correct` fits `n` and `correct`; `flags` say what the trial
    fails (`analysis.flags`)."""
    problems: list[str]
    grids: list[str]
    """Names of the grids that were launched."""
    diagnostics: pl.DataFrame
    """A row per (trial, probe, check) of the trials in `rows`."""
    failed: pl.DataFrame
    """A row per trial in `rows` and check that it fails: `value` and `limit`."""


def load(*locations: Place) -> pl.DataFrame:
    """All valid evaluations of the locations, each (trial, probe) once, the newest.

    Columns and types are those of `rotgrid.results`, also if there is no row or no such folder;
    and `flags`, see `Loaded`. Ask `problems` what was left out.
    """
    return read(*locations).rows


def problems(*locations: Place) -> list[str]:
    """Everything wrong or missing, together: skipped files, duplicates, impossible counts, failed
    trials, planned trials and probes without rows, and networks that fail checks. Empty if all is
    well."""
    return read(*locations).problems


def training(*locations: Place) -> pl.DataFrame:
    """A row per (trial, epoch), the newest of each."""
    return _table(locations, "training")


def equivariance(*locations: Place) -> pl.DataFrame:
    """A row per (trial, angle, layer): how far the layer is from equivariance."""
    return _table(locations, "equivariance")


def diagnostics(*locations: Place) -> pl.DataFrame:
    """A row per (trial, probe, check): what was measured, and whether the network passes."""
    return _table(locations, "diagnostics")


def _table(locations: Sequence[Place], table: results.TableName) -> pl.DataFrame:
    rows, _ = _rows([place for place in locations if not _unreadable(place)], table)
    return _newest(rows, results.KEYS[table])


def read(*locations: Place) -> Loaded:
    """Rows, problems and names of grids in one pass."""
    found = [line for place in locations for line in _unreadable(place)]
    places = [place for place in locations if not _unreadable(place)]
    tables = {}
    for table in ("evaluations", "training", "diagnostics"):
        tables[table], skipped = _rows(places, table)
        found += skipped
    rows = tables["evaluations"]
    unique = _newest(rows, results.KEYS["evaluations"])
    if repeated := rows.height - unique.height:
        found.append(f"{repeated} rows repeat a (trial, probe); the newest of each is kept")
    current = _newest(unique, FIELDS)
    if older := unique.height - current.height:
        found.append(
            f"{older} rows repeat a measurement under another key (made by another revision or "
            "recipe of the same name); the newest of each is kept"
        )
    unique = current
    fits = _counts_fit(unique)
    found += [_impossible(row) for row in unique.filter(~fits).iter_rows(named=True)]
    valid = unique.filter(fits)
    found += [line for place in places for line in _failed(place)]
    measured = {
        trial: set(probes) for trial, probes in valid.group_by("trial").agg("probe").iter_rows()
    }
    grids = [(place, name) for place in places for name in storage.names(place, "grids", ".yaml")]
    found += [line for place, name in grids for line in _missing(place, name, measured)]
    names = [PurePosixPath(name).stem for _, name in grids]
    checks, epochs = (
        _newest(tables[table], results.KEYS[table]).join(
            valid, on="trial", how="semi", maintain_order="left"
        )
        for table in ("diagnostics", "training")
    )
    failed = flags.failed(valid, checks, epochs)
    flagged = flags.flagged(valid, failed, checks)
    found += _not_believed(flagged)
    unique_problems, unique_names = list(dict.fromkeys(found)), list(dict.fromkeys(names))
    return Loaded(flagged, unique_problems, unique_names, checks, failed)


def _unreadable(place: Place) -> list[str]:
    """Why nothing can be read at this place, if so."""
    try:
        storage.names(place, "evaluations", ".parquet")
    except (OSError, ValueError, pa.ArrowException) as error:
        return [f"{os.fspath(place)}: {str(error).splitlines()[0]}"]
    return []


def _rows(places: Sequence[Place], table: results.TableName) -> tuple[pl.DataFrame, list[str]]:
    frames, found = [_frame(pa.Table.from_batches([], results.SCHEMAS[table]))], []
    for place in places:
        rows, skipped = results.read(place, table)
        frames.append(_frame(rows))
        found += [f"{os.fspath(place)}: {line}" for line in skipped]
        if table == "evaluations" and not rows.num_rows and not skipped:
            found.append(f"{os.fspath(place)}: no evaluations")
    return pl.concat(frames), found


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _newest(rows: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """Each key once, in an order that does not depend on the file system."""
    newest = rows.sort("finished_at", descending=True, nulls_last=True, maintain_order=True)
    return newest.unique(key, keep="first", maintain_order=True).sort(key)


def _counts_fit(rows: pl.DataFrame) -> pl.Series:
    """Whether 0 <= n_correct <= n, and `correct` (where given) has n bits, n_correct of them 1."""
    bits = [
        None if packed is None else (len(packed), int.from_bytes(packed).bit_count())
        for packed in rows["correct"]
    ]
    fit = [
        n is not None
        and k is not None
        and n > 0
        and 0 <= k <= n
        and given in (None, (-(-n // 8), k))
        for n, k, given in zip(rows["n"], rows["n_correct"], bits, strict=True)
    ]
    return pl.Series("fits", fit, dtype=pl.Boolean)


def _impossible(row: Mapping[str, object]) -> str:
    return (
        f"{_network(row)}, trial {row['trial']}, test_rotation {row['test_rotation']}, "
        f"attack {row['attack']}, eps {row['eps']}: row left out: n_correct {row['n_correct']} "
        f"of n {row['n']} is out of range or differs from the bits of `correct`"
    )


def _not_believed(rows: pl.DataFrame) -> Iterator[str]:
    """The networks that fail checks."""
    networks = rows.filter(pl.col("flags") != "").unique("trial", maintain_order=True)
    for row in networks.head(NAMED_AT_MOST).iter_rows(named=True):
        yield (
            f"{_network(row)}, trial {row['trial']}: accuracy under attack not to be believed: "
            f"fails {row['flags']}"
        )
    if (more := networks.height - NAMED_AT_MOST) > 0:
        yield f"{more} more networks fail checks"


def _failed(place: Place) -> Iterator[str]:
    for key, failure in failures.read(place).items():
        who = _network(failure.trial) if failure.trial else "a trial"
        reason = failure.exception.strip().splitlines()[-1]
        yield f"{os.fspath(place)}: {who} failed (trial {key}): {reason}"


def _missing(place: Place, name: str, measured: Mapping[str, set[str]]) -> Iterator[str]:
    """What the launched grid plans but no row answers."""
    where = f"{os.fspath(place)}: {name}"
    try:
        plan = grid.parse((storage.get(place, name) or b"").decode(), name)
    except ValueError as error:  # GridError and bytes that are no text
        reason = str(error).splitlines()[0]
        yield f"{where}: unreadable grid, so what is missing is unknown: {reason}"
        return
    absent: list[Trial] = []
    partial: dict[Trial, int] = {}
    for trial, probes in plan.trials.items():
        done = measured.get(trial.key(), set())
        lacking = sum(probe.key() not in done for probe in probes)
        if not done and lacking:
            absent.append(trial)
        elif lacking:
            partial[trial] = lacking
    total = f"of {len(plan.trials)} trials"
    if absent:
        yield f"{where}: no rows of {len(absent)} {total}: {_names(absent)}"
    if partial:
        count = f"missing {sum(partial.values())} in all"
        yield f"{where}: not all probes of {len(partial)} {total}, {count}: {_names([*partial])}"


def _names(trials: Sequence[Trial]) -> str:
    named = [f"{_network(t.model_dump())} ({t.key()})" for t in trials[:NAMED_AT_MOST]]
    more = len(trials) - len(named)
    return "; ".join(named) + (f"; and {more} more" if more else "")


def _network(fields: Mapping[str, object]) -> str:
    """A trial in a few words."""
    words = [f"{fields.get('model', '?')} {fields.get('variant', '?')}"]
    words += [
        f"{name} {fields.get(name, '?')}" for name in ("train_rotation", "adversary", "seed")
    ]
    return ", ".join(words)
