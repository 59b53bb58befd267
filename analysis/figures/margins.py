"""Figures beyond the paper: the lead of GCNN, ranges apart, and distances to the boundary."""

import altair as alt
import polars as pl

from analysis.figures import boundaries, captions, cubes, differences, panels
from analysis.figures.panels import done
from analysis.rows import phrases, selection, vocabulary
from analysis.rows.conditions import CLEAN, NO_ADVERSARY, SAME_RANGE
from analysis.rows.selection import NotMeasured, comparable, where
from analysis.stats.summary import summary


def difference(rows: pl.DataFrame) -> alt.ConcatChart:
    """D(x): robust accuracy of GCNN minus that of StdCNN against the range, for every attack."""
    needs = "model gcnn and stdcnn, train_rotation = test_rotation, adversary none"
    of_two = pl.col("model").is_in(["stdcnn", "gcnn"])
    tiers = pl.col("attack").is_in(differences.TIERS)
    strong = (pl.col("eps") > 0) | CLEAN
    chosen = where(rows, needs, of_two, tiers, strong, SAME_RANGE, NO_ADVERSARY)
    rows, notes = comparable(chosen)
    rows, more = differences.few_ranges(rows)
    data = differences.found(rows)
    if data.is_empty():
        raise NotMeasured(f"needs rows with {needs}, of the same seed and images")
    selection.at_least_two(data, "test_rotation", needs)
    names = [name for name in differences.TIERS if name in set(data["attack"])]
    drawn = [differences.panel(data, name) for name in names]
    question = "By how much is GCNN more accurate than StdCNN?"
    main = selection.main_variants(rows)
    words = [
        "Above 0 GCNN is more accurate, below 0 StdCNN.",
        f"Variants: {phrases.listed([f'{m} {v}' for m, v in main.items()])}.",
        "No adversary in training.",
        *notes,
        *more,
    ]
    return done(question, rows, words, drawn, data, legend=differences.LEGEND)


def cube(rows: pl.DataFrame) -> alt.ConcatChart:
    """Accuracy by train range, test range and eps: the paper varies both ranges at once."""
    needs = "attack pgd or fgsm at test_rotation other than train_rotation, adversary none"
    attacked = pl.col("attack").is_in(cubes.ATTACKS) & (pl.col("eps") > 0)
    apart = where(rows, needs, attacked, ~SAME_RANGE, NO_ADVERSARY)
    attack = next(name for name in cubes.ATTACKS if name in set(apart["attack"]))
    apart, notes = comparable(apart.filter(attack=attack))
    shown = CLEAN | (attacked & (pl.col("attack") == attack))
    rows, more = comparable(rows.filter(shown).join(apart, on="trial", how="semi"))
    rows = cubes.few_eps(rows).join(apart, on="test_rotation", how="semi")
    rows, left_out = cubes.few_ranges(selection.at_least_two(rows, "train_rotation", needs))
    data = summary(rows, ["model", "variant", "train_rotation", "test_rotation", "attack", "eps"])
    data = panels.fits(data).with_columns(
        _percent=(100 * pl.col("accuracy")).round(0).cast(pl.Int64)
    )
    models, levels = vocabulary.in_order(data["model"]), sorted(set(data["eps"]))
    drawn = [cubes.panel(data, model, attack, eps) for model in models for eps in levels]
    question = "Which range matters, that of training or that of testing?"
    words = ["No adversary in training.", *notes, *more, *left_out]
    return done(question, rows, words, drawn, data, legend=cubes.LEGEND, columns=len(levels))


def boundary(rows: pl.DataFrame) -> alt.ConcatChart:
    """How far images lie from the decision boundary: the share of them beyond each distance."""
    needs = "attack fmn, train_rotation = test_rotation, adversary none, distances"
    measured = pl.col("distances").is_not_null()
    fmn = pl.col("attack") == "fmn"
    chosen = where(rows, needs, fmn, measured, SAME_RANGE, NO_ADVERSARY)
    rows, notes = comparable(chosen)
    rows = rows.unique(["trial", "test_rotation"], keep="first", maintain_order=True)
    rows, more = boundaries.few_ranges(rows)
    data = boundaries.quantiles(rows)
    pick = panels.legend_selection()
    look = panels.model_encodings(data["model"]) | {"opacity": panels.dimmed(pick)}
    turns = sorted(set(data["train_rotation"]))
    drawn = [boundaries.panel(data, turn, look) for turn in turns]
    question = "How far from the decision boundary do images lie?"
    words = ["No adversary in training.", *notes, *more]
    attack = f"{captions.attack_settings(rows)}."
    legend = boundaries.LEGEND
    return done(question, rows, words, drawn, data, pick, legend=legend, attacks=attack)
