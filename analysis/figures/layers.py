"""The layers that panels are made of, and their encodings. No data is aggregated here."""

import functools
import itertools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt
import polars as pl

from analysis.figures import scales, theme, tooltips
from analysis.rows import vocabulary

LEGEND = "leg"
"""The name of the selection that the legend makes; the report's buttons set it."""

LABEL_WIDTH = 320
"""Pixels of a label in a legend, beyond which it is cut: names of the user's own may be long."""
DEGREES = "(datum.value ? '±' : '') + datum.value + '°'"
"""What a legend writes at a range of rotations."""
MOST_SIZES = 6
"""Training ranges that the legend of sizes has all of."""


class Layer(alt.Chart):
    """A layer to which nothing is done but by methods that return another one: then copies can
    share its encodings. Altair copies a layer ten times on its way into a figure."""

    def __deepcopy__(self, memo: object) -> "Layer":
        return self.copy(deep=False)


class Ranged(NamedTuple):
    """The encodings of a mean and of both ends of its whisker, on one axis."""

    mean: Any
    least: Any
    greatest: alt.X2 | alt.Y2


def ranged(
    scale: Callable[..., Any],
    channel: scales.Channel,
    column: str,
    title: str,
    **how: float | None,
) -> Ranged:
    """The encodings of `column`, `column`_min and `column`_max on a scale of `scales`."""
    second = alt.X2 if channel is alt.X else alt.Y2
    mean, least = (scale(channel, name, title, **how) for name in (column, f"{column}_min"))
    return Ranged(mean, least, second(f"{column}_max"))


def legend_selection() -> alt.Parameter:
    """Chooses models in the legend. It must be added to the *first* panel of a figure: on a later
    one, or with `on="click"`, the legend is dead and nothing says so."""
    return alt.selection_point(name=LEGEND, fields=["model"], bind="legend")


def click_selection() -> alt.Parameter:
    """Chooses the model of a clicked point."""
    return alt.selection_point(name="mrk", fields=["model"], on="click")


def model_encodings(models: Iterable[str], *selections: alt.Parameter) -> dict[str, Any]:
    """Colour and shape of the models, in one legend; faint what is not chosen there and by all
    other selections."""
    order = vocabulary.in_order(models)
    looks = [theme.look(model, order) for model in order]
    legend = dict(
        title=None,
        labelExpr=theme.labels({m: look.label for m, look in zip(order, looks, strict=True)}),
        symbolOpacity=1,
        symbolStrokeWidth=2,
        labelLimit=LABEL_WIDTH,
    )
    colour = _mapped(order, [look.colour for look in looks])
    shape = _mapped(order, [look.shape for look in looks])
    chosen = functools.reduce(operator.and_, selections, legend_selection())
    dimmed = alt.when(chosen).then(alt.value(1)).otherwise(alt.value(theme.DIMMED))
    return {
        "color": alt.Color("model:N", scale=colour, legend=legend),
        "shape": alt.Shape("model:N", scale=shape, legend=legend),
        "opacity": alt.OpacityValue(**dimmed),
    }


def palette(column: str, labels: Mapping[Any, str]) -> dict[str, Any]:
    """A colour and a shape for each value of a column that has a label."""
    styles = [theme.other_style(place) for place in range(len(labels))]
    names = {str(value): label for value, label in labels.items()}
    legend = dict(title=theme.title(column), labelExpr=theme.labels(names), symbolOpacity=1)
    colours, shapes = zip(*styles, strict=True)
    return {
        "color": alt.Color(f"{column}:N", scale=_mapped(labels, colours), legend=legend),
        "shape": alt.Shape(f"{column}:N", scale=_mapped(labels, shapes), legend=legend),
    }


def _mapped(values: Iterable[Any], looks: Iterable[str]) -> dict[str, Any]:
    return dict(domain=list(values), range=list(looks))


def ordered(column: str, values: Iterable[float], title: str) -> alt.Color:
    """Colours of an ordered quantity, from dark to light."""
    scheme = alt.SchemeParams(name="viridis", extent=theme.VIRIDIS["light"])
    words = dict(labelExpr=DEGREES) if column.endswith("rotation") else dict(format="~g")
    legend = dict(title=title, symbolOpacity=1, **words)
    return alt.Color(
        f"{column}:O", scale=dict(domain=sorted(set(values)), scheme=scheme), legend=legend
    )


def shades(column: str, values: Iterable[float], title: str) -> dict[str, Any]:
    """Colours of an ordered quantity and, for print without colours, shapes of points."""
    colour = ordered(column, values, title)
    order = colour["scale"]["domain"]
    scale = _mapped(order, itertools.islice(itertools.cycle(theme.SHAPES), len(order)))
    return {
        "color": colour,
        "shape": alt.Shape(f"{column}:N", scale=scale, legend=colour["legend"]),
    }


def dash_encoding(column: str, labels: Mapping[str, str]) -> alt.StrokeDash:
    """Dashes for the values of a column, in this order: solid, dashed, dotted."""
    legend = dict(
        title=None,
        labelExpr=theme.labels(labels),
        symbolOpacity=1,
        symbolSize=300,
        labelLimit=LABEL_WIDTH,
    )
    dashes = dict(domain=list(labels), range=list(theme.DASHES[: len(labels)]))
    return alt.StrokeDash(f"{column}:N", scale=dashes, legend=legend)


def _parted(look: Mapping[str, Any], *names: str) -> list[dict[str, Any]]:
    """Each of these encodings by itself, if the look has it, and all others together."""
    some = [{name: look[name]} if name in look else {} for name in names]
    return [*some, {name: how for name, how in look.items() if name not in names}]


def lines(
    x: alt.X,
    y: Ranged,
    look: Mapping[str, Any],
    tips: Sequence[alt.Tooltip],
    band: tuple[Any, alt.Y2] | None = None,
) -> list[alt.Chart]:
    """Band, whiskers, lines and, last, points. Lines are told apart by whichever of `color` and
    `strokeDash` the look has."""
    shape, dash, everywhere = _parted(look, "shape", "strokeDash")
    series = [alt.Detail(v.shorthand.split(":")[0]) for v in dash.values()]
    base = Layer().encode(x=x, detail=series, **everywhere)
    return [
        *([base.mark_area(fillOpacity=0.15).encode(*band)] if band else []),
        base.mark_rule(strokeWidth=1.5, strokeOpacity=0.7).encode(y.least, y.greatest),
        base.mark_line(strokeWidth=1.75).encode(y.mean, **dash),
        base.mark_point(filled=True, size=45, opacity=1).encode(y.mean, tooltip=tips, **shape),
    ]


def accuracy_lines(
    data: pl.DataFrame,
    x: alt.X,
    look: Mapping[str, Any],
    conditions: Sequence[str],
    most: float | None = 1.0,
) -> list[alt.Chart]:
    """Lines of accuracies with the band of their 95% intervals, on an axis from 0 to `most`, or
    one that fits the data; failed checks are marked."""
    y = ranged(scales.share, alt.Y, "accuracy", "Accuracy", most=most)
    band = scales.share(alt.Y, "lower", "Accuracy", most=most), alt.Y2("upper")
    *below, points = lines(x, y, look, tooltips.tooltip(data, conditions), band)
    return [*below, *with_flags(data, points, (points, _all(data)))]


def _all(data: pl.DataFrame) -> pl.Series:
    return pl.repeat(True, data.height, eager=True)


def accuracy_dots(
    data: pl.DataFrame, y: alt.Y, look: Mapping[str, Any], conditions: Sequence[str]
) -> list[alt.Chart]:
    """Points of accuracies with bars of their 95% intervals, from left to right; failed checks are
    marked."""
    mean, low = (scales.share(alt.X, n, "Accuracy", most=1.0) for n in ("accuracy", "lower"))
    shape, everywhere = _parted(look, "shape")
    base = Layer().encode(y=y, **everywhere)
    tips = tooltips.tooltip(data, conditions)
    points = base.mark_point(filled=True, size=60, opacity=1).encode(mean, tooltip=tips, **shape)
    bars = base.mark_rule(strokeWidth=1.5).encode(low, alt.X2("upper"))
    return [bars, *with_flags(data, points, (points, _all(data)))]


def sized(data: pl.DataFrame) -> Any:  # noqa: ANN401
    """The range of rotations in training as the size of a point, if there are several."""
    ranges = sorted(set(data["train_rotation"]))
    few = ranges if len(ranges) <= MOST_SIZES else alt.Undefined
    grey = dict(symbolFillColor=theme.MUTED, symbolStrokeColor=theme.MUTED, symbolOpacity=1)
    legend = dict(title="Train rotation", values=few, labelExpr=DEGREES, **grey)
    scale = dict(domain=[0, ranges[-1]], range=[40, 200])
    several = alt.Size("train_rotation:Q", scale=scale, legend=legend)
    return several if len(ranges) > 1 else alt.value(70)


def scatter(
    shown: pl.DataFrame,
    x: Ranged,
    y: Ranged,
    look: Mapping[str, Any],
    tips: Sequence[alt.Tooltip],
    size: Any = None,  # noqa: ANN401
) -> list[alt.Chart]:
    """Points of the rows that a panel shows with whiskers both ways; those with `_hollow` hollow.
    If `size` shows the training ranges, paths join the points of a model and variant in their
    order."""
    shape, everywhere = _parted(look, "shape")
    base = Layer().encode(x.mean, y.mean, detail=alt.Detail("variant"), **everywhere)
    whisker = base.mark_rule(strokeOpacity=0.6)
    path = base.mark_line(strokeWidth=1.25, strokeOpacity=0.6).encode(
        order=alt.Order("train_rotation:Q")
    )
    marks = base.encode(tooltip=tips, size=alt.value(70) if size is None else size, **shape)
    filled = marks.mark_point(filled=True, opacity=1).transform_filter("!datum._hollow")
    hollow = marks.mark_point(filled=False).transform_filter("datum._hollow")
    points = (filled, ~shown["_hollow"]), (hollow, shown["_hollow"])
    return [
        *([] if size is None else [path]),
        whisker.encode(x.least, x.greatest),
        whisker.encode(y.least, y.greatest),
        *with_flags(shown, marks, *points, empty=size is not None),
    ]


def with_flags(
    shown: pl.DataFrame,
    marks: alt.Chart,
    *points: tuple[alt.Chart, pl.Series],
    empty: bool = False,
) -> list[alt.Chart]:
    """The points, each with which rows it draws, but those with flags hollow and with a dotted
    outline, below the others; with nothing inside if `empty`, as a legend of sizes would have the
    colour of the paper, too. No layer without rows: it would have no scale of its own."""
    failed = shown["flags"].fill_null("") != ""
    if not failed.any():
        return [chart for chart, drawn in points if drawn.any()]
    inside = alt.Undefined if empty else theme.PAPER
    outlines = marks.mark_point(
        filled=False, fill=inside, size=80, opacity=1, strokeWidth=1.5, strokeDash=[2.5, 1.5]
    )
    believed = [
        chart.transform_filter("datum.flags === ''")
        for chart, drawn in points
        if (drawn & ~failed).any()
    ]
    return [outlines.transform_filter("datum.flags !== ''"), *believed]


def has_outlines(panel: alt.LayerChart) -> bool:
    """Whether a panel marks points with flags by a dotted outline."""
    marks = [layer.mark for layer in panel.layer]
    return any(
        isinstance(mark, alt.MarkDef)
        and mark.type == "point"
        and mark.strokeDash is not alt.Undefined
        for mark in marks
    )
