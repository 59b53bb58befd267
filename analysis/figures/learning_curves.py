"""Loss and validation accuracy epoch by epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from analysis.figures import captions, layers, panels, scales, theme, tooltips
from analysis.rows import phrases, vocabulary
from analysis.rows.selection import alike_networks, where

WIDTH, HEIGHT = 250, 190
MOST_MARKS = 1_600
LEGEND = "Line: mean over seeds. Band: least to greatest seed."
UNDER_WAY = "Dotted, hollow: trainings under way."
VALIDATION = (
    "Validation images are rotated as in training; with an adversary also 10 steps of PGD at its "
    "eps. Losses of capsules are not comparable with others."
)
NETWORK = ("model", "variant", "adversary", "train_rotation", "unfinished")
NAMES = {"loss": "Training loss", "validation": "Validation accuracy"}


def learning(_: pl.DataFrame, epochs: pl.DataFrame, unfinished: pl.DataFrame) -> alt.ConcatChart:
    """Loss, validation accuracy and validation accuracy under attack against the epoch; those of
    trainings under way are marked."""
    epochs, notes = alike_networks(where(joined(epochs, unfinished), "table training"))
    epochs, ranges = outer_ranges(epochs)
    data = where(measures(epochs), "epochs that were validated", pl.lit(True))
    lines = [
        f"{LEGEND} {UNDER_WAY}" if data["unfinished"].any() else LEGEND,
        f"{vocabulary.DATA[epochs['data'][0]]}; {phrases.plural(data['seeds'], 'seed')}; "
        f"n = {phrases.span(epochs['val_n'])} validation images, not test images.",
    ]
    about = [
        f"{captions.training(epochs)}.",
        VALIDATION,
        captions.summed_up(notes, set(data["model"])),
    ]
    if not data["unfinished"].any():
        data = data.drop("unfinished")
    drawn = curves(data, layers.model_encodings(data["model"]), ranges)
    return panels.titled(
        "Loss and validation accuracy against the epoch", lines, drawn, data, notes=about
    )


def joined(epochs: pl.DataFrame, unfinished: pl.DataFrame) -> pl.DataFrame:
    """The epochs of both, told apart by a column `unfinished`."""
    parts = (epochs, False), (unfinished, True)
    marked = [part.with_columns(pl.Series("unfinished", [is_so] * len(part), pl.Boolean))
              for part, is_so in parts]  # fmt: skip
    return pl.concat(marked, how="diagonal")


def outer_ranges(epochs: pl.DataFrame) -> tuple[pl.DataFrame, list[float]]:
    """The rows of the least and of the greatest range of rotations."""
    ranges = sorted(set(epochs["train_rotation"]))
    kept = list(dict.fromkeys([ranges[0], ranges[-1]]))
    return epochs.filter(pl.col("train_rotation").is_in(kept)), kept


def measures(epochs: pl.DataFrame) -> pl.DataFrame:
    """A row per kind of network, epoch and measure, over the seeds: `loss` and `validation` of
    networks without adversary, `robust` of the others; of many epochs some, with the last. Losses
    that are not positive have no place on a log axis and are left out."""
    shares = {
        "loss": pl.col("train_loss"),
        "validation": pl.col("val_n_correct") / pl.col("val_n"),
        "robust": pl.col("val_robust_n_correct") / pl.col("val_robust_n"),
    }
    wanted = pl.col("adversary").eq("none") != pl.col("measure").eq("robust")
    long = pl.concat(
        epochs.select(*NETWORK, "seed", "epoch", n="val_n", measure=pl.lit(name), value=value)
        for name, value in shares.items()
    ).filter(wanted, pl.col("value").is_finite())
    data = long.group_by(*NETWORK, "measure", "epoch").agg(
        pl.col("value").mean(),
        value_min=pl.col("value").min(),
        value_max=pl.col("value").max(),
        seeds=pl.col("seed").n_unique(),
        n=pl.col("n").min(),
    )
    data = data.filter((pl.col("measure") != "loss") | (pl.col("value_min") > 0))
    data = data.with_columns(_range=pl.col("train_rotation").cast(pl.String))
    curves = data.select(*NETWORK, "measure").n_unique()
    most = max(MOST_MARKS // max(curves, 1), 2)
    last = pl.col("epoch").max().over(*NETWORK, "measure")
    step = (last / most).ceil().clip(1)
    thinned = data.filter(((last - pl.col("epoch")) % step == 0) | (pl.col("epoch") == 1))
    return thinned.sort(*NETWORK, "measure", "epoch")


def curves(
    data: pl.DataFrame, look: Mapping[str, Any], ranges: Sequence[float]
) -> list[alt.LayerChart]:
    """A panel for the loss, one for validation, and one for each adversary."""
    if len(ranges) > 1:
        labels = {str(degrees): f"trained on {theme.rotation(degrees)}" for degrees in ranges}
        look = {**look, "strokeDash": layers.dash_encoding("_range", labels)}
    robust = set(data.filter(measure="robust")["adversary"])
    wanted: dict[str, dict[str, Any]] = {title: {"measure": n} for n, title in NAMES.items()}
    for adversary in vocabulary.in_order(robust, vocabulary.ADVERSARIES):
        title = f"{vocabulary.ADVERSARIES[adversary]}: under PGD-10"
        wanted[title] = {"measure": "robust", "adversary": adversary}
    frames = {title: panels.within(data, only) for title, only in wanted.items()}
    return [
        panel(frame, title, wanted[title], look)
        for title, frame in frames.items()
        if not frame.is_empty()
    ]


def panel(
    data: pl.DataFrame, title: str, only: Mapping[str, Any], look: Mapping[str, Any]
) -> alt.LayerChart:
    """One measure against the epoch."""
    most = float(data["epoch"].max())  # type: ignore[arg-type]
    x = alt.X("epoch:Q", title="Epoch", scale=dict(domain=[0, most]), axis=dict(tickMinStep=1))
    if only["measure"] == "loss":
        y = layers.ranged(scales.log_amount, alt.Y, "value", "Loss of an epoch (nats)")
    else:
        y = layers.ranged(scales.share, alt.Y, "value", "Validation accuracy")
    dash = {key: value for key, value in look.items() if key == "strokeDash"}
    some_unfinished = "unfinished" in data.columns
    series = ["train_rotation:Q", *(["unfinished:N"] if some_unfinished else [])]
    base = layers.Layer().encode(x=x, detail=series, color=look["color"], opacity=look["opacity"])
    told = [name for name in (*NETWORK, "epoch") if name in data.columns]
    points = {"shape": look["shape"], "tooltip": tooltips.tooltip(data, told, ["value"])}
    marks = [base.mark_area(fillOpacity=0.15).encode(y.least, y.greatest)]
    for unfinished in sorted(set(data["unfinished"])) if some_unfinished else [False]:
        own = f"{'' if unfinished else '!'}datum.unfinished"
        part = base.transform_filter(own) if some_unfinished else base
        line = part.mark_line(strokeWidth=1.5, strokeDash=[1, 3] if unfinished else alt.Undefined)
        marks += [
            line.encode(y.mean, **({} if unfinished else dash)),
            part.mark_point(filled=not unfinished, size=22, opacity=1).encode(y.mean, **points),
        ]
    about = [] if only["measure"] == "loss" else [panels.ENLARGED]
    return panels.panel(marks, title, only, subtitle=about, width=WIDTH, height=HEIGHT)
