"""What is wrong with results or missing from them, in words."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Union, get_args, get_origin

import polars as pl

from analysis.rows.flags import attacks_not_believed
from analysis.rows.overview import Overview, of_probe, of_trial
from analysis.rows.phrases import kind
from analysis.rows.scan import Place
from analysis.rows.versions import named_by
from rotgrid.grid import Plan, distinct_probes
from rotgrid.results import failures, storage
from rotgrid.results.grids import is_superseded
from rotgrid.spec import Probe, Trial
from rotgrid.spec.entries import is_own

NAMED_AT_MOST = 5
"""Trials named in one line, or flagged ones in lines of their own; the rest are counted."""
NAMED = [
    *("trial", "model", "variant", "train_rotation", "adversary", "seed"),
    *("test_rotation", "attack", "eps", "n", "n_correct"),
]
"""What is said of a row that is left out."""


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


def unreadable(place: Place) -> Iterator[str]:
    """Why this place cannot hold results, if so."""
    try:
        storage.locate(place)
    except ValueError as error:
        yield f"{os.fspath(place)}: {str(error).splitlines()[0]}"


def repeated(keys: int, measurements: int) -> Iterator[str]:
    """How many rows do not count because newer ones do."""
    if keys:
        yield f"{keys} rows repeat a (trial, probe); the newest of each is kept"
    if measurements:
        yield (
            f"{measurements} rows repeat a measurement under another key (made by another "
            "revision or recipe of the same name); the newest of each is kept"
        )


def impossible(rows: pl.DataFrame) -> Iterator[str]:
    """The rows that are left out because of their counts."""
    for row in rows.iter_rows(named=True):
        yield (
            f"{_network(row)}, trial {row['trial']}, test_rotation {row['test_rotation']}, "
            f"attack {row['attack']}, eps {row['eps']}: row left out: n_correct "
            f"{row['n_correct']} of n {row['n']} is out of range or differs from the bits of "
            "`correct`"
        )


def unknown_words(whole: Overview) -> Iterator[str]:
    """The words of rows that another version wrote and this one does not know; what is the user's
    own is known."""
    for name, words in KNOWN.items():
        table = whole.networks if name in Trial.model_fields else whole.probes
        table = table.filter(pl.col("recipe_settings") == "") if name == "recipe" else table
        found = sorted((w for w in set(table[name]) - words if not is_own(w)), key=str)
        if found:
            yield (
                f"{name} {', '.join(map(str, found))}: not known to this version of rotgrid; such "
                "rows count only where it does not matter"
            )


def not_believed(networks: pl.DataFrame) -> Iterator[str]:
    """The networks that fail checks."""
    failing = networks.filter(pl.col("flags") != "")
    for row in failing.head(NAMED_AT_MOST).iter_rows(named=True):
        yield (
            f"{_network(row)}, trial {row['trial']}: not to be believed: accuracy under "
            f"{attacks_not_believed(row['flags'].split(', '))}"
        )
    if (more := failing.height - NAMED_AT_MOST) > 0:
        yield f"{more} more networks fail checks"


def failed(place: Place, launched: Mapping[str, str]) -> Iterator[str]:
    """The trials that failed, but for those of a version of an own name that was repaired since:
    of each name the version that was `launched` last counts."""
    for key, failure in failures.read(place).items():
        if is_superseded(failure.trial, launched):
            continue
        who = _network(failure.trial) if failure.trial else "a trial"
        reason = failure.exception.strip().splitlines()[-1]
        yield f"{os.fspath(place)}: {who} failed (trial {key}): {reason}"


def unreadable_grid(place: Place, problem: str) -> str:
    """That a grid which was launched is not known, by what is wrong with its file."""
    reason = problem.splitlines()[0]
    return f"{os.fspath(place)}: unreadable grid, so what is missing is unknown: {reason}"


class Asked(NamedTuple):
    """What the plan of a launched grid asks for."""

    trials: dict[str, Trial]
    """By key."""
    lacking: dict[str, int]
    """How many probes no row answers, by the key of the trial; of those that lack any."""


def asked(
    plan: Plan,
    measured: pl.Series,
    older: Collection[tuple[str, str]] = (),
    launched: Mapping[str, str] | None = None,
) -> Asked:
    """What a plan asks for, and lacks. `measured` has the number of each (trial, probe) that has a
    row; what is of an `older` version of an own name is not asked any more, nor what is of another
    one than was `launched` last."""

    def counts(record: Trial | Probe) -> bool:
        replaced = is_superseded(vars(record), launched or {})
        return not (replaced or set(named_by(record)).intersection(older))

    wanted = {t: t.key() for t in plan.trials if counts(t)}
    trials = {key: trial for trial, key in wanted.items()}
    probes = filter(counts, distinct_probes(plan))
    keys = {probe: probe.key() for probe in probes}
    pairs = [(key, keys[p]) for key, t in trials.items() for p in plan.trials[t] if p in keys]
    planned = pl.DataFrame(pairs, schema={"trial": pl.String, "probe": pl.String}, orient="row")
    lacking = planned.filter(~(of_trial() ^ of_probe()).is_in(measured.implode()))
    return Asked(trials, dict(lacking.group_by("trial", maintain_order=True).len().iter_rows()))


def unanswered(place: Place, name: str, asks: Asked, begun: Collection[str]) -> Iterator[str]:
    """What a launched grid asks but no row answers. `begun` are the trials that have rows."""
    where = f"{os.fspath(place)}: grids/{name}.yaml"
    trials, counts = asks
    absent = [trials[key] for key in counts if key not in begun]
    partial = {trials[key]: count for key, count in counts.items() if key in begun}
    total = f"of {len(trials)} trials"
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
    words = [kind(str(fields.get("model", "?")), fields.get("variant", "?"))]
    words += [
        f"{name} {fields.get(name, '?')}" for name in ("train_rotation", "adversary", "seed")
    ]
    return ", ".join(words)
