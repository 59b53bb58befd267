"""The parts that figures are made of: encodings, layers and axes. No data is aggregated here."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt
import polars as pl

from analysis import theme

MOST_ROWS = 2_000
LABEL_GAP = 0.055
"""Least distance between two labels, as a share of the height of a panel."""
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
    predicate = selections[0]
    for selection in selections[1:]:
        predicate = predicate & selection
    return alt.when(predicate).then(alt.value(1)).otherwise(alt.value(theme.DIMMED))


def model_encodings(models: Iterable[str]) -> dict[str, Any]:
    """Colour and shape of the models, in one legend."""
    order = theme.in_order(models)
    looks = [theme.look(model, order) for model in order]
    legend = alt.Legend(
        title=None,
        labelExpr=theme.labels({m: look.label for m, look in zip(order, looks, strict=True)}),
        symbolOpacity=1,
        symbolStrokeWidth=2,
    )
    colour = alt.Scale(domain=order, range=[look.colour for look in looks])
    shape = alt.Scale(domain=order, range=[look.shape for look in looks])
    return {
        "color": alt.Color("model:N", scale=colour, legend=legend),
        "shape": alt.Shape("model:N", scale=shape, legend=legend),
    }


def dash_encoding(column: str, labels: Mapping[str, str]) -> alt.StrokeDash:
    """Dashes for the values of a column, in this order: solid, dashed, dotted."""
    legend = alt.Legend(
        title=None, labelExpr=theme.labels(labels), symbolOpacity=1, symbolSize=300
    )
    dashes = alt.Scale(domain=list(labels), range=list(theme.DASHES[: len(labels)]))
    return alt.StrokeDash(f"{column}:N", scale=dashes, legend=legend)


def rotation_x(column: str, most: float, title: str, width: int) -> alt.X:
    """A rotation axis from 0 to `most` degrees; its labels have room."""
    step = next(step for step in (5, 10, 20, 30, 60) if most / step <= width / 45)
    return alt.X(
        f"{column}:Q",
        title=title,
        scale=alt.Scale(domain=[0, most], nice=False),
        axis=alt.Axis(
            values=list(range(0, math.ceil(most) + 1, step)),
            labelExpr="'±' + datum.label + '°'",
            labelFlush=False,
            grid=False,
        ),
    )


class Domain(NamedTuple):
    """An axis of accuracies; `lower` and `upper` lie on ticks that are `step` apart."""

    lower: float
    upper: float
    step: float

    def ticks(self) -> list[float]:
        """Where the ticks are."""
        count = round((self.upper - self.lower) / self.step)
        return [round(self.lower + index * self.step, 6) for index in range(count + 1)]


WHOLE = Domain(0.0, 1.0, 0.2)


def domain_of(data: pl.DataFrame, *columns: str, upper: float = 0.0) -> Domain:
    """The smallest axis that holds all values of the columns, and `upper`."""
    low = min(float(data[column].min()) for column in columns)  # type: ignore[arg-type]
    high = max(upper, *(float(data[column].max()) for column in columns))  # type: ignore[arg-type]
    for step in (0.01, 0.02, 0.05, 0.1, 0.2):
        least, most = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if most - least <= 6:
            break
    least, most = max(least - (least == most), 0), max(most, least + (least == 0))
    return Domain(round(least * step, 6), min(round(most * step, 6), 1.0), step)


def share(channel: type[alt.X | alt.Y], column: str, domain: Domain, title: str) -> Any:  # noqa: ANN401
    """An encoding of accuracies in percent. Every layer of a panel needs the same scale: one that
    leaves the domain open would widen it for all."""
    return channel(
        f"{column}:Q",
        title=title,
        scale=alt.Scale(domain=[domain.lower, domain.upper], nice=False),
        axis=alt.Axis(format=".0%", values=domain.ticks()),
    )


def starts_at(domain: Domain) -> str:
    """The subtitle of a panel: where its y axis starts."""
    return f"y axis from {domain.lower:.0%} to {domain.upper:.0%}"


def tooltip(columns: Sequence[str]) -> list[alt.Tooltip]:
    """Tooltips with human titles, units and percent."""
    shares = {True: {"format": ".2%"}, False: {}}
    return [
        alt.Tooltip(c, title=theme.title(c), **shares[theme.is_share(c)])  # type: ignore[arg-type]
        for c in columns
    ]


def curves(
    x: alt.X, domain: Domain, encodings: Mapping[str, Any], tips: Sequence[str]
) -> alt.LayerChart:
    """Band, whiskers, line and points of one panel; the data come from the figure.

    Lines are told apart by whichever of `color` and `strokeDash` the encodings have.
    """
    everywhere = {k: v for k, v in encodings.items() if k not in ("shape", "strokeDash")}
    dash = {k: v for k, v in encodings.items() if k == "strokeDash"}
    shape = {k: v for k, v in encodings.items() if k == "shape"}
    series = [v.shorthand.split(":")[0] for v in dash.values()]
    accuracy, lower, least = (
        share(alt.Y, column, domain, "Accuracy")
        for column in ("accuracy", "wilson_lower", "accuracy_min")
    )
    base = alt.Chart().encode(x=x, detail=series, **everywhere)
    band = base.mark_area(fillOpacity=0.15).encode(lower, alt.Y2("wilson_upper"))
    whisker = base.mark_rule(strokeWidth=1.5, strokeOpacity=0.7).encode(
        least, alt.Y2("accuracy_max")
    )
    line = base.mark_line(strokeWidth=1.75).encode(accuracy, **dash)
    points = base.mark_point(filled=True, size=45, opacity=1).encode(
        accuracy, tooltip=tooltip(tips), **shape
    )
    return alt.layer(band, whisker, line, points)


def end_labels(data: pl.DataFrame, x: str, panel: str, label: str) -> pl.DataFrame:
    """Adds `_label` and `_label_y` to the last point of each range's line; labels that would
    collide are moved apart."""
    last = pl.col(x) == pl.col(x).max().over(panel, "train_rotation")
    ends = data.filter(last).sort(panel, x, "accuracy")
    moved = [
        end.with_columns(
            _label=pl.Series([label.format(value) for value in end["train_rotation"]]),
            _label_y=pl.Series(spread(end["accuracy"].to_list(), LABEL_GAP)),
        )
        for end in ends.partition_by(panel, x, maintain_order=True)
    ]
    keys = [panel, "train_rotation", x]
    labels = pl.concat(moved).select(*keys, "_label", "_label_y")
    return data.join(labels, on=keys, how="left", maintain_order="left")


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Ascending values moved as little as it takes to lie `gap` apart and half a gap above 0."""
    runs: list[tuple[float, int]] = []
    for value in values:
        runs.append((value, 1))
        while len(runs) > 1 and _too_close(*runs[-2:], gap):
            (lower, below), (upper, above) = runs[-2:]
            both = below + above
            runs[-2:] = [((upper * above + lower * below) / both, both)]
    moved: list[float] = []
    for middle, count in runs:
        bottom = middle - gap * (count - 1) / 2
        floor = moved[-1] + gap if moved else gap / 2
        moved += [max(bottom, floor) + gap * index for index in range(count)]
    return moved


def _too_close(lower: tuple[float, int], upper: tuple[float, int], gap: float) -> bool:
    return upper[0] - lower[0] < gap * (upper[1] + lower[1]) / 2


def eps_panel(data: pl.DataFrame, attack: str, counts: Sequence[str]) -> alt.LayerChart:
    """Accuracy against eps under one attack, a directly labelled line per range of rotations."""
    measured = sorted(data.filter(pl.col("attack") == attack)["eps"].unique())
    x = alt.X(
        "eps:Q",
        title="eps (L-inf, pixel units)",
        scale=alt.Scale(domain=[0, measured[-1] * 1.2], nice=False),
        axis=alt.Axis(values=thinned(measured), format="~g", grid=False, labelFlush=False),
    )
    ranges = sorted(data["train_rotation"].unique())
    scheme = alt.SchemeParams(name="viridis", extent=theme.VIRIDIS["light"])
    colour = alt.Color(
        "train_rotation:O", scale=alt.Scale(domain=ranges, scheme=scheme), legend=None
    )
    tips = ["model", "attack", "eps", "train_rotation", *counts]
    text = alt.Chart().mark_text(align="left", dx=7, fontSize=10, fontWeight="bold").encode(
        x=x, y=share(alt.Y, "_label_y", WHOLE, "Accuracy"), text="_label:N", color=colour
    )
    heading = alt.TitleParams(theme.ATTACKS[attack], subtitle=starts_at(WHOLE))
    return (
        alt.layer(*curves(x, WHOLE, {"color": colour}, tips).layer, text)
        .transform_filter(alt.FieldEqualPredicate(field="attack", equal=attack))
        .properties(width=theme.WIDTH, height=theme.HEIGHT, title=heading)
    )


def thinned(values: Sequence[float]) -> list[float]:
    """Those of ascending values that can be written side by side."""
    kept = list(values[:1])
    for value in values[1:]:
        if value - kept[-1] >= 0.12 * values[-1] - 1e-9:
            kept.append(value)
    return kept


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
        if isinstance(frame, pl.DataFrame) and frame.height > MOST_ROWS:
            raise ValueError(f"{frame.height} rows are more than the {MOST_ROWS} that a figure may hold")
    words = " ".join([heading.text, *heading.subtitle])
    chart = alt.concat(*panels, columns=columns, spacing=theme.GAP)
    if data is not None:
        chart.data = data
    return chart.properties(
        title=heading, description=words, config=alt.Config.from_dict(theme.config())
    )
