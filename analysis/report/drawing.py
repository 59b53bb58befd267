"""Figures that are laid out here, one after the other, and drawn in processes beside this one."""

import traceback
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple

import altair as alt
import polars as pl
import vl_convert
from altair.utils.schemapi import debug_mode

from analysis.figures import duplicates
from analysis.figures.panels import NOTES
from analysis.figures.registry import COLUMNS, FIGURES, Figure, number
from analysis.report import tables
from analysis.report.drawn import Drawn
from analysis.rows.loading import Loaded
from analysis.rows.selection import CannotShow, NotMeasured


class LaidOut(NamedTuple):
    """A figure that is being drawn."""

    heading: str
    spec: dict[str, Any]
    svg: Future[str]
    table: pl.DataFrame | None


class Drawings(NamedTuple):
    """Every figure that could be drawn, and why the others could not."""

    drawn: dict[str, Drawn]
    missing: dict[str, str]
    failed: list[str]
    """Those of the missing whose own code failed; stderr has the traceback."""


class Layouts(NamedTuple):
    """Every figure that is being drawn, and why the others could not be laid out."""

    asked: dict[str, LaidOut]
    others: Drawings

    def drawings(self) -> Drawings:
        """What has become of all of them, as soon as the last is drawn."""
        found = self.others
        for name, (heading, spec, svg, table) in self.asked.items():
            try:
                found.drawn[name] = Drawn(heading, spec, svg.result(), table)
            except Exception as error:
                gave_up(found, name, error)
        return found


def lay_out(loaded: Loaded, pool: Executor, figures: Mapping[str, Figure] = FIGURES) -> Layouts:
    """Every figure that the rows allow, and for every other one what it needs.

    Each is drawn in the pool while the next is laid out. One that fails does not stop the others.
    """
    found = Layouts({}, Drawings({}, {}, []))
    for name, figure in figures.items():
        try:
            chart = chart_of(figure, loaded)
            spec = chart.to_dict(validate=False)  # which takes longest; the tests do it
            require_new(name, spec, {other: one.spec for other, one in found.asked.items()})
            svg = pool.submit(vl_convert.vegalite_to_svg, spec)
            heading = number(name) or spec["title"]["text"]
            found.asked[name] = LaidOut(heading, spec, svg, tables.of(chart))
        except (NotMeasured, CannotShow) as error:
            found.others.missing[name] = str(error)
        except Exception as error:
            gave_up(found.others, name, error)
    return found


def require_new(
    name: str, spec: Mapping[str, Any], earlier: Mapping[str, Mapping[str, Any]]
) -> None:
    """Refuse a figure that is the same picture as an earlier one; unless it is of the paper, also
    one that is a part of it.

    Raises:
        NotMeasured: it is.
    """
    if other := duplicates.shown_by(spec, earlier, part=not name.startswith("figure")):
        raise NotMeasured(f"needs more than {other} shows")


def chart_of(figure: Figure, loaded: Loaded) -> alt.ConcatChart:
    """The figure, of those rows that it reads; none of its parts is validated."""
    rows = loaded.rows.lazy().filter(*figure.reads).select(COLUMNS)  # lazily: only these columns
    ball = of_ball(figure, loaded.rows)
    with debug_mode(False):
        try:
            chart = figure.draw(
                rows.collect(), *(getattr(loaded, table) for table in figure.needs)
            )
        except NotMeasured as error:
            raise NotMeasured(f"{error}, {ball}" if ball else str(error)) from error
        if ball:
            note = f"Of attacks only rows {ball} are shown; those of other balls are left out."
            chart.usermeta[NOTES].append(note)
        return chart


def of_ball(figure: Figure, rows: pl.DataFrame) -> str:
    """Which rows count for a figure that shows one threat model only, where there are others."""
    other = (pl.col("threat") != "linf").any()
    if not rows.select(other).item():
        return ""
    reads = [read for read in figure.reads if "threat" in read.meta.root_names()]
    shown = rows.lazy().filter(*reads).select(other).collect().item()
    return "in the L-inf ball" if reads and not shown else ""


def gave_up(found: Drawings, name: str, error: Exception) -> None:
    """Say that the code of a figure failed: where to the user, what in the report."""
    traceback.print_exception(error)
    found.failed.append(name)
    found.missing[name] = f"its code failed: {type(error).__name__}: {error}"
