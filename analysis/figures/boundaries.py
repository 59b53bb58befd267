"""Distances of images to the decision boundary: the share of them beyond each distance."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from analysis.figures import panels, scales, theme, thinning
from analysis.rows import selection

MOST_PANELS = 6
SHARES = [index / 40 for index in range(41)]
"""The quantiles that are drawn."""
LEGEND = (
    "Line: the distance beyond which a share of the images lies, mean over seeds of their "
    "quantiles; a misclassified image lies at 0. Band: least to greatest seed. Distances are "
    "found by an attack, so they are upper bounds: the accuracy under the best attack of size "
    "eps is no higher than the line at eps. No interval or whisker is drawn."
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


def few_ranges(rows: pl.DataFrame) -> selection.Comparable:
    """The rows of the ranges that have a panel, and a note if those are not all."""
    fit = panels.MOST_ROWS // (len(SHARES) * rows["model"].n_unique())
    return thinning.few(rows, "train_rotation", min(fit, MOST_PANELS))


def panel(data: pl.DataFrame, turn: float, look: Mapping[str, Any]) -> alt.LayerChart:
    """One range of training and test rotations."""
    most = scales.from_zero(data.filter(pl.col("share") >= 0.025), "distance_max")
    title = "Distance to the boundary (L-inf, pixel units)"
    x, least = (scales.amount(alt.X, name, most, title) for name in ("distance", "distance_min"))
    y = scales.share(alt.Y, "share", scales.WHOLE, "Images that lie further")
    encodings = {key: value for key, value in look.items() if key != "shape"}
    base = alt.Chart().encode(y=y, **encodings)
    marks = base.mark_point(filled=True, size=40, opacity=1, clip=True)
    tips = [column for column in data.columns if not column.startswith("_")]
    layers = [
        base.mark_rule(strokeWidth=4, strokeOpacity=0.2, clip=True).encode(
            least, alt.X2("distance_max")
        ),
        base.mark_line(strokeWidth=1.75, clip=True).encode(x, order="share:Q"),
        marks.encode(x, shape=look["shape"], tooltip=panels.tooltip(tips)).transform_filter(
            "round(40 * datum.share) % 5 === 0"
        ),
    ]
    digits = theme.turn(turn) if turn else "upright digits"
    heading = alt.TitleParams(f"Trained and tested on {digits}")
    chart = alt.LayerChart(layer=layers).properties(width=250, height=190, title=heading)
    return panels.filtered(chart, {"train_rotation": turn})
