"""D(x): by how much GCNN is more accurate than StdCNN, on the same images."""

import altair as alt
import polars as pl

from analysis.figures import labels, panels, scales, theme, thinning
from analysis.rows import selection, vocabulary
from analysis.rows.conditions import BOTH_X, SPATIAL
from analysis.stats import paired

TIERS = [
    name for name in vocabulary.ATTACKS if name not in (*SPATIAL, "equivariance", "diagnostics")
]
"""Attacks that are compared, one panel for each."""
LEGEND = (
    "Line: mean over the seeds that both have, of the difference on the same images. Whisker: "
    "least to greatest seed. Band: 95% interval over seeds and images; below three "
    "seeds over images, for these networks only. Dashed: 0. Labels: eps."
)
CONDITIONS = ("attack", "eps", "eps_unit", "test_rotation")
WIDTH, HEIGHT = 250, 190
MOST_EPS = 4
"""Lines of a panel."""


def few_ranges(rows: pl.DataFrame) -> selection.Comparable:
    """The rows of as many ranges as a page holds, and a note if those are not all."""
    return thinning.fitting(rows, "train_rotation", ["attack"], MOST_EPS + 1)


def found(rows: pl.DataFrame) -> pl.DataFrame:
    """A row per attack, eps and range that both were tested at: the difference, its interval, and
    the least and greatest of a seed."""
    first, second = pl.col("model") == "gcnn", pl.col("model") == "stdcnn"
    shares = rows.with_columns(_share=pl.col("n_correct") / pl.col("n"))
    of_seeds = (
        shares.filter(first)
        .join(shares.filter(second), on=[*CONDITIONS, "seed"], how="inner")
        .with_columns(_difference=pl.col("_share") - pl.col("_share_right"))
        .group_by(CONDITIONS)
        .agg(
            difference_min=pl.col("_difference").min(),
            difference_max=pl.col("_difference").max(),
            flags=pl.concat_list("flags", "flags_right")
            .explode()
            .drop_nulls()
            .unique()
            .sort()
            .str.join(", "),
        )
    )
    shown = rows.filter(pl.col("eps").is_in(few_eps(of_seeds)))
    data = paired.differences(shown, first, second, CONDITIONS)
    data = data.join(of_seeds, on=CONDITIONS, how="left", maintain_order="left")
    data = data.with_columns(_zero=pl.lit(0.0))
    return data if data.is_empty() else labelled(data)


def labelled(data: pl.DataFrame) -> pl.DataFrame:
    """Adds the eps as `_label` at the end of each line of attacked images, and its `_label_y`."""
    domain = domain_of(data)
    last = pl.col("test_rotation") == pl.col("test_rotation").max().over("attack", "eps")
    text = pl.when(last & (pl.col("eps") > 0)).then(pl.col("eps").cast(pl.String))
    data = data.with_columns(_label=text)
    ends = data.drop_nulls("_label").sort("difference")
    parts = [
        end.with_columns(_label_y=labels.apart(end["difference"], *domain[:2]))
        for end in ends.partition_by("attack", "test_rotation")
    ]
    if not parts:
        return data.with_columns(_label_y=pl.lit(None, pl.Float64))
    heights = pl.concat(parts).select(*CONDITIONS, "_label_y")
    return data.join(heights, on=CONDITIONS, how="left", maintain_order="left")


def domain_of(data: pl.DataFrame) -> scales.Domain:
    """The axis of differences, the same for every panel."""
    return scales.about_zero(data, "difference_min", "difference_max", "lower", "upper")


def few_eps(data: pl.DataFrame) -> list[float]:
    """All eps if they are few, else those measured for most attacks and ranges, and 0."""
    counts = data.filter(pl.col("eps") > 0)["eps"].value_counts().sort("count", "eps")
    return [0.0, *counts["eps"].tail(MOST_EPS)]


def panel(data: pl.DataFrame, attack: str) -> alt.LayerChart:
    """The difference under one attack against the range, a labelled line per eps."""
    domain = domain_of(data)
    most = float(data["test_rotation"].max())  # type: ignore[arg-type]
    x = scales.rotation_x("test_rotation", most, BOTH_X, WIDTH)
    names = ("difference", "lower", "difference_min", "_label_y")
    title = "GCNN minus StdCNN (points)"
    middle, low, least, label_y = (scales.points(alt.Y, name, domain, title) for name in names)
    colour = panels.ordered("eps", {0.0, *data["eps"]}, None)
    text = alt.Chart().mark_text(align="left", dx=7, fontSize=10, fontWeight="bold")
    base = alt.Chart().encode(x=x, color=colour)
    zero = (
        alt.Chart()
        .mark_rule(color=theme.MUTED, strokeDash=[3, 3])
        .encode(y=scales.points(alt.Y, "_zero", domain, title))
    )
    tips = [column for column in data.columns if not column.startswith("_")]
    layers = [
        zero,
        base.mark_area(fillOpacity=0.15).encode(low, alt.Y2("upper")),
        base.mark_rule(strokeWidth=1.5, strokeOpacity=0.7).encode(least, alt.Y2("difference_max")),
        base.mark_line(strokeWidth=1.75).encode(middle),
        base.mark_point(filled=True, size=45, opacity=1).encode(
            middle, tooltip=panels.tooltip(tips)
        ),
        text.encode(x=x, y=label_y, text="_label:N", color=colour),
    ]
    chart = alt.LayerChart(layer=layers).properties(
        width=WIDTH, height=HEIGHT, title=alt.TitleParams(theme.attack(attack))
    )
    return panels.filtered(chart, {"attack": attack})
