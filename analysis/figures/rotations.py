"""Figures 1, 2, 3 and 12 of the paper: robustness to rotations, no attack on pixels."""

import altair as alt
import polars as pl

from analysis.figures import captions, layers, panels, thinning
from analysis.figures.panels import against_rotation, figure
from analysis.rows import phrases, selection, vocabulary
from analysis.rows.conditions import (
    BOTH_X,
    CAPSULES,
    CLEAN,
    NO_ADVERSARY,
    SAME_RANGE,
    SMALL,
    TIPS,
    UPRIGHT,
)
from analysis.rows.selection import Comparable, comparable, where
from analysis.stats.summary import summary

SIZES = {0.0: "Upright images", 180.0: "Trained and tested with rotations in [-180, 180]"}
"""The panels of Figure 3, by train and test rotation."""


def figure01(rows: pl.DataFrame) -> alt.ConcatChart:
    """Trained on upright images, tested on rotated ones: small rotations and the whole range."""
    return upright_only(rows, "attack none, model other than capsnet and emcaps", ~CAPSULES)


def figure12(rows: pl.DataFrame) -> alt.ConcatChart:
    """Figure 1 with CapsNet, as in the paper's appendix."""
    needs = "model capsnet, train_rotation 0, adversary none, attack none"
    where(rows, needs, CAPSULES, UPRIGHT, NO_ADVERSARY, CLEAN)
    return upright_only(rows, "attack none", pl.lit(True), ", with capsules")


def upright_only(
    rows: pl.DataFrame, other: str, models: pl.Expr, among: str = ""
) -> alt.ConcatChart:
    """Accuracy against test rotation of the networks trained without rotation."""
    needs = f"train_rotation 0, adversary none, {other}"
    chosen = where(rows, needs, models, UPRIGHT, NO_ADVERSARY, CLEAN)
    rows, notes = comparable(selection.at_least_two(chosen, "test_rotation", needs))
    rows, more = thinning.thinned_to_fit(rows, "test_rotation", ["model"])
    data = summary(rows, TIPS)
    look = layers.model_encodings(data["model"])
    small, most = data.filter(pl.col("test_rotation") <= SMALL), data["test_rotation"].max()
    drawn = []
    if small["test_rotation"].n_unique() > 1:
        drawn.append(against_rotation("Small rotations", small, look, zoom=True))
    if not drawn or most != small["test_rotation"].max():
        drawn.append(against_rotation("All rotations", data, look))
    question = f"Accuracy against rotation in tests, trained on upright images{among}"
    words = ["No rotation and no adversary in training.", *notes, *more]
    return figure(question, rows, words, drawn, data)


def figure02(rows: pl.DataFrame) -> alt.ConcatChart:
    """Trained with and without rotation, tested on the same range."""
    needs = "train_rotation = test_rotation, adversary none, attack none"
    rows = where(rows, needs, NO_ADVERSARY, CLEAN)
    selection.at_least_two(where(rows, needs, SAME_RANGE), "train_rotation", needs)
    rows, notes = comparable(rows.filter(SAME_RANGE | UPRIGHT))
    rows, more = thinning.thinned_to_fit(rows, "test_rotation", ["model"], 2)
    series = {"same range": SAME_RANGE, "none": UPRIGHT}
    data = pl.concat(
        summary(rows.filter(which), TIPS).with_columns(augmentation=pl.lit(name))
        for name, which in series.items()
    )
    names = {"same range": "trained with rotations in [-x, x]", "none": "trained without"}
    dash = layers.dash_encoding("augmentation", names)
    look = layers.model_encodings(data["model"]) | {"strokeDash": dash}
    trained = {"augmentation": "same range"}
    drawn = [
        against_rotation("Trained with and without rotation", data, look),
        against_rotation(
            "Trained with rotation", data, look, only=trained, title=BOTH_X, zoom=True
        ),
    ]
    question = "Accuracy against rotation, trained with and without it"
    return figure(question, rows, [captions.NO_ADVERSARY, *notes, *more], drawn, data)


def figure03(rows: pl.DataFrame) -> alt.ConcatChart:
    """Accuracy against the number of training images, without and with all rotations."""
    needs = "train_rotation = test_rotation, both 0 or 180, adversary none, attack none"
    wanted = SAME_RANGE, pl.col("train_rotation").is_in(list(SIZES)), NO_ADVERSARY, CLEAN
    chosen = selection.at_least_two(where(rows, needs, *wanted), "train_size", needs)
    of_one_size = chosen.with_columns(_size="train_size", train_size=pl.lit(0, pl.Int64))
    kept, notes = comparable(of_one_size)
    rows = kept.with_columns(train_size="_size").drop("_size")
    selection.at_least_two(rows, "train_size", needs)
    rows, more = several_sizes(rows)
    notes += more
    where(rows, f"{needs}, of one model at two values of train_size", pl.lit(True))
    data = summary(rows, ["model", "variant", "train_rotation", "test_rotation", "train_size"])
    look = layers.model_encodings(data["model"])
    drawn = []
    for degrees, name in SIZES.items():
        only = {"train_rotation": degrees}
        if panels.within(data, only)["train_size"].n_unique() > 1:
            drawn.append(panels.against_size(name, data, look, only))
        else:
            notes.append(f"Not measured at two sizes: {name} (train_rotation {degrees:g}).")
    question = "Accuracy against the number of training images"
    return figure(question, rows, [captions.NO_ADVERSARY, *notes], drawn, data)


def several_sizes(rows: pl.DataFrame) -> Comparable:
    """The rows of models that were trained on two numbers of images or more."""
    sizes = pl.col("train_size").n_unique().over("model", "train_rotation")
    several = rows.filter(sizes > 1)
    models = vocabulary.in_order(set(rows["model"]) - set(several["model"]))
    labels = phrases.listed([vocabulary.label(model) for model in models])
    note = f"Measured at one size only: {labels}."
    return Comparable(several, [note] if models else [])
