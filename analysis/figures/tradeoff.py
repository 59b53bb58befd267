"""Figures of the trade-off between robustness to rotations and to pixels."""

import altair as alt
import polars as pl

from analysis.figures import captions, panels, pareto_fronts, theme, thinning, tradeoff_points
from analysis.figures.panels import against_rotation, done
from analysis.rows import selection, vocabulary
from analysis.rows.conditions import CLEAN, NO_ADVERSARY, TIPS, UPRIGHT
from analysis.rows.selection import NotMeasured, comparable, where
from analysis.stats.summary import summary

LABELS = "Labels: train_rotation."
FRONTS = (
    "Point: mean over seeds; shape: training; colour: train_rotation. Solid: Pareto front of the "
    "architecture, no point is as good one way and better the other; dashed: of all "
    "architectures, whose points are grey. The 95% interval, and what it covers, is in the "
    "tooltip. Whiskers are left out."
)


def tradeoff(rows: pl.DataFrame) -> alt.ConcatChart:
    """Robustness to rotations against robustness to PGD, a path per model over train ranges."""
    found = tradeoff_points.points(rows)
    pick, click = panels.legend_selection(), panels.click_selection()
    adversaries = vocabulary.in_order(found.data["adversary"], vocabulary.ADVERSARIES)
    look = panels.model_encodings(found.data["model"]) | {"opacity": panels.dimmed(pick, click)}
    drawn = [
        tradeoff_points.panel(found, adversary, look, theme.WIDTH) for adversary in adversaries
    ]
    drawn[0] = drawn[0].add_params(click)
    question = "Is robustness to rotations paid for with robustness to PGD?"
    words = [*found.words, LABELS, *found.notes]
    columns = 2 if len(drawn) <= 4 else 3
    return done(
        question,
        found.rows,
        words,
        drawn,
        found.data,
        pick,
        legend=captions.POINTS,
        columns=columns,
    )


def frontier(rows: pl.DataFrame) -> alt.ConcatChart:
    """Both robustnesses of every network of an architecture, however it was trained, and the
    networks that no other excels."""
    found = tradeoff_points.points(rows, tradeoff_points.all_recipes)
    data = pareto_fronts.with_fronts(found.data.drop("^_.*$"))
    models = vocabulary.in_order(data["model"])
    drawn = [pareto_fronts.panel(found, data, model) for model in models]
    question = "Which architecture and training gives the most of both robustnesses?"
    words = [*found.words, *found.notes]
    return done(question, found.rows, words, drawn, data, legend=FRONTS)


def overview(rows: pl.DataFrame) -> alt.ConcatChart:
    """Both robustnesses side by side, linked: a click on a model dims the others."""
    needs = "attack none or pgd, adversary none"
    rows = where(rows, needs, NO_ADVERSARY, pl.col("attack").is_in(["none", "pgd"]))
    rows, notes = selection.trained_alike(rows)
    rows, more = selection.tested_alike(rows)
    notes += more
    shown, parts = [], []
    clean = rows.filter(CLEAN, UPRIGHT)
    if clean["test_rotation"].n_unique() > 1:
        kept, more = thinning.fitting(comparable(clean).rows, "test_rotation", ["model"])
        notes += more
        shown.append(kept)
        parts.append(summary(shown[0], TIPS))
    else:
        notes.append("Not measured: networks trained with train_rotation 0 at two test ranges.")
    try:
        found = tradeoff_points.points(rows)
    except NotMeasured as error:
        if not shown:
            raise
        found = None
        notes.append(f"The trade-off is not shown: it {error}.")
    pick, click = panels.legend_selection(), panels.click_selection()
    models = set().union(*(part["model"] for part in [*parts, *([found.data] if found else [])]))
    look = panels.model_encodings(models) | {"opacity": panels.dimmed(pick, click)}
    drawn = [against_rotation("Trained on upright digits, no attack", p, look) for p in parts]
    if found:
        parts.append(found.data)
        shown.append(found.rows)
        drawn.append(tradeoff_points.panel(found, "none", look, theme.WIDTH))
        notes = [*found.words, LABELS, *found.notes, *notes]
    for chart, part in zip(drawn, parts, strict=True):
        chart.data = part
    drawn[-1] = drawn[-1].add_params(click)
    question = "Robust to rotations, robust to adversarial pixels: is one paid for with the other?"
    words = ["No adversary in training.", *notes]
    return done(question, shown[-1], words, drawn, None, pick, legend=captions.BOTH)
