"""Accuracy as a table of colours: train range against test range, one per model and eps."""

import math

import altair as alt
import polars as pl

from analysis.figures import panels, thinning
from analysis.rows import selection, vocabulary

ATTACKS = ("pgd", "fgsm")
"""The attack that is shown is the first that was measured."""
EPS = (0.1, 0.3)
LEGEND = (
    "Cell: accuracy in percent, mean over seeds; n, least and greatest seed and the 95% "
    "interval, with what it covers, are in the tooltips. No cell: not measured. Whiskers are "
    "left out."
)
DARK_INK, LIGHT_INK = "#111", "#fff"
"""Of the numbers on light and on dark cells; a dark page changes neither."""
CELL = 34
"""Pixels of a cell."""
MOST_RANGES = 12
"""Rows and columns of a panel."""


def few_eps(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows without attack and at the eps nearest to 0.1 and to 0.3, at the test ranges of the
    attack."""
    attacked = rows.filter(pl.col("eps") > 0)
    levels = {selection.nearest_eps(attacked, eps)[1] for eps in EPS}
    tested = attacked.filter(pl.col("eps").is_in(levels)).select("model", "test_rotation").unique()
    clean = rows.filter(pl.col("attack") == "none")
    both = pl.concat([clean, attacked.filter(pl.col("eps").is_in(levels))])
    return both.join(tested, on=["model", "test_rotation"], how="semi", maintain_order="left")


def few_ranges(rows: pl.DataFrame) -> selection.Comparable:
    """The rows at so few ranges that a page holds a cell for each pair of them. Test ranges that
    are train ranges too are kept first, so that the diagonal is seen."""
    cells = panels.MOST_ROWS // rows.select("model", "eps").n_unique()
    most = min(MOST_RANGES, math.isqrt(cells))
    rows, notes = thinning.few(rows, "train_rotation", most)
    trained = set(rows["train_rotation"])
    same = set(rows["test_rotation"]) & trained
    others = sorted(set(rows["test_rotation"]) - trained)
    room = most - len(same)
    more = thinning.evenly(others, room) if room > 1 else []
    rows, left_out = thinning.at(rows, "test_rotation", {*same, *more})
    return selection.Comparable(rows, [*notes, *left_out])


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
    tips = [column for column in data.columns if not column.startswith("_")]
    scheme = alt.SchemeParams(name="viridis")
    colour = alt.Color(
        "accuracy:Q",
        scale=dict(domain=[0, 1], scheme=scheme),
        legend=dict(title="Accuracy", format=".0%"),
    )
    cells = alt.Chart().mark_rect().encode(x, y, colour, tooltip=panels.tooltip(tips))
    ink = (
        alt.when("datum.accuracy > 0.6").then(alt.value(DARK_INK)).otherwise(alt.value(LIGHT_INK))
    )
    numbers = alt.Chart().mark_text(fontSize=10).encode(x, y, color=ink, text="_percent:N")
    name = f"{vocabulary.ATTACKS[attack]} at eps {eps:g}" if eps else vocabulary.ATTACKS["none"]
    heading = alt.TitleParams(f"{vocabulary.label(model)}, {name}")
    chart = alt.LayerChart(layer=[cells, numbers]).properties(
        width=max(CELL * len(across), 120), height=max(CELL * 0.7 * len(down), 70), title=heading
    )
    return panels.filtered(chart, {"model": model, "eps": eps})
