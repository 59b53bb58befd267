"""How far networks are from invariance to turns: the equivariance error of their logits."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from analysis.figures import labels, panels, scales, theme

NETWORK = ("model", "variant", "train_rotation")
WIDTH = 250
LEGEND = (
    "Error: 0 if the logits stay when the image turns, in units of their standard deviation. "
    "Line or point: mean over seeds (right: and over the turns). Whisker: least to greatest seed. "
    "Labels: train_rotation. The 95% interval of an accuracy, and what it covers, is in "
    "the tooltip."
)


def spread(errors: pl.DataFrame, conditions: Sequence[str]) -> pl.DataFrame:
    """Mean, least and greatest error over the seeds, of the mean in each seed."""
    of_seeds = errors.group_by(*conditions, "seed").agg(pl.col("error").mean(), pl.col("n").max())
    return (
        of_seeds.group_by(conditions)
        .agg(
            pl.col("error").mean(),
            error_min=pl.col("error").min(),
            error_max=pl.col("error").max(),
            seeds=pl.len().cast(pl.Int64),
            n=pl.col("n").min(),
        )
        .sort(conditions)
    )


def by_angle(errors: pl.DataFrame) -> pl.DataFrame:
    """A row per kind of network and turn, and one for all turns, whose `degrees` is null."""
    once = errors.sort("n", descending=True).unique(["trial", "degrees"], keep="first")
    each = spread(once, [*NETWORK, "degrees"])
    mean = spread(once, NETWORK).with_columns(degrees=pl.lit(None, pl.Float64))
    return pl.concat([each, mean.select(each.columns)])


def beside(data: pl.DataFrame, robust: pl.DataFrame) -> pl.DataFrame:
    """Adds the accuracy under attack to the rows for all turns, and labels for them."""
    renamed = robust.rename({c: f"robust_{c}" for c in robust.columns if c in ("n", "seeds")})
    data = data.join(renamed, on=NETWORK, how="left", maintain_order="left")
    mean = pl.col("degrees").is_null() & pl.col("accuracy").is_not_null()
    data = data.with_columns(_label=pl.when(mean).then(labels.turn()), _scatter=mean)
    error, accuracy = both_axes(data)
    placed = labels.placed(
        labels.thinned(data.filter("_scatter"), "_scatter", "model", "variant"),
        labels.Axis("error", error.lower, error.upper, WIDTH),
        labels.Axis("accuracy", accuracy.lower, accuracy.upper, theme.HEIGHT),
        "_scatter",
    )
    return pl.concat([placed, data.filter(~pl.col("_scatter"))], how="diagonal")


def both_axes(data: pl.DataFrame) -> tuple[scales.Domain, scales.Domain]:
    """The axes of errors and of accuracies under attack."""
    shown = data.filter("_scatter")
    return (
        scales.from_zero(shown, "error_max"),
        scales.domain_of(shown, "accuracy_min", "accuracy_max"),
    )


def panel(data: pl.DataFrame, turn: float, look: Mapping[str, Any]) -> alt.LayerChart:
    """Error against the turn of the networks of one training range."""
    turns = data.drop_nulls("degrees")
    most = float(turns["degrees"].max())  # type: ignore[arg-type]
    x = scales.rotation_x("degrees", most, "Turn of every image", WIDTH, sign="")
    domain = scales.from_zero(turns, "error_max")
    title = "Equivariance error of the logits (deviations)"
    middle, least = (scales.amount(alt.Y, name, domain, title) for name in ("error", "error_min"))
    drawn = {key: value for key, value in look.items() if key != "shape"}
    base = alt.Chart().encode(x=x, **drawn)
    tips = [*NETWORK, "degrees", "error", "error_min", "error_max", "seeds", "n"]
    layers = [
        base.mark_rule(strokeWidth=1.5, strokeOpacity=0.7).encode(least, alt.Y2("error_max")),
        base.mark_line(strokeWidth=1.75).encode(middle),
        base.mark_point(filled=True, size=45, opacity=1).encode(
            middle, shape=look["shape"], tooltip=panels.tooltip(tips)
        ),
    ]
    name = f"Trained on {theme.turn(turn)}" if turn else "Trained on upright digits"
    chart = alt.LayerChart(layer=layers).properties(
        width=WIDTH, height=theme.HEIGHT, title=alt.TitleParams(name)
    )
    chart = chart.transform_filter("datum.degrees !== null")
    return panels.filtered(chart, {"train_rotation": turn})


def scatter(data: pl.DataFrame, eps: float, look: Mapping[str, Any]) -> alt.LayerChart:
    """Accuracy under PGD against the mean error over all turns, a path per model."""
    error, accuracy = both_axes(data)
    title = "Equivariance error, mean over turns (deviations)"
    x, least_x = (scales.amount(alt.X, name, error, title) for name in ("error", "error_min"))
    y, least_y = (
        scales.share(alt.Y, name, accuracy, "Accuracy under PGD")
        for name in ("accuracy", "accuracy_min")
    )
    drawn = {key: value for key, value in look.items() if key != "shape"}
    base = alt.Chart().encode(x, y, **drawn)
    whisker = base.mark_rule(strokeOpacity=0.6)
    tips = [column for column in data.columns if column[0] != "_" and column != "degrees"]
    points = base.encode(shape=look["shape"], tooltip=panels.tooltip(tips)).mark_point(
        filled=True, size=70, opacity=1
    )
    layers = [
        base.mark_line(strokeWidth=1.25, strokeOpacity=0.6).encode(order="train_rotation:Q"),
        whisker.encode(least_x, alt.X2("error_max")),
        whisker.encode(least_y, alt.Y2("accuracy_max")),
        *panels.with_flags(data.drop_nulls("flags"), points, points),
        *panels.written(base, x, y),
    ]
    heading = alt.TitleParams(f"PGD at eps {eps:g}, digits turned as in training")
    chart = alt.LayerChart(layer=layers).properties(
        width=WIDTH, height=theme.HEIGHT, title=heading
    )
    return chart.transform_filter("datum._scatter")
