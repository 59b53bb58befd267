"""The layers that panels are made of, and their encodings. No data is aggregated here."""

import functools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt
import polars as pl

from analysis.figures import scales, theme
from analysis.rows import vocabulary

LEGEND = "leg"
"""The name of the selection that the legend makes; the report's buttons set it."""


LABEL_WIDTH = 320
"""Pixels of a label in a legend, beyond which it is cut: names of the user's own may be long."""


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
    channel: type[alt.X | alt.Y],
    column: str,
    domain: scales.Domain,
    title: str,
) -> Ranged:
    """The encodings of `column`, `column`_min and `column`_max on a scale of `scales`."""
    second = alt.X2 if channel is alt.X else alt.Y2
    mean, least = (scale(channel, name, domain, title) for name in (column, f"{column}_min"))
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
    colour = dict(domain=order, range=[look.colour for look in looks])
    shape = dict(domain=order, range=[look.shape for look in looks])
    chosen = functools.reduce(operator.and_, selections, legend_selection())
    dimmed = alt.when(chosen).then(alt.value(1)).otherwise(alt.value(theme.DIMMED))
    return {
        "color": alt.Color("model:N", scale=colour, legend=legend),
        "shape": alt.Shape("model:N", scale=shape, legend=legend),
        "opacity": alt.OpacityValue(**dimmed),
    }


def palette(column: str, labels: Mapping[Any, str]) -> alt.Color:
    """A colour for each value of a column that has a label."""
    colours = [theme.other_style(place)[0] for place in range(len(labels))]
    names = {str(value): label for value, label in labels.items()}
    legend = dict(title=theme.title(column), labelExpr=theme.labels(names), symbolOpacity=1)
    scale = dict(domain=list(labels), range=colours)
    return alt.Color(f"{column}:N", scale=scale, legend=legend)


def ordered(column: str, values: Iterable[float], title: str | None) -> alt.Color:
    """Colours of an ordered quantity, from dark to light; without a title without a legend."""
    scheme = alt.SchemeParams(name="viridis", extent=theme.VIRIDIS["light"])
    legend = dict(title=title, symbolOpacity=1, format="~g") if title else None
    return alt.Color(
        f"{column}:O", scale=dict(domain=sorted(set(values)), scheme=scheme), legend=legend
    )


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


def tooltip(columns: Sequence[str]) -> list[alt.Tooltip]:
    """Tooltips with human titles, units and percent; none of columns that are only for drawing."""
    shares = {True: {"format": ".2%"}, False: {}}
    return [
        alt.Tooltip(c, title=theme.title(c), **shares[theme.is_share(c)])  # type: ignore[arg-type]
        for c in columns
        if not c.startswith("_")
    ]


def lines(
    x: alt.X,
    y: Ranged,
    look: Mapping[str, Any],
    tips: Sequence[str],
    band: tuple[Any, alt.Y2] | None = None,
) -> list[alt.Chart]:
    """Band, whiskers, lines and, last, points. Lines are told apart by whichever of `color` and
    `strokeDash` the look has."""
    shape, dash = (
        {k: v for k, v in look.items() if k == name} for name in ("shape", "strokeDash")
    )
    series = [alt.Detail(v.shorthand.split(":")[0]) for v in dash.values()]
    everywhere = {k: v for k, v in look.items() if k not in ("shape", "strokeDash")}
    base = Layer().encode(x=x, detail=series, **everywhere)
    return [
        *([base.mark_area(fillOpacity=0.15).encode(*band)] if band else []),
        base.mark_rule(strokeWidth=1.5, strokeOpacity=0.7).encode(y.least, y.greatest),
        base.mark_line(strokeWidth=1.75).encode(y.mean, **dash),
        base.mark_point(filled=True, size=45, opacity=1).encode(
            y.mean, tooltip=tooltip(tips), **shape
        ),
    ]


def accuracy_lines(
    data: pl.DataFrame,
    x: alt.X,
    domain: scales.Domain,
    look: Mapping[str, Any],
    tips: Sequence[str],
) -> list[alt.Chart]:
    """Lines of accuracies with the band of their 95% intervals; failed checks are marked."""
    y = ranged(scales.share, alt.Y, "accuracy", domain, "Accuracy")
    band = scales.share(alt.Y, "lower", domain, "Accuracy"), alt.Y2("upper")
    *below, points = lines(x, y, look, tips, band)
    return [*below, *with_flags(data, points, points)]


def scatter(
    data: pl.DataFrame,
    x: Ranged,
    y: Ranged,
    look: Mapping[str, Any],
    tips: Sequence[str],
    *,
    paths: bool = True,
) -> list[alt.Chart]:
    """Points with whiskers both ways and their labels; those with `_hollow` hollow. `paths` join
    the points of a model and variant in the order of their training ranges."""
    base = Layer().encode(
        x.mean,
        y.mean,
        detail=alt.Detail("variant"),
        **{k: v for k, v in look.items() if k != "shape"},
    )
    whisker = base.mark_rule(strokeOpacity=0.6)
    marks = base.encode(shape=look["shape"], tooltip=tooltip(tips))
    points = (
        marks.mark_point(filled=True, size=70, opacity=1).transform_filter("!datum._hollow"),
        marks.mark_point(filled=False, size=60).transform_filter("datum._hollow"),
    )
    path = base.mark_line(strokeWidth=1.25, strokeOpacity=0.6).encode(
        order=alt.Order("train_rotation:Q")
    )
    return [
        *([path] if paths else []),
        whisker.encode(x.least, x.greatest),
        whisker.encode(y.least, y.greatest),
        *with_flags(data, marks, *points),
        *point_labels(base, x.mean, y.mean),
    ]


def with_flags(data: pl.DataFrame, marks: alt.Chart, *points: alt.Chart) -> list[alt.Chart]:
    """The points, but those with flags hollow and with a dotted outline, below the others."""
    if (data["flags"].fill_null("") == "").all():
        return list(points)
    outlines = marks.mark_point(
        filled=False, fill=theme.PAPER, size=80, opacity=1, strokeWidth=1.5, strokeDash=[2.5, 1.5]
    )
    believed = [chart.transform_filter("datum.flags === ''") for chart in points]
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


def point_labels(base: alt.Chart, x: Any, y: Any) -> list[alt.Chart]:  # noqa: ANN401
    """The labels of points, and the lines that lead to those that stand apart."""
    label_x, label_y = x.copy(), y.copy()
    label_x.shorthand, label_y.shorthand = "_label_x:Q", "_label_y:Q"
    leaders = base.mark_rule(strokeWidth=0.75, strokeOpacity=0.6).encode(
        x, y, alt.X2("_tip_x"), alt.Y2("_tip_y")
    )
    texts = base.encode(label_x, label_y, text=alt.Text("_label:N")).transform_filter(
        "datum._label !== null"
    )
    return [
        leaders.transform_filter("datum._tip_x !== null"),
        texts.mark_text(fontSize=10, stroke=theme.PAPER, strokeWidth=3, strokeOpacity=0.8),
        texts.mark_text(fontSize=10),
    ]


def end_labels(x: alt.X, y: Any, colour: alt.Color) -> alt.Chart:  # noqa: ANN401
    """The labels at the ends of lines, beside their last points."""
    text = Layer().mark_text(align="left", dx=7, fontSize=10, fontWeight="bold")
    return text.encode(x=x, y=y, text=alt.Text("_label:N"), color=colour)
