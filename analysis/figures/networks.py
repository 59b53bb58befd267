"""Figures beyond the paper about the networks themselves: equivariance, learning and cost.

They need tables besides that of evaluations; the registry says which.
"""

import altair as alt
import polars as pl

from analysis.figures import (
    captions,
    costs,
    equivariances,
    learning_curves,
    panels,
    thinning,
    tradeoff_points,
)
from analysis.figures.panels import done
from analysis.rows import phrases, selection, vocabulary
from analysis.rows.conditions import CLEAN, NO_ADVERSARY, SAME_RANGE
from analysis.rows.selection import Comparable, comparable, nearest_eps, where
from analysis.stats.summary import summary

ROBUST_EPS = 0.1


def equivariance(rows: pl.DataFrame, errors: pl.DataFrame) -> alt.ConcatChart:
    """How far the logits are from invariance to turns, and beside it robustness to PGD."""
    needs = "layer logits in table equivariance, adversary none"
    chosen = where(errors, needs, pl.col("layer") == "logits", NO_ADVERSARY)
    chosen, notes = alike(chosen)
    every = equivariances.by_angle(chosen)
    data, more = thinning.fitting(every, "train_rotation", ["model", "degrees"])
    notes += more
    pgd = (pl.col("attack") == "pgd") & (pl.col("eps") > 0)
    attacked = rows.filter(pgd, SAME_RANGE).join(chosen, on="trial", how="semi")
    pick = panels.legend_selection()
    look = panels.model_encodings(data["model"]) | {"opacity": panels.dimmed(pick)}
    turns = sorted(set(data["train_rotation"]))
    drawn = [
        equivariances.panel(data, turn, look) for turn in dict.fromkeys([turns[0], turns[-1]])
    ]
    if attacked.is_empty():
        shown = rows.join(chosen, on="trial", how="semi").filter(CLEAN)
        notes.append("Not measured: attack pgd on the same networks.")
    else:
        shown, more = comparable(attacked, all_variants=True)
        shown, eps = nearest_eps(shown, ROBUST_EPS)
        data = equivariances.beside(data, summary(shown, equivariances.NETWORK))
        drawn.append(equivariances.scatter(data, eps, look))
        notes += more
    question = "Are equivariant networks weaker under PGD?"
    words = ["No adversary in training.", *notes]
    shown = shown if shown.height else rows.join(chosen, on="trial", how="semi")
    return done(question, shown, words, drawn, data, pick, legend=equivariances.LEGEND)


def learning(_: pl.DataFrame, epochs: pl.DataFrame) -> alt.ConcatChart:
    """Loss, validation accuracy and validation accuracy under attack against the epoch."""
    epochs, notes = alike(where(epochs, "table training"))
    epochs, found = learning_curves.outer_ranges(epochs)
    data = where(learning_curves.measures(epochs), "epochs that were validated", pl.lit(True))
    pick = panels.legend_selection()
    look = panels.model_encodings(data["model"]) | {"opacity": panels.dimmed(pick)}
    drawn = learning_curves.drawn(data, look, found)
    drawn[0] = drawn[0].add_params(pick)
    seeds = phrases.plural(data["seeds"], "seed")
    lines = [
        f"{captions.training(epochs)}; {seeds}; n = {phrases.span(epochs['val_n'])} "
        "validation images per network, not test images.",
        " ".join(captions.few(notes)),
        learning_curves.LEGEND,
    ]
    width = sum(panel.width + 60 for panel in drawn[:3]) + 60
    heading = captions.heading("How do the networks learn?", lines, max(width, 640))
    return panels.finished(drawn, data, heading, 3)


def cost(rows: pl.DataFrame, epochs: pl.DataFrame) -> alt.ConcatChart:
    """Accuracy, without attack and under PGD, against the time that training took."""
    needs = "train_rotation = test_rotation, attack none or pgd"
    shown = CLEAN | ((pl.col("attack") == "pgd") & (pl.col("eps") > 0))
    chosen = where(rows, needs, SAME_RANGE, shown)
    seconds, words = costs.of_trials(where(epochs, "table training"))
    chosen = where(
        chosen, f"{needs}, with table training", pl.col("trial").is_in(seconds["trial"])
    )
    chosen, note = costs.one_range(chosen)
    chosen, more = selection.tested_alike(chosen)
    chosen, notes = tradeoff_points.all_recipes(chosen)
    notes += more
    if not chosen.filter(~CLEAN).is_empty():
        chosen, _ = nearest_eps(chosen, ROBUST_EPS)
    data = costs.with_seconds(chosen, seconds)
    pick = panels.legend_selection()
    look = panels.model_encodings(data["model"]) | {"opacity": panels.dimmed(pick)}
    attacks = [name for name in ("none", "pgd") if name in set(data["attack"])]
    drawn = [costs.panel(data, name, look) for name in attacks]
    notes += [
        f"Not measured: {vocabulary.ATTACKS[a]}." for a in ("none", "pgd") if a not in attacks
    ]
    question = "What does accuracy cost in training time?"
    recipe = costs.usual_recipe(data)
    usual = f"Filled: recipe {recipe}, no adversary; hollow: other training (tooltips)."
    said = [note, *words, usual, *notes]
    return done(question, chosen, said, drawn, data, pick, legend=costs.LEGEND)


def alike(networks: pl.DataFrame) -> Comparable:
    """Rows of networks of one variant per model that were trained alike."""
    kept, notes = selection.one_variant(networks)
    kept, more = selection.trained_alike(kept)
    return Comparable(kept, [*notes, *more])
