"""Accuracy as a table of colours: train range against test range, one per model and eps."""

import math

import altair as alt
import polars as pl

from analysis.figures import captions, layers, panels, thinning, tooltips
from analysis.rows import selection, vocabulary
from analysis.rows.conditions import (
    CLEAN,
    NO_ADVERSARY,
    PAPER_EPS,
    SAME_RANGE,
    SMALLER_EPS,
    nearest_eps,
)
from analysis.rows.selection import Comparable, comparable, where
from analysis.stats.summary import summary

ATTACKS = ("pgd", "fgsm")
"""The attack that is shown is the first that was measured."""
LEGEND = "Cell: accuracy in percent, mean over seeds. No cell: not measured."
DARK_INK, LIGHT_INK = "#111", "#fff"
"""Of the numbers on light and on dark cells; a dark page changes neither."""
CELL = 34
"""Pixels of a cell."""
CONDITIONS = ("model", "variant", "train_rotation", "test_rotation", "attack", "eps")
MOST_RANGES = 12
"""Rows and columns of a panel."""


def cube(rows: pl.DataFrame) -> alt.ConcatChart:
    """Accuracy by train range, test range and eps: the paper varies both ranges at once."""
    needs = "attack pgd or fgsm at test_rotation other than train_rotation, adversary none"
    attacked = pl.col("attack").is_in(ATTACKS) & (pl.col("eps") > 0)
    crossed = where(rows, needs, attacked, ~SAME_RANGE, NO_ADVERSARY)
    attack = next(name for name in ATTACKS if name in set(crossed["attack"]))
    crossed, notes = comparable(crossed.filter(attack=attack))
    shown = CLEAN | (attacked & (pl.col("attack") == attack))
    rows, more = comparable(rows.filter(shown).join(crossed, on="trial", how="semi"))
    rows = at_primary_eps(rows).join(crossed, on="test_rotation", how="semi")
    rows, left_out = thinned_ranges(selection.at_least_two(rows, "train_rotation", needs))
    data = summary(rows, CONDITIONS)
    data = data.with_columns(_percent=(100 * pl.col("accuracy")).round(0).cast(pl.Int64))
    models, levels = vocabulary.in_order(data["model"]), sorted(set(data["eps"]))
    return panels.figure(
        "Accuracy by rotation in training, rotation in tests and eps",
        rows,
        [captions.NO_ADVERSARY, *notes, *more, *left_out],
        [panel(data, model, attack, eps) for model in models for eps in levels],
        data,
        legend=LEGEND,
        columns=len(levels),
        selectable=False,
    )


def at_primary_eps(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows without attack and at the eps nearest to 0.1 and to 0.3, at the test ranges of the
    attack."""
    attacked = rows.filter(pl.col("eps") > 0)
    levels = {nearest_eps(attacked, eps)[1] for eps in (SMALLER_EPS, PAPER_EPS)}
    tested = attacked.filter(pl.col("eps").is_in(levels)).select("model", "test_rotation").unique()
    clean = rows.filter(pl.col("attack") == "none")
    both = pl.concat([clean, attacked.filter(pl.col("eps").is_in(levels))])
    return both.join(tested, on=["model", "test_rotation"], how="semi", maintain_order="left")


def thinned_ranges(rows: pl.DataFrame) -> Comparable:
    """The rows at so few ranges that a page holds a cell for each pair of them. Test ranges that
    are train ranges too are kept first, so that the diagonal is seen."""
    cells = panels.MOST_ROWS // rows.select("model", "eps").n_unique()
    most = min(MOST_RANGES, math.isqrt(cells))
    rows, notes = thinning.thinned(rows, "train_rotation", most)
    trained = set(rows["train_rotation"])
    same = set(rows["test_rotation"]) & trained
    others = sorted(set(rows["test_rotation"]) - trained)
    room = most - len(same)
    more = thinning.evenly(others, room) if room > 1 else []
    rows, left_out = thinning.at_values(rows, "test_rotation", {*same, *more})
    return Comparable(rows, [*notes, *left_out])


def panel(data: pl.DataFrame, model: str, attack: str, eps: float) -> alt.LayerChart:
    """One model at one eps: train range down, test range across."""
    across, down = (sorted(set(data[name])) for name in ("test_rotation", "train_rotation"))
    degrees = "(datum.value ? '±' : '') + datum.label + '°'"
    x, y = (
        channel(
            f"{name}:O",
            title=title,
            scale=dict(domain=values),
            axis=dict(labelExpr=degrees, labelAngle=0, format="~g", grid=False),
        )
        for channel, name, title, values in (
            (alt.X, "test_rotation", "Test rotation", across),
            (alt.Y, "train_rotation", "Training", down),
        )
    )
    scheme = alt.SchemeParams(name="viridis")
    colour = alt.Color(
        "accuracy:Q",
        scale=dict(domain=[0, 1], scheme=scheme),
        legend=dict(title="Accuracy", format=".0%"),
    )
    cells = (
        layers.Layer().mark_rect().encode(x, y, colour, tooltip=tooltips.tooltip(data, CONDITIONS))
    )
    ink = (
        alt.when("datum.accuracy > 0.6").then(alt.value(DARK_INK)).otherwise(alt.value(LIGHT_INK))
    )
    numbers = layers.Layer().mark_text(fontSize=10).encode(x, y, color=ink, text="_percent:N")
    name = f"{vocabulary.ATTACKS[attack]} at eps {eps:g}" if eps else vocabulary.ATTACKS["none"]
    return panels.panel(
        [cells, numbers],
        f"{vocabulary.label(model)}, {name}",
        {"model": model, "eps": eps},
        width=max(CELL * len(across), 120),
        height=max(CELL * 0.7 * len(down), 70),
    )
