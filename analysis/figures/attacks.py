"""Every network under every attack on pixels, the user's own among them: accuracy against eps."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from analysis.figures import captions, layers, panels, theme, thinning
from analysis.figures.costs import one_range
from analysis.figures.strengths import eps_axis, with_eps_zero
from analysis.rows import vocabulary
from analysis.rows.conditions import ATTACKED, CLEAN, NO_ADVERSARY, ON_PIXELS, SAME_RANGE
from analysis.rows.selection import comparable, where
from analysis.stats.summary import summary

NEEDS = "an attack on pixels at eps > 0, train_rotation = test_rotation, adversary none"
WIDTH, HEIGHT = 250, 190
NETWORK = ("model", "variant")


def attacks(rows: pl.DataFrame) -> alt.ConcatChart:
    """Accuracy against eps, a panel for every attack that was measured and a line per model."""
    wanted = ON_PIXELS, (pl.col("eps") > 0) | CLEAN, SAME_RANGE, NO_ADVERSARY
    attacked, of_range = one_range(where(rows, NEEDS, *wanted, ~CLEAN))
    degrees = attacked["train_rotation"][0]
    rows, notes = comparable(rows.filter(*wanted, pl.col("train_rotation") == degrees))
    measured = set(rows.filter(~CLEAN)["attack"])
    names = vocabulary.in_order(measured, vocabulary.ATTACKS)
    each, points = thinning.thinned_to_fit(
        pl.concat(with_eps_zero(rows, name) for name in names), "eps", ["attack", "model"]
    )
    data = summary(each, [*NETWORK, *ATTACKED])
    look = layers.model_encodings(data["model"])
    return panels.figure(
        "Accuracy under each attack against eps",
        rows,
        [of_range, captions.NO_ADVERSARY, "Eps 0: no attack.", *notes, *points],
        [panel(data.filter(attack=name), name, look) for name in names],
        data,
        legend=captions.LINES,
    )


def panel(data: pl.DataFrame, attack: str, look: Mapping[str, Any]) -> alt.LayerChart:
    """Accuracy of every model against eps under one attack."""
    marks = layers.accuracy_lines(data, eps_axis(data), look, [*NETWORK, *ATTACKED])
    return panels.panel(
        marks, theme.attack(attack), {"attack": attack}, width=WIDTH, height=HEIGHT
    )
