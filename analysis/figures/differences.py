"""D(x): by how much GCNN is more accurate than StdCNN, on the same images."""

import altair as alt
import polars as pl

from analysis.figures import captions, layers, panels, scales, theme, thinning, tooltips
from analysis.rows import phrases, selection, vocabulary
from analysis.rows.conditions import BOTH_X, CLEAN, NO_ADVERSARY, ON_PIXELS, SAME_RANGE
from analysis.rows.selection import Comparable, NotMeasured, comparable, where
from analysis.stats import paired

LEGEND = (
    "Line: mean over seeds of the difference on the same images. Whisker: least to greatest seed. "
    "Band: 95% interval."
)
CONDITIONS = ("attack", "eps", "eps_unit", "test_rotation")
WIDTH, HEIGHT = 250, 190
MOST_EPS = 4
"""Lines of a panel."""


GCNN, STDCNN = (pl.col("model") == name for name in ("gcnn", "stdcnn"))


def difference(rows: pl.DataFrame) -> alt.ConcatChart:
    """D(x): robust accuracy of GCNN minus that of StdCNN against the range, for every attack."""
    needs = "model gcnn and stdcnn, train_rotation = test_rotation, adversary none"
    compared = ON_PIXELS, (pl.col("eps") > 0) | CLEAN
    chosen = where(rows, needs, GCNN | STDCNN, *compared, SAME_RANGE, NO_ADVERSARY)
    rows, notes = comparable(chosen)
    rows, ranges = thinning.thinned_to_fit(rows, "train_rotation", ["attack"], MOST_EPS + 1)
    of_seeds = over_seeds(rows)
    shown, strengths = thinned_eps(rows, of_seeds)
    data = paired.differences(shown, GCNN, STDCNN, CONDITIONS)
    if data.is_empty():
        raise NotMeasured(f"needs rows with {needs}, of the same seed and images")
    selection.at_least_two(data, "test_rotation", needs)
    data = data.join(of_seeds, on=CONDITIONS, how="left", maintain_order="left")
    attacks = vocabulary.in_order(data["attack"], vocabulary.ATTACKS)
    variants = [phrases.kind(*each) for each in selection.main_variants(rows).items()]
    words = [
        "Above 0 GCNN is more accurate, below 0 StdCNN.",
        f"Variants: {phrases.listed(variants)}.",
        captions.NO_ADVERSARY,
    ]
    return panels.figure(
        "Accuracy of GCNN minus that of StdCNN, against rotation",
        rows,
        [*words, *notes, *ranges, *strengths],
        [panel(data, attack) for attack in attacks],
        data.with_columns(_zero=pl.lit(0.0)),
        legend=LEGEND,
        selectable=False,
        shared="y",
    )


def over_seeds(rows: pl.DataFrame) -> pl.DataFrame:
    """A row per attack, eps and range that both were tested at: the least and greatest difference
    of a seed, and the flags of both."""
    shares = rows.with_columns(_share=pl.col("n_correct") / pl.col("n"))
    flags = pl.concat_list("flags", "flags_right").explode().drop_nulls().unique().sort()
    return (
        shares.filter(GCNN)
        .join(shares.filter(STDCNN), on=[*CONDITIONS, "seed"], how="inner")
        .with_columns(_difference=pl.col("_share") - pl.col("_share_right"))
        .group_by(CONDITIONS)
        .agg(
            difference_min=pl.col("_difference").min(),
            difference_max=pl.col("_difference").max(),
            flags=flags.str.join(", "),
        )
    )


def thinned_eps(rows: pl.DataFrame, compared: pl.DataFrame) -> Comparable:
    """The rows without attack and at the eps compared, or at those compared under most attacks and
    ranges; a note if there are others."""
    attacked = compared.filter(pl.col("eps") > 0)
    counts = attacked["eps"].value_counts().sort("count", "eps")
    kept = counts["eps"].tail(MOST_EPS).to_list()
    notes = thinning.at_values(attacked, "eps", kept).notes
    return Comparable(rows.filter(pl.col("eps").is_in([0.0, *kept])), notes)


def panel(data: pl.DataFrame, attack: str) -> alt.LayerChart:
    """The difference under one attack against the range, a line per eps."""
    title = "GCNN minus StdCNN (points)"
    most = float(data["test_rotation"].max())  # type: ignore[arg-type]
    x = scales.rotation_x("test_rotation", most, BOTH_X, WIDTH)
    y = layers.ranged(scales.points, alt.Y, "difference", title)
    low, at_zero = (scales.points(alt.Y, name, title) for name in ("lower", "_zero"))
    look = layers.shades("eps", {0.0, *data["eps"]}, "eps")
    tips = tooltips.tooltip(data, CONDITIONS, ["difference"])
    marks = [
        layers.Layer().mark_rule(color=theme.MUTED, strokeDash=[3, 3]).encode(y=at_zero),
        *layers.lines(x, y, look, tips, (low, alt.Y2("upper"))),
    ]
    return panels.panel(
        marks, theme.attack(attack), {"attack": attack}, width=WIDTH, height=HEIGHT
    )
