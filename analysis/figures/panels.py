"""The parts that figures are made of: encodings, layers and axes. No data is aggregated here."""

import functools
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from analysis.figures import captions, scales, theme
from analysis.rows import vocabulary
from analysis.stats.summary import SUMMARY

MOST_ROWS = 2_000
TEST_X = "Test rotation x (uniform in [-x, x])"
LEGEND = "leg"
"""The name of the selection that the legend makes; the report's buttons set it."""


def legend_selection() -> alt.Parameter:
    """Chooses models in the legend. It must be added to the *first* panel of a figure: on a later
    one, or with `on="click"`, the legend is dead and nothing says so."""
    return alt.selection_point(name=LEGEND, fields=["model"], bind="legend")


def click_selection() -> alt.Parameter:
    """Chooses the model of a clicked point."""
    return alt.selection_point(name="mrk", fields=["model"], on="click")


def dimmed(*selections: alt.Parameter) -> Any:  # noqa: ANN401  # altair's condition type
    """Full opacity for what is selected by all `selections`, faint for the rest."""
    return (
        alt.when(functools.reduce(operator.and_, selections))
        .then(alt.value(1))
        .otherwise(alt.value(theme.DIMMED))
    )


def model_encodings(models: Iterable[str]) -> dict[str, Any]:
    """Colour and shape of the models, in one legend."""
    order = vocabulary.in_order(models)
    looks = [theme.look(model, order) for model in order]
    legend = dict(
        title=None,
        labelExpr=theme.labels({m: look.label for m, look in zip(order, looks, strict=True)}),
        symbolOpacity=1,
        symbolStrokeWidth=2,
    )
    colour = dict(domain=order, range=[look.colour for look in looks])
    shape = dict(domain=order, range=[look.shape for look in looks])
    return {
        "color": alt.Color("model:N", scale=colour, legend=legend),
        "shape": alt.Shape("model:N", scale=shape, legend=legend),
    }


def ordered(column: str, values: Iterable[float], title: str | None) -> alt.Color:
    """Colours of an ordered quantity, from dark to light; without a title without a legend."""
    scheme = alt.SchemeParams(name="viridis", extent=theme.VIRIDIS["light"])
    legend = dict(title=title, symbolOpacity=1, format="~g") if title else None
    return alt.Color(
        f"{column}:O", scale=dict(domain=sorted(set(values)), scheme=scheme), legend=legend
    )


def dash_encoding(column: str, labels: Mapping[str, str]) -> alt.StrokeDash:
    """Dashes for the values of a column, in this order: solid, dashed, dotted."""
    legend = dict(title=None, labelExpr=theme.labels(labels), symbolOpacity=1, symbolSize=300)
    dashes = dict(domain=list(labels), range=list(theme.DASHES[: len(labels)]))
    return alt.StrokeDash(f"{column}:N", scale=dashes, legend=legend)


def tooltip(columns: Sequence[str]) -> list[alt.Tooltip]:
    """Tooltips with human titles, units and percent."""
    shares = {True: {"format": ".2%"}, False: {}}
    return [
        alt.Tooltip(c, title=theme.title(c), **shares[theme.is_share(c)])  # type: ignore[arg-type]
        for c in columns
    ]


def curves(
    data: pl.DataFrame,
    x: alt.X,
    domain: scales.Domain,
    encodings: Mapping[str, Any],
    tips: Sequence[str],
) -> alt.LayerChart:
    """Band, whiskers, line and points of one panel; `data` come from the figure.

    Lines are told apart by whichever of `color` and `strokeDash` the encodings have.
    """
    everywhere = {k: v for k, v in encodings.items() if k not in ("shape", "strokeDash")}
    dash = {k: v for k, v in encodings.items() if k == "strokeDash"}
    shape = {k: v for k, v in encodings.items() if k == "shape"}
    series = [v.shorthand.split(":")[0] for v in dash.values()]
    accuracy, lower, least = (
        scales.share(alt.Y, column, domain, "Accuracy")
        for column in ("accuracy", "lower", "accuracy_min")
    )
    base = alt.Chart().encode(x=x, detail=series, **everywhere)
    band = base.mark_area(fillOpacity=0.15).encode(lower, alt.Y2("upper"))
    whisker = base.mark_rule(strokeWidth=1.5, strokeOpacity=0.7).encode(
        least, alt.Y2("accuracy_max")
    )
    line = base.mark_line(strokeWidth=1.75).encode(accuracy, **dash)
    points = base.mark_point(filled=True, size=45, opacity=1).encode(
        accuracy, tooltip=tooltip(tips), **shape
    )
    return alt.LayerChart(layer=[band, whisker, line, *with_flags(data, points, points)])


def with_flags(data: pl.DataFrame, all_points: alt.Chart, *points: alt.Chart) -> list[alt.Chart]:
    """The points, but those with flags hollow and with a dotted outline, below the others."""
    if (data["flags"] == "").all():
        return list(points)
    flagged = all_points.mark_point(
        filled=False, fill=theme.PAPER, size=80, opacity=1, strokeWidth=1.5, strokeDash=[2.5, 1.5]
    )
    believed = [chart.transform_filter("datum.flags === ''") for chart in points]
    return [flagged.transform_filter("datum.flags !== ''"), *believed]


def written(base: alt.Chart, x: Any, y: Any) -> list[alt.Chart]:  # noqa: ANN401
    """The labels, and the lines that lead to those that stand apart."""
    label_x, label_y = x.copy(), y.copy()
    label_x.shorthand, label_y.shorthand = "_label_x:Q", "_label_y:Q"
    lines = base.mark_rule(strokeWidth=0.75, strokeOpacity=0.6).encode(
        x, y, alt.X2("_tip_x"), alt.Y2("_tip_y")
    )
    around = base.encode(label_x, label_y, text="_label:N").transform_filter(
        "datum._label !== null"
    )
    return [
        lines.transform_filter("datum._tip_x !== null"),
        around.mark_text(fontSize=10, stroke=theme.PAPER, strokeWidth=3, strokeOpacity=0.8),
        around.mark_text(fontSize=10),
    ]


def against_rotation(
    name: str,
    data: pl.DataFrame,
    look: Mapping[str, Any],
    *,
    only: Mapping[str, Any] | None = None,
    title: str = TEST_X,
    zoom: bool = False,
    width: int = theme.WIDTH,
    about: Sequence[str] = (),
) -> alt.LayerChart:
    """Accuracy against rotation: the part of the figure's data that `data` and `only` select."""
    shown = within(data, only or {})
    most = float(shown["test_rotation"].max())  # type: ignore[arg-type]
    ends = ("accuracy_min", "lower")
    domain = scales.domain_of(shown, *ends, upper=1.0) if zoom else scales.WHOLE
    series = ("attack", "eps", "eps_unit", "augmentation")
    chart = curves(
        shown,
        scales.rotation_x("test_rotation", most, title, width),
        domain,
        look,
        ["model", "variant", "test_rotation", *(c for c in series if c in data.columns), *SUMMARY],
    )
    chart = filtered(chart, only or {})
    chart = chart.transform_filter(alt.FieldLTEPredicate(field="test_rotation", lte=most))
    heading = alt.TitleParams(name, subtitle=[*about, scales.starts_at(domain)])
    return chart.properties(width=width, height=theme.HEIGHT, title=heading)


def filtered(chart: alt.LayerChart, only: Mapping[str, Any]) -> alt.LayerChart:
    """The panel with the rows whose columns have the given value, or one of the given list."""
    for column, value in only.items():
        values = value if isinstance(value, list) else [value]
        chart = chart.transform_filter(alt.FieldOneOfPredicate(field=column, oneOf=values))
    return chart


def against_size(
    name: str, data: pl.DataFrame, look: Mapping[str, Any], only: Mapping[str, Any]
) -> alt.LayerChart:
    """Accuracy against the number of training images, on a log axis."""
    shown = within(data, only)
    domain = scales.domain_of(shown, "accuracy_min", "lower", upper=1.0)
    x = scales.log_x(
        "train_size", sorted(data["train_size"].unique()), "Training images (log axis)"
    )
    tips = ["model", "variant", "train_size", "train_rotation", "test_rotation", *SUMMARY]
    chart = filtered(curves(shown, x, domain, look, tips), only)
    heading = alt.TitleParams(name, subtitle=scales.starts_at(domain))
    return chart.properties(width=theme.WIDTH, height=theme.HEIGHT, title=heading)


def within(data: pl.DataFrame, only: Mapping[str, Any]) -> pl.DataFrame:
    """The rows whose columns have the given value, or one of the given list."""
    listed = {k: v if isinstance(v, list) else [v] for k, v in only.items()}
    return data.filter(*(pl.col(k).is_in(values) for k, values in listed.items()))


def against_eps(data: pl.DataFrame, attack: str, width: int = theme.WIDTH) -> alt.LayerChart:
    """Accuracy against eps under one attack, a directly labelled line per range of rotations."""
    measured = sorted(data.filter(pl.col("attack") == attack)["eps"].unique())
    x = alt.X(
        "eps:Q",
        title=f"eps (L-inf, {vocabulary.EPS_UNITS[data['eps_unit'][0]]})",
        scale=dict(domain=[0, measured[-1] * 1.2], nice=False),
        axis=dict(values=scales.thinned(measured), format="~g", grid=False, labelFlush=False),
    )
    colour = ordered("train_rotation", data["train_rotation"], None)
    tips = ["model", "variant", "attack", "eps", "eps_unit", "train_rotation", *SUMMARY]
    text = (
        alt.Chart()
        .mark_text(align="left", dx=7, fontSize=10, fontWeight="bold")
        .encode(
            x=x,
            y=scales.share(alt.Y, "_label_y", scales.WHOLE, "Accuracy"),
            text="_label:N",
            color=colour,
        )
    )
    heading = alt.TitleParams(theme.attack(attack), subtitle=scales.starts_at(scales.WHOLE))
    layers = [*curves(data, x, scales.WHOLE, {"color": colour}, tips).layer, text]
    chart = alt.LayerChart(layer=layers).properties(
        width=width, height=theme.HEIGHT, title=heading
    )
    return chart.transform_filter(alt.FieldEqualPredicate(field="attack", equal=attack))


def fits(data: pl.DataFrame) -> pl.DataFrame:
    """The rows, if a figure may hold so many.

    Raises:
        ValueError: they are too many to be embedded in a page; aggregate more.
    """
    if data.height > MOST_ROWS:
        raise ValueError(
            f"{data.height} rows are more than the {MOST_ROWS} that a figure may hold"
        )
    return data


def finished(
    panels: Sequence[alt.LayerChart],
    data: pl.DataFrame | None,
    heading: alt.TitleParams,
    columns: int,
) -> alt.ConcatChart:
    """The panels in rows of `columns` over one frame, titled and configured.

    Raises:
        ValueError: the frame is too large to be embedded in a page; aggregate more.
    """
    for frame in [data, *(panel.data for panel in panels)]:
        if isinstance(frame, pl.DataFrame):
            fits(frame)
    words = " ".join([heading.text, *heading.subtitle])
    about = {"title": heading, "description": words, "config": theme.config()}
    chart = alt.concat(*panels, columns=columns, spacing=theme.GAP, **about)
    if data is not None:
        chart.data = data
    return chart


def done(
    question: str,
    rows: pl.DataFrame,
    words: Sequence[str],
    drawn: list[alt.LayerChart],
    data: pl.DataFrame | None,
    pick: alt.Parameter | None = None,
    *,
    legend: str = captions.LINES,
    columns: int = 3,
    attacks: str | None = None,
) -> alt.ConcatChart:
    """The finished figure; the legend's selection goes to the first panel, where it works.
    `attacks` are the words about attacks, if not those about eps."""
    if pick is not None:
        drawn[0] = drawn[0].add_params(pick)
    width = sum(panel.width + 60 for panel in drawn[:columns]) + 60
    attacks = captions.attacks(rows) if attacks is None else attacks
    lines = [captions.sample(rows), attacks, " ".join(captions.few(words))]
    lines += [captions.flagged(rows), legend]
    heading = captions.heading(question, lines, max(width, 640))
    return finished(drawn, data, heading, columns)
