"""Distances of images to the decision boundary: the share of them beyond each distance."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from analysis.figures import captions, layers, panels, scales, theme, thinning, tooltips
from analysis.rows.conditions import LINF, NO_ADVERSARY, SAME_RANGE
from analysis.rows.selection import Comparable, comparable, where

MOST_PANELS = 6
SHARES = [index / 40 for index in range(41)]
"""The quantiles that are drawn."""
LEGEND = (
    "Line: share of images beyond a distance (an upper bound), mean over seeds. Band: least to "
    "greatest seed."
)
CONDITIONS = ("model", "variant", "train_rotation", "test_rotation", "attack")


def quantiles(rows: pl.DataFrame) -> pl.DataFrame:
    """A row per kind of network and share of images: the distance beyond which that share lies,
    over the seeds; without shares whose distance is unknown in any seed (no boundary was found):
    the mean of the others would be too small."""
    of_seeds = rows.select(
        *CONDITIONS,
        "seed",
        "n",
        share=pl.lit(SHARES, pl.List(pl.Float64)),
        distance=pl.concat_list(
            pl.col("distances").list.eval(pl.element().quantile(1 - share, "nearest")).list.first()
            for share in SHARES
        ),
    ).explode("share", "distance")
    return (
        of_seeds.group_by(*CONDITIONS, "share")
        .agg(
            distance=pl.col("distance").mean(),
            distance_min=pl.col("distance").min(),
            distance_max=pl.col("distance").max(),
            seeds=pl.col("seed").n_unique(),
            n=pl.col("n").min(),
        )
        .filter(pl.col("distance").is_finite())
        .sort(*CONDITIONS, "share")
    )


def boundary(rows: pl.DataFrame) -> alt.ConcatChart:
    """How far images lie from the decision boundary: the share of them beyond each distance."""
    needs = "attack fmn, train_rotation = test_rotation, adversary none, distances"
    measured = pl.col("distances").is_not_null()
    fmn = pl.col("attack") == "fmn"
    chosen = where(rows, needs, fmn, LINF, measured, SAME_RANGE, NO_ADVERSARY)
    rows, notes = comparable(chosen)
    rows = rows.unique(["trial", "test_rotation"], keep="first", maintain_order=True)
    rows, more = thinned_ranges(rows)
    data = where(quantiles(rows), f"{needs} of which one is finite", pl.lit(True))
    look = layers.model_encodings(data["model"])
    drawn = [panel(data, degrees, look) for degrees in sorted(set(data["train_rotation"]))]
    return panels.figure(
        "Distances of images to the decision boundary",
        rows,
        [captions.NO_ADVERSARY, "A misclassified image lies at 0.", *notes, *more],
        drawn,
        data,
        legend=LEGEND,
        attacks=f"{captions.attack_settings(rows)}.",
    )


def thinned_ranges(rows: pl.DataFrame) -> Comparable:
    """The rows of the ranges that have a panel, and a note if those are not all."""
    most = panels.MOST_ROWS // (len(SHARES) * rows["model"].n_unique())
    return thinning.thinned(rows, "train_rotation", min(most, MOST_PANELS))


def panel(data: pl.DataFrame, degrees: float, look: Mapping[str, Any]) -> alt.LayerChart:
    """One range of training and test rotations."""
    title = "Distance to the boundary (L-inf, pixel units)"
    x = layers.ranged(scales.amount, alt.X, "distance", title)
    y = scales.share(alt.Y, "share", "Images that lie further", most=1.0)
    base = layers.Layer().encode(y=y, color=look["color"], opacity=look["opacity"])
    points = base.mark_point(filled=True, size=40, opacity=1).encode(
        x.mean,
        shape=look["shape"],
        tooltip=tooltips.tooltip(data, [*CONDITIONS, "share"], ["distance"]),
    )
    band = base.mark_rule(strokeWidth=4, strokeOpacity=0.2)
    marks = [
        band.encode(x.least, x.greatest),
        base.mark_line(strokeWidth=1.75).encode(x.mean, order="share:Q"),
        points.transform_filter("round(40 * datum.share) % 5 === 0"),
    ]
    images = theme.rotation(degrees) if degrees else "upright images"
    name, only = f"Trained and tested on {images}", {"train_rotation": degrees}
    return panels.panel(marks, name, only, width=250, height=190)
