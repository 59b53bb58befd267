"""Any column against any other, with the colours of the report."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import altair as alt
import polars as pl

from analysis.explorer.choices import MEASURES, title, values, words
from analysis.explorer.points import POINT, conditions
from analysis.figures import layers, theme, tooltips
from analysis.figures.panels import MOST_ROWS
from analysis.rows.selection import CannotShow, NotMeasured

PICKED = "picked"
"""The name of the selection that a click on a point makes."""
MOST_FACETS = 24
HEIGHT, SMALL = 380, 240
LOGARITHMIC = ("train_size", "parameters", "seconds")
WIDE_RANGE = 8
"""Greatest by least value, from which these are drawn on a log axis."""
EMBEDDED = {"embedOptions": {"renderer": "svg"}}
"""Colours that depend on the page need SVG."""


class Axes(NamedTuple):
    """Which column is drawn how; no colour or facet is an empty name."""

    x: str
    y: str
    colour: str = ""
    facet: str = ""

    def used(self) -> list[str]:
        """The columns, x first."""
        return [name for name in self if name]


def drawn(points: pl.DataFrame, axes: Axes) -> pl.DataFrame:
    """The points that have values on all axes.

    Raises:
        NotMeasured: there is none.
        CannotShow: there are too many, or too many facets.
    """
    found = points.drop_nulls(axes.used())
    if found.is_empty():
        raise NotMeasured(f"no rows with {' and '.join(title(name) for name in axes.used())}")
    if found.height > MOST_ROWS:
        raise CannotShow(f"{found.height:,} points, at most {MOST_ROWS:,}: choose fewer rows")
    if axes.facet and (count := found[axes.facet].n_unique()) > MOST_FACETS:
        raise CannotShow(f"{count} facets, at most {MOST_FACETS}: choose another or fewer rows")
    return found


def charts(points: pl.DataFrame, axes: Axes) -> dict[str, alt.LayerChart]:
    """A chart for each value of the facet, by what it is called, or one; all on the same scales.

    Raises:
        NotMeasured: nothing can be drawn.
        CannotShow: there is too much to draw.
    """
    found = drawn(points, axes)
    encodings = dict(x=axis(alt.X, axes.x, found), y=axis(alt.Y, axes.y, found))
    look = colours(axes.colour, found)
    if not axes.facet:
        return {"": panel(found, axes, encodings, look, HEIGHT)}
    return {
        label: panel(found.filter(pl.col(axes.facet) == value), axes, encodings, look, SMALL)
        for label, value in values(found, axes.facet).items()
    }


def axis(channel: type[alt.X | alt.Y], column: str, found: pl.DataFrame) -> Any:  # noqa: ANN401
    """The encoding of a column on an axis: over all its values, in percent, logarithmic or by
    name."""
    if not found[column].dtype.is_numeric():
        names = list(values(found, column).values())
        scale: dict[str, Any] = dict(domain=names)
        return channel(f"{column}:N", title=title(column), scale=scale, axis=named(column, found))
    ends = [column, *(("_lower", "_upper") if column == "accuracy" else ())]
    every = [float(value) for name in ends for value in found[name].drop_nulls()]
    low, high = min(every), max(every)
    scale = dict(domain=[low, high], nice=True, zero=False) if high > low else dict(zero=False)
    log = column in LOGARITHMIC and 0 < low <= high / WIDE_RANGE
    form = ".1~%" if theme.is_share(column) else "~s" if log else "~g"
    words = title(column) + (", log axis" if log else "")
    scale |= {"type": "log"} if log else {}
    return channel(f"{column}:Q", title=words, scale=scale, axis=written(form))


def written(form: str) -> dict[str, Any]:
    """Numbers on an axis as they are, not as short as the distance of the ticks allows."""
    return dict(labelExpr=f"format(datum.value, '{form}')")


def named(column: str, found: pl.DataFrame) -> dict[str, Any]:
    """How an axis or a legend shows the words of a column."""
    names = {str(value): label for label, value in values(found, column).items()}
    return dict(labelExpr=theme.labels(names), labelLimit=layers.LABEL_WIDTH)


def colours(column: str, found: pl.DataFrame) -> dict[str, Any]:
    """The encodings of a column as colours: of models those of the report, of numbers from dark to
    light, of other words those that the report gives to what is the user's own."""
    if not column:
        return {"color": alt.value(theme.STYLES["gcnn"][0])}  # legible on any paper
    top = dict(orient="top", columns=4, symbolOpacity=1)
    if column == "model":
        look = layers.model_encodings(found["model"])
        look["color"]["legend"].update(top)
        look["color"]["scale"]["range"] = [*map(on_any_paper, look["color"]["scale"]["range"])]
        return look
    if found.schema[column].is_numeric():
        ordered = layers.ordered(column, found[column], title(column))
        ordered["legend"].update(top)
        return {"color": ordered}
    names = [str(value) for value in values(found, column).values()]
    scale = dict(domain=names, range=[theme.other_style(at)[0] for at in range(len(names))])
    legend = dict(title=title(column), **top, **named(column, found))
    return {"color": alt.Color(f"{column}:N", scale=scale, legend=legend)}


def on_any_paper(colour: str) -> str:
    """A colour of the report, that of a dark page where the page is dark (`app.css`)."""
    return f"var(--c{colour[1:]}, {colour})" if colour in theme.DARK else colour


def panel(
    found: pl.DataFrame,
    axes: Axes,
    encodings: Mapping[str, Any],
    look: Mapping[str, Any],
    height: float,
) -> alt.LayerChart:
    """Points, with lines along a numeric field, and with the intervals that are known."""
    picked = alt.selection_point(name=PICKED, fields=[POINT], on="click", empty=False)
    size = alt.when(picked).then(alt.value(220)).otherwise(alt.value(60))
    plain = {name: value for name, value in look.items() if name != "shape"}
    base = alt.Chart().encode(**encodings, **plain, detail="_series:N")
    joined = axes.x not in MEASURES and found.schema[axes.x].is_numeric()
    marks = []
    if axes.y == "accuracy" and found["_lower"].count():
        ends = encodings["y"].copy()
        ends.shorthand = "_lower:Q"
        known = base.transform_filter("isValid(datum._lower)").encode(ends, alt.Y2("_upper:Q"))
        marks.append(
            known.mark_area(fillOpacity=0.15) if joined else known.mark_rule(strokeWidth=1.5)
        )
    if joined:
        marks.append(base.mark_line(strokeWidth=1.75))
    tips = tooltips.fields(told(found, axes))
    shape = {name: value for name, value in look.items() if name == "shape"}
    dots = base.mark_point(filled=True, opacity=1).encode(size=size, tooltip=tips, **shape)
    params = [picked] + ([layers.legend_selection()] if axes.colour == "model" else [])
    marks.append(dots.add_params(*params))
    chart = alt.layer(*marks, data=found).properties(width="container", height=height)
    return chart.properties(usermeta=EMBEDDED).configure(
        background="transparent", font=theme.FONT, axis=dict(gridOpacity=0.35)
    )


def told(found: pl.DataFrame, axes: Axes) -> list[str]:
    """What is said of a point: the axes, what else tells it apart, seeds and images."""
    named = [*axes.used(), *conditions(found)]
    return [*list(dict.fromkeys(named))[: tooltips.MOST - 2], "seeds", "n"]


def apart(points: pl.DataFrame, axes: Axes) -> list[str]:
    """The fields that neither axis, colour nor facet shows, and that yet differ."""
    hidden = [name for name in conditions(points) if name not in axes.used()]
    return [name for name in hidden if points[name].n_unique() > 1]


def picked(selections: Mapping[str, Any]) -> list[int]:
    """The numbers of the points that were clicked in a chart."""
    return [int(number) for number in selections.get(PICKED, {}).get(POINT, [])]


def caption(points: pl.DataFrame, axes: Axes) -> str:
    """What a point is, and what it is not told apart by."""
    seeds = max(points["seeds"])
    parts = [f"{points.height:,} points, each the mean over its seeds (at most {seeds})"]
    if axes.y == "accuracy" and points["_lower"].count():
        parts.append("bands are 95% intervals over seeds and images, where there are three seeds")
    if others := apart(points, axes):
        parts.append(f"apart by {', '.join(words('', title(name)) for name in others)}, too")
    return "; ".join(parts) + "."
