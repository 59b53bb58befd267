"""What training costs: seconds of each network beside its accuracy."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from analysis.figures import labels, panels, scales, theme
from analysis.rows import selection, vocabulary
from analysis.stats.summary import SUMMARY, summary

KIND = (
    "model",
    "variant",
    "recipe",
    "adversary",
    "train_rotation",
    "test_rotation",
    "attack",
    "eps",
)
MOST_LABELS = 8
"""Models that are named beside their points; more are named in the legend only."""
LEGEND = (
    "Point: mean over seeds. Whiskers: least to greatest seed. The 95% interval, and what "
    "it covers, is in the tooltip. Time: clock time of all epochs with their validation; "
    "networks that were trained side by side slow each other down."
)


def of_trials(epochs: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Seconds of each network whose epochs are all known, on the device of most, and words.

    Raises:
        NotMeasured: there is none.
    """
    by = ["trial", "epochs", "train_steps", "device"]
    whole = epochs.group_by(by).agg(pl.col("seconds").sum(), known=pl.col("epoch").n_unique())
    needs = "table training of all epochs on one device"
    complete = (pl.col("known") == pl.col("epochs")) | (pl.col("train_steps") > 0)
    whole = selection.where(whole, needs, complete)
    counts = whole["device"].value_counts().sort("count", "device", descending=True)
    device, *others = counts["device"]
    words = [f"Device: {device}."]
    words += [f"Left out: networks trained on {', '.join(others)}."] if others else []
    return whole.filter(pl.col("device") == device).select("trial", "seconds", "device"), words


def one_range(rows: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """The rows of the range of rotations of most kinds of network, the widest of them."""
    kinds = rows.select("train_rotation", "model", "variant", "adversary").unique()
    counts = kinds["train_rotation"].value_counts().sort("count", "train_rotation")
    turn = counts["train_rotation"][-1]
    turned = f"with rotations in [-{turn:g}, {turn:g}] degrees" if turn else "on upright digits"
    words = f"Trained and tested {turned}."
    return rows.filter(pl.col("train_rotation") == turn), words


def with_seconds(rows: pl.DataFrame, seconds: pl.DataFrame) -> pl.DataFrame:
    """A row per kind of network and attack: accuracy, seconds and where its label stands."""
    rows = rows.join(seconds.rename({"seconds": "_s"}), on="trial", suffix="_trained")
    times = rows.group_by(KIND).agg(
        seconds=pl.col("_s").mean(),
        seconds_min=pl.col("_s").min(),
        seconds_max=pl.col("_s").max(),
    )
    data = summary(rows, KIND).join(times, on=KIND, how="left", maintain_order="left")
    few = data["model"].n_unique() <= MOST_LABELS
    usual = (pl.col("adversary") == "none") & (pl.col("recipe") == usual_recipe(data))
    names = {model: vocabulary.label(model) for model in data["model"].unique()}
    label = pl.when(usual & few).then(pl.col("model").replace(names))
    data = data.with_columns(_usual=usual, _label=label)
    parts = data.sort("_usual", descending=True).partition_by("attack", maintain_order=True)
    return pl.concat(_placed(part, time_axis(data)) for part in parts)


def _placed(part: pl.DataFrame, time: scales.Domain) -> pl.DataFrame:
    up = accuracies(part)
    return labels.placed(
        part,
        labels.Axis("seconds", time.lower, time.upper, theme.WIDTH, log=True),
        labels.Axis("accuracy", up.lower, up.upper, theme.HEIGHT),
        "attack",
    )


def usual_recipe(data: pl.DataFrame) -> str:
    """The recipe that most models were trained by without adversary."""
    kinds = data.filter(adversary="none").select("model", "recipe").unique()
    counts = kinds["recipe"].value_counts().sort("count", "recipe")
    return str(counts["recipe"][-1]) if counts.height else str(data["recipe"][0])


def time_axis(data: pl.DataFrame) -> scales.Domain:
    """The axis of seconds, the same for every panel."""
    return scales.log_domain(data, "seconds_min", "seconds_max")


def accuracies(data: pl.DataFrame) -> scales.Domain:
    """The axis of accuracies of one panel."""
    return scales.domain_of(data, "accuracy_min", "accuracy_max")


def panel(data: pl.DataFrame, attack: str, look: Mapping[str, Any]) -> alt.LayerChart:
    """Accuracy under one attack, or none, against the time of training."""
    part = data.filter(attack=attack)
    time, whole = time_axis(data), accuracies(part)
    title = "Training time (seconds)"
    x, least_x = (scales.log_amount(alt.X, n, time, title) for n in ("seconds", "seconds_min"))
    y, least_y = (
        scales.share(alt.Y, name, whole, "Accuracy") for name in ("accuracy", "accuracy_min")
    )
    drawn = {key: value for key, value in look.items() if key != "shape"}
    base = alt.Chart().encode(x, y, **drawn)
    whisker = base.mark_rule(strokeOpacity=0.6)
    tips = [*KIND, "seconds", "seconds_min", "seconds_max", *SUMMARY]
    marks = base.encode(shape=look["shape"], tooltip=panels.tooltip(tips))
    points = (
        marks.mark_point(filled=True, size=70, opacity=1).transform_filter("datum._usual"),
        marks.mark_point(filled=False, size=60).transform_filter("!datum._usual"),
    )
    layers = [
        whisker.encode(least_x, alt.X2("seconds_max")),
        whisker.encode(least_y, alt.Y2("accuracy_max")),
        *panels.with_flags(data, marks, *points),
        *panels.written(base, x, y),
    ]
    eps = part["eps"][0]
    name = theme.attack(attack) + (f" at eps {eps:g}" if eps else "")
    chart = alt.LayerChart(layer=layers).properties(
        width=theme.WIDTH,
        height=theme.HEIGHT,
        title=alt.TitleParams(name, subtitle=scales.starts_at(whole)),
    )
    return panels.filtered(chart, {"attack": attack})
