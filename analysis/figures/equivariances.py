"""How far networks are from invariance to rotations: the equivariance error of their logits."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from analysis.figures import captions, layers, panels, scales, theme, thinning, tooltips
from analysis.rows.conditions import (
    CLEAN,
    NO_ADVERSARY,
    SAME_RANGE,
    SMALLER_EPS,
    nearest_eps,
)
from analysis.rows.selection import Comparable, alike_networks, comparable, where
from analysis.stats.summary import summary

NETWORK = ("model", "variant", "train_rotation")
NEEDS = "layer logits in table equivariance, adversary none"
WIDTH = 250
LEGEND = "Line or point: mean over seeds. Whisker: least to greatest seed."
MEANING = "The error is 0 if the logits stay when the image rotates; it is in their deviations."


def equivariance(rows: pl.DataFrame, errors: pl.DataFrame) -> alt.ConcatChart:
    """How far the logits are from invariance to rotations, and beside it robustness to PGD."""
    measured, notes = of_logits(errors)
    data, more = thinning.thinned_to_fit(
        by_angle(measured), "train_rotation", ["model", "degrees"]
    )
    notes += more
    of_networks = pl.col("trial").is_in(measured["trial"].unique().implode())
    rows = where(rows, f"the networks that have {NEEDS}", of_networks)
    pgd = rows.filter(pl.col("attack") == "pgd", pl.col("eps") > 0, SAME_RANGE)
    look = layers.model_encodings(data["model"])
    ends = data["train_rotation"].min(), data["train_rotation"].max()
    drawn = [panel(data, degrees, look) for degrees in dict.fromkeys(ends)]  # type: ignore[arg-type]
    if pgd.is_empty():
        clean = rows.filter(CLEAN)
        shown = rows if clean.is_empty() else clean
        notes.append("Not measured: attack pgd on the same networks.")
    else:
        shown, more = comparable(pgd, all_variants=True)
        shown, eps = nearest_eps(shown, SMALLER_EPS)
        data = with_accuracy(data, summary(shown, NETWORK))
        drawn.append(scatter(data, eps, look))
        notes += more
    return panels.figure(
        "Equivariance error, and accuracy under PGD against it",
        shown,
        [captions.NO_ADVERSARY, MEANING, *notes],
        drawn,
        data,
        legend=LEGEND,
    )


def of_logits(errors: pl.DataFrame) -> Comparable:
    """The finite errors of the logits of networks that were trained alike."""
    chosen = where(errors, NEEDS, pl.col("layer") == "logits", NO_ADVERSARY)
    chosen, notes = alike_networks(chosen)
    finite = where(chosen, f"{NEEDS}, that are finite", pl.col("error").is_finite())
    if unknown := chosen.height - finite.height:
        notes.append(f"Left out: {unknown} errors that are not finite.")
    return Comparable(finite, notes)


def over_seeds(errors: pl.DataFrame, conditions: Sequence[str]) -> pl.DataFrame:
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
    """A row per kind of network and rotation, and one for all of them, whose `degrees` is null."""
    once = errors.sort("n", descending=True).unique(["trial", "degrees"], keep="first")
    each = over_seeds(once, [*NETWORK, "degrees"])
    mean = over_seeds(once, NETWORK).with_columns(degrees=pl.lit(None, pl.Float64))
    return pl.concat([each, mean.select(each.columns)])


def with_accuracy(data: pl.DataFrame, robust: pl.DataFrame) -> pl.DataFrame:
    """Adds the accuracy under attack to the rows for all rotations."""
    renamed = robust.rename({c: f"robust_{c}" for c in robust.columns if c in ("n", "seeds")})
    data = data.join(renamed, on=NETWORK, how="left", maintain_order="left")
    mean = pl.col("degrees").is_null() & pl.col("accuracy").is_not_null()
    return data.with_columns(_scatter=mean, _hollow=False)


def panel(data: pl.DataFrame, train_rotation: float, look: Mapping[str, Any]) -> alt.LayerChart:
    """Error against the rotation of the networks of one training range."""
    angles = data.drop_nulls("degrees")
    most = float(angles["degrees"].max())  # type: ignore[arg-type]
    x = scales.rotation_x("degrees", most, "Rotation of every image", WIDTH, sign="")
    title = "Equivariance error of the logits (deviations)"
    greatest = float(angles["error_max"].max())  # type: ignore[arg-type]
    y = layers.ranged(scales.amount, alt.Y, "error", title, most=greatest)
    tips = tooltips.tooltip(data.drop("flags", strict=False), [*NETWORK, "degrees"], ["error"])
    images = theme.rotation(train_rotation) if train_rotation else "upright images"
    only = {"train_rotation": train_rotation}
    marks = layers.lines(x, y, look, tips)
    chart = panels.panel(marks, f"Trained on {images}", only, width=WIDTH)
    return chart.transform_filter("datum.degrees !== null")


def scatter(data: pl.DataFrame, eps: float, look: Mapping[str, Any]) -> alt.LayerChart:
    """Accuracy under PGD against the mean error over all rotations, a path per model."""
    title = "Equivariance error, mean over rotations (deviations)"
    x = layers.ranged(scales.amount, alt.X, "error", title)
    y = layers.ranged(scales.share, alt.Y, "accuracy", "Accuracy under PGD")
    tips = tooltips.tooltip(data, NETWORK, ["error", "accuracy"], "robust_n")
    shown = data.filter("_scatter")
    marks = layers.scatter(shown, x, y, look, tips, layers.sized(shown))
    name = f"PGD at eps {eps:g}, images rotated as in training"
    return panels.panel(marks, name, {"_scatter": True}, width=WIDTH)
