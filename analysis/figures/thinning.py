"""Fewer values than were measured, where a figure could not be read, or a page not hold them."""

from collections.abc import Collection, Sequence

import polars as pl

from analysis.figures.panels import MOST_ROWS
from analysis.rows.phrases import listed
from analysis.rows.selection import Comparable

MOST_NAMED = 12
"""Values that a note names; more are counted."""


def evenly(values: Sequence[float], most: int) -> list[float]:
    """At most `most` (and two at least) of ascending values, evenly chosen with the outermost."""
    most = max(most, 2)
    if len(values) <= most:
        return list(values)
    step = (len(values) - 1) / (most - 1)
    return [values[round(index * step)] for index in range(most)]


def thinned(
    rows: pl.DataFrame, column: str, most: int, keep: Collection[float] = ()
) -> Comparable:
    """The rows at about `most` values of a column, and those to keep; a note if some are left
    out."""
    return at_values(rows, column, {*evenly(sorted(set(rows[column])), most), *keep})


def thinned_to_fit(
    rows: pl.DataFrame, column: str, kinds: Sequence[str], points: int = 1
) -> Comparable:
    """The rows at so many values of a column that a figure can hold them, if it has `points` at
    each for every combination of `kinds`; a note if some are left out."""
    return thinned(rows, column, MOST_ROWS // (points * max(rows.select(kinds).n_unique(), 1)))


def at_values(rows: pl.DataFrame, column: str, shown: Collection[float]) -> Comparable:
    """The rows at these values of a column, and a note if there are others."""
    values = sorted(set(rows[column]))
    names = [f"{value:g}" for value in values if value in shown]
    if len(names) == len(values):
        return Comparable(rows, [])
    which = f": {listed(names)}" if len(names) <= MOST_NAMED else ""
    note = f"{len(names)} of {len(values)} values of {column} are shown{which}."
    return Comparable(rows.filter(pl.col(column).is_in(list(shown))), [note])
