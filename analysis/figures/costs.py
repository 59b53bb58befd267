"""What training costs: seconds of each network beside its accuracy."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from analysis.figures import captions, layers, panels, scales, theme, tooltips, tradeoff
from analysis.rows import selection, vocabulary
from analysis.rows.conditions import CLEAN, SAME_RANGE, USUAL_EPS, nearest_eps
from analysis.rows.selection import where
from analysis.stats.summary import summary

KIND = (
    "model",
    "variant",
    "recipe",
    "adversary",
    "train_rotation",
    "test_rotation",
    "attack",
    "eps",
    "threat",
)
TIME = (
    "Time is that of all epochs with their validation; networks that were trained side by side "
    "slow each other down."
)


def cost(rows: pl.DataFrame, epochs: pl.DataFrame) -> alt.ConcatChart:
    """Accuracy, without attack and under PGD, against the time that training took."""
    needs = "train_rotation = test_rotation, attack none or pgd"
    shown = CLEAN | ((pl.col("attack") == "pgd") & (pl.col("eps") > 0))
    chosen = where(rows, needs, SAME_RANGE, shown)
    seconds, of_device = seconds_of_trials(where(epochs, "table training"))
    timed = pl.col("trial").is_in(seconds["trial"].implode())
    chosen, of_range = one_range(where(chosen, f"{needs}, with table training", timed))
    chosen, shifts = selection.tested_alike(chosen)
    chosen, notes = tradeoff.all_recipes(chosen)
    for threat in chosen.filter(~CLEAN)["threat"].unique():  # one or none
        chosen, _ = nearest_eps(chosen, USUAL_EPS[threat])
    data = with_seconds(chosen, seconds)
    look = layers.model_encodings(data["model"])
    attacks = [name for name in ("none", "pgd") if name in set(data["attack"])]
    lacking = [
        f"Not measured: {vocabulary.ATTACKS[a]}." for a in ("none", "pgd") if a not in attacks
    ]
    usual = captions.Key(f"Filled: recipe {usual_recipe(data)}, no adversary; hollow: others.")
    return panels.figure(
        "Accuracy against training time",
        chosen,
        [of_range, TIME, *of_device, usual, *notes, *shifts, *lacking],
        [panel(data, name, look) for name in attacks],
        data,
        legend=captions.POINTS,
        shared="x",
    )


def seconds_of_trials(epochs: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Seconds of each network whose epochs are all known, on the device of most, and words.

    Raises:
        NotMeasured: there is none.
    """
    by = ["trial", "epochs", "train_steps", "device"]
    trials = epochs.group_by(by).agg(pl.col("seconds").sum(), known=pl.col("epoch").n_unique())
    needs = "table training of all epochs on one device"
    complete = (pl.col("known") == pl.col("epochs")) | (pl.col("train_steps") > 0)
    trials = where(trials, needs, complete)
    timed = where(trials, f"{needs}, with seconds > 0", pl.col("seconds") > 0)
    counts = timed["device"].value_counts().sort("count", "device", descending=True)
    device, *others = counts["device"]
    words = [f"Device: {device}."]
    words += [f"Left out: networks trained on {', '.join(others)}."] if others else []
    if untimed := trials.height - timed.height:
        words.append(f"Left out: {untimed} networks that took 0 seconds.")
    return timed.filter(pl.col("device") == device).select("trial", "seconds", "device"), words


def one_range(rows: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """The rows of the range of rotations of most kinds of network, the widest of them."""
    kinds = rows.select("train_rotation", "model", "variant", "adversary").unique()
    counts = kinds["train_rotation"].value_counts().sort("count", "train_rotation")
    most = counts["train_rotation"][-1]
    images = f"with rotations in [-{most:g}, {most:g}] degrees" if most else "on upright images"
    return rows.filter(pl.col("train_rotation") == most), f"Trained and tested {images}."


def with_seconds(rows: pl.DataFrame, seconds: pl.DataFrame) -> pl.DataFrame:
    """A row per kind of network and attack: accuracy and seconds."""
    rows = rows.join(seconds.rename({"seconds": "_s"}), on="trial", suffix="_trained")
    times = rows.group_by(KIND).agg(
        seconds=pl.col("_s").mean(),
        seconds_min=pl.col("_s").min(),
        seconds_max=pl.col("_s").max(),
    )
    data = summary(rows, KIND).join(times, on=KIND, how="left", maintain_order="left")
    usual = (pl.col("adversary") == "none") & (pl.col("recipe") == usual_recipe(data))
    return data.with_columns(_hollow=~usual).sort("_hollow", maintain_order=True)


def usual_recipe(data: pl.DataFrame) -> str:
    """The recipe that most models were trained by without adversary."""
    kinds = data.filter(adversary="none").select("model", "recipe").unique()
    counts = kinds["recipe"].value_counts().sort("count", "recipe")
    return str(counts["recipe"][-1]) if counts.height else str(data["recipe"][0])


def panel(data: pl.DataFrame, attack: str, look: Mapping[str, Any]) -> alt.LayerChart:
    """Accuracy under one attack, or none, against the time of training."""
    shown = data.filter(attack=attack)
    x = layers.ranged(scales.log_amount, alt.X, "seconds", "Training time (seconds)")
    y = layers.ranged(scales.share, alt.Y, "accuracy", "Accuracy")
    tips = tooltips.tooltip(data, KIND[:5], ["seconds", "accuracy"])
    marks = layers.scatter(shown, x, y, look, tips)
    eps = shown["eps"][0]
    name = theme.attack(attack) + (f" at eps {eps:g}{captions.ball(shown)}" if eps else "")
    return panels.panel(marks, name, {"attack": attack}, subtitle=[panels.ENLARGED])
