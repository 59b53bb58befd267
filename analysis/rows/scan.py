"""Parts on disk -> one validated frame, and one list of everything that is wrong or missing."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Literal, NamedTuple, Union, get_args, get_origin

import polars as pl

from analysis.rows import flags, parquet, star
from analysis.rows.star import Rows
from rotgrid import grid
from rotgrid.results import failures, storage
from rotgrid.results.columns import KEYS, TableName
from rotgrid.spec import Probe, Trial

Place = str | os.PathLike[str]
FIELDS = [*Trial.model_fields, *Probe.model_fields]


def _words(annotation: object) -> set[object]:
    """The words that a field may hold; none if it may hold any."""
    kinds = get_args(annotation) if get_origin(annotation) is Union else (annotation,)
    return {word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)}


KNOWN = {
    name: words
    for record in (Trial, Probe)
    for name, field in record.model_fields.items()
    if name != "test_rotation" and (words := _words(field.annotation))
}
"""Words that this version knows, by field."""
MANY_WORDS = (
    "rows are so many that the outcomes of single images are not kept: paired tests, the check "
    "`transfer` and distances need fewer results at once"
)
NAMED_AT_MOST = 5
"""Trials named in one line, or flagged ones in lines of their own; the rest are counted."""


class NoResults(LookupError):
    """There is not a single row to analyse; the message says where it was looked for."""


class Loaded(NamedTuple):
    """All that is known about some results locations."""

    rows: Rows
    """A row per (trial, probe); `n_correct` fits `n` and `correct`; `flags` say what the trial
    fails (`analysis.rows.flags`)."""
    problems: list[str]
    grids: list[str]
    """Names of the grids that were launched."""
    diagnostics: pl.DataFrame
    """A row per (trial, probe, check) of the trials in `rows`."""
    failed: pl.DataFrame
    """A row per trial in `rows` and check that it fails: `value` and `limit`."""
    training: pl.DataFrame = pl.DataFrame()
    """A row per epoch of the trials in `rows`."""
    equivariance: pl.DataFrame = pl.DataFrame()
    """A row per (angle, layer) of the trials in `rows`."""


def load(*locations: Place) -> pl.DataFrame:
    """All valid evaluations of the locations, each (trial, probe) once, the newest, sorted by
    their fields.

    Columns and types are those of `rotgrid.results`, also if there is no row or no such folder;
    and `flags`, see `Loaded`. Ask `problems` what was left out.

    Raises:
        OSError: a location or a file there cannot be reached; a damaged file is left out.
    """
    return star.whole(gather(*locations).rows)


def problems(*locations: Place) -> list[str]:
    """Everything wrong or missing, together: skipped files, duplicates, impossible counts, failed
    trials, planned trials and probes without rows, and networks that fail checks. Empty if all is
    well."""
    return gather(*locations).problems


def training(*locations: Place) -> pl.DataFrame:
    """A row per (trial, epoch), the newest of each."""
    return _table(locations, "training")


def equivariance(*locations: Place) -> pl.DataFrame:
    """A row per (trial, angle, layer): how far the layer is from equivariance."""
    return _table(locations, "equivariance")


def diagnostics(*locations: Place) -> pl.DataFrame:
    """A row per (trial, probe, check): what was measured, and whether the network passes."""
    return _table(locations, "diagnostics")


def _table(locations: Sequence[Place], table: TableName) -> pl.DataFrame:
    places = [place for place in locations if not _unreadable(place)]
    return _unique(places, table)[0]


def _unique(places: Sequence[Place], table: TableName) -> tuple[pl.DataFrame, list[str]]:
    """Each row once, and a line for every skipped file."""
    frames, found = [parquet.empty(table)], []
    for place in places:
        for rows, skipped in parquet.batches(place, table, lambda rows: rows):
            frames.append(rows)
            found += skipped
    return parquet.newest(pl.concat(frames), KEYS[table]), found


def read(*locations: Place, whole: int | None = None) -> Loaded:
    """`gather`, with all rows in one frame."""
    loaded = gather(*locations, whole=whole)
    return loaded._replace(rows=star.whole(loaded.rows))


def gather(*locations: Place, whole: int | None = None) -> Loaded:
    """Rows, problems and names of grids in one pass.

    More than `whole` evaluations come as a `Star`. The outcomes of single images are then checked
    but not kept, nor are the counts per class of attacks on pixels; the rows are sorted by their
    keys.
    """
    found = [line for place in locations for line in _unreadable(place)]
    places = [place for place in locations if not _unreadable(place)]
    evaluations, skipped = _evaluations(places, whole)
    tables: dict[TableName, pl.DataFrame] = {}
    for table in ("training", "diagnostics", "equivariance"):
        tables[table], more = _unique(places, table)
        skipped += more
    valid, wrong = _valid(evaluations)
    found += [*skipped, *wrong, *_unknown(valid)]
    found += [line for place in places for line in _failed(place)]
    grids = [(place, name) for place in places for name in storage.names(place, "grids", ".yaml")]
    found += [line for place, name in grids for line in _missing(place, name, valid)]
    names = [PurePosixPath(name).stem for _, name in grids]
    networks = star.distinct(valid, ["trial"])
    checks, epochs, layers = (
        table.join(networks, on="trial", how="semi", maintain_order="left")
        for table in (tables["diagnostics"], tables["training"], tables["equivariance"])
    )
    failed = flags.failed(star.outcomes(valid), checks, epochs)
    flagged = star.with_of_trials(valid, flags.flagged(networks, failed, checks))
    found += _not_believed(flagged)
    if isinstance(valid, star.Star):
        found.append(f"{star.height(valid):,} {MANY_WORDS}")
    unique_problems, unique_names = list(dict.fromkeys(found)), list(dict.fromkeys(names))
    return Loaded(flagged, unique_problems, unique_names, checks, failed, epochs, layers)


def _evaluations(places: Sequence[Place], whole: int | None) -> tuple[Rows, list[str]]:
    """The rows, with a column `fits`, and a line for every skipped file and empty place."""
    height, most = 0, float("inf") if whole is None else whole
    many = sum(parquet.height(place, "evaluations") for place in places) > most
    stars: list[star.Star] = []
    frames = [_checked(parquet.empty("evaluations"))]
    found: list[str] = []
    for place in places:
        before = height, len(found)
        for rows, skipped in parquet.batches(place, "evaluations", _apart if many else _checked):
            found += skipped
            height += star.height(rows)
            if isinstance(rows, star.Star):
                stars.append(rows)
            else:
                frames.append(rows)
            if height > most:
                stars += [star.apart(frame, frame["fits"]) for frame in frames if len(frame)]
                frames = []
        if before == (height, len(found)):
            found.append(f"{os.fspath(place)}: no evaluations")
    return star.joined(stars) if stars else pl.concat(frames), found


def _apart(rows: pl.DataFrame) -> Rows:
    """The same, taken apart at once."""
    return star.apart(rows, parquet.fit(rows)) if len(rows) else _checked(rows)


def _checked(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of some parts, and whether their counts fit."""
    return rows.with_columns(fits=parquet.fit(rows))


def _valid(rows: Rows) -> tuple[Rows, list[str]]:
    """The rows that count, and lines on the others."""
    found = []
    unique = star.newest(rows, KEYS["evaluations"])
    if repeated := star.height(rows) - star.height(unique):
        found.append(f"{repeated} rows repeat a (trial, probe); the newest of each is kept")
    current = unique if star.told_apart(unique, FIELDS) else star.newest(unique, FIELDS)
    if older := star.height(unique) - star.height(current):
        found.append(
            f"{older} rows repeat a measurement under another key (made by another revision or "
            "recipe of the same name); the newest of each is kept"
        )
    wrong = star.narrow(current, ~pl.col("fits"))
    found += [_impossible(row) for row in wrong.iter_rows(named=True)]
    return star.fitting(current), found


def _unreadable(place: Place) -> list[str]:
    """Why this place cannot hold results, if so."""
    try:
        storage.locate(place)
    except ValueError as error:
        return [f"{os.fspath(place)}: {str(error).splitlines()[0]}"]
    return []


def _unknown(rows: Rows) -> Iterator[str]:
    """The words of rows that another version wrote and this one does not know."""
    for name, words in KNOWN.items():
        found = sorted(set(star.distinct(rows, [name])[name]) - words, key=str)
        if found:
            yield (
                f"{name} {', '.join(map(str, found))}: not known to this version of rotgrid; such "
                "rows count only where it does not matter"
            )


def _impossible(row: Mapping[str, object]) -> str:
    return (
        f"{_network(row)}, trial {row['trial']}, test_rotation {row['test_rotation']}, "
        f"attack {row['attack']}, eps {row['eps']}: row left out: n_correct {row['n_correct']} "
        f"of n {row['n']} is out of range or differs from the bits of `correct`"
    )


def _not_believed(rows: Rows) -> Iterator[str]:
    """The networks that fail checks."""
    networks = star.distinct(rows, ["trial", *Trial.model_fields, "flags"])
    networks = networks.filter(pl.col("flags") != "").unique("trial", maintain_order=True)
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


def _missing(place: Place, name: str, measured: Rows) -> Iterator[str]:
    """What the launched grid plans but no row answers."""
    where = f"{os.fspath(place)}: {name}"
    try:
        plan = grid.parse((storage.get(place, name) or b"").decode(), name)
    except ValueError as error:  # GridError and bytes that are no text
        reason = str(error).splitlines()[0]
        yield f"{where}: unreadable grid, so what is missing is unknown: {reason}"
        return
    trials = {trial.key(): trial for trial in plan.trials}
    pairs = [(key, probe.key()) for key, t in trials.items() for probe in plan.trials[t]]
    planned = pl.DataFrame(pairs, schema={"trial": pl.String, "probe": pl.String}, orient="row")
    lacking = star.lacking(measured, planned)
    begun = set(star.distinct(measured, ["trial"])["trial"])
    counts = dict(lacking.group_by("trial", maintain_order=True).len().iter_rows())
    absent = [trials[key] for key in counts if key not in begun]
    partial = {trials[key]: count for key, count in counts.items() if key in begun}
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
