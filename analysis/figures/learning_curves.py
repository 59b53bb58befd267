"""Loss and validation accuracy epoch by epoch."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from analysis.figures import panels, scales, theme
from analysis.rows import vocabulary

WIDTH, HEIGHT = 250, 190
MOST_MARKS = 1_600
LEGEND = (
    "Line: mean over seeds. Band: least to greatest seed. Validation images turn like those of "
    "training; with an adversary in training also 10 steps of PGD at its eps. The loss is that of "
    "training; that of capsules is their own and not comparable. No interval or whisker is "
    "drawn."
)
NETWORK = ("model", "variant", "adversary", "train_rotation")
NAMES = {"loss": "Training loss", "validation": "Validation accuracy"}


def outer_ranges(epochs: pl.DataFrame) -> tuple[pl.DataFrame, list[float]]:
    """The rows of the least and of the greatest range of rotations."""
    turns = sorted(set(epochs["train_rotation"]))
    kept = list(dict.fromkeys([turns[0], turns[-1]]))
    return epochs.filter(pl.col("train_rotation").is_in(kept)), kept


def measures(epochs: pl.DataFrame) -> pl.DataFrame:
    """A row per kind of network, epoch and measure, over the seeds: `loss` and `validation` of
    networks without adversary, `robust` of the others; of many epochs some, with the last."""
    shares = {
        "loss": pl.col("train_loss"),
        "validation": pl.col("val_n_correct") / pl.col("val_n"),
        "robust": pl.col("val_robust_n_correct") / pl.col("val_robust_n"),
    }
    wanted = pl.col("adversary").eq("none") != pl.col("measure").eq("robust")
    long = pl.concat(
        epochs.select(*NETWORK, "seed", "epoch", measure=pl.lit(name), value=value)
        for name, value in shares.items()
    ).filter(wanted, pl.col("value").is_finite())
    data = long.group_by(*NETWORK, "measure", "epoch").agg(
        pl.col("value").mean(),
        value_min=pl.col("value").min(),
        value_max=pl.col("value").max(),
        seeds=pl.col("seed").n_unique(),
    )
    data = data.with_columns(_range=pl.col("train_rotation").cast(pl.String))
    curves = data.select(*NETWORK, "measure").n_unique()
    most = max(MOST_MARKS // max(curves, 1), 2)
    last = pl.col("epoch").max().over(*NETWORK, "measure")
    apart = (last / most).ceil().clip(1)
    thinned = data.filter(((last - pl.col("epoch")) % apart == 0) | (pl.col("epoch") == 1))
    return thinned.sort(*NETWORK, "measure", "epoch")


def drawn(data: pl.DataFrame, look: Mapping[str, Any], turns: list[float]) -> list[alt.LayerChart]:
    """A panel for the loss, one for validation, and one for each adversary."""
    if len(turns) > 1:
        labels = {str(turn): f"trained on {theme.turn(turn)}" for turn in turns}
        dash = panels.dash_encoding("_range", labels)
        look = {**look, "strokeDash": dash}
    found = []
    for name, title in NAMES.items():
        if not (part := data.filter(measure=name)).is_empty():
            found.append(panel(part, title, {"measure": name}, look))
    robust = data.filter(measure="robust")
    for adversary in vocabulary.in_order(robust["adversary"], vocabulary.ADVERSARIES):
        title = f"{vocabulary.ADVERSARIES[adversary]}: under PGD-10"
        only = {"measure": "robust", "adversary": adversary}
        found.append(panel(robust.filter(adversary=adversary), title, only, look))
    return found


def panel(
    data: pl.DataFrame, title: str, only: Mapping[str, Any], look: Mapping[str, Any]
) -> alt.LayerChart:
    """One measure against the epoch."""
    most = float(data["epoch"].max())  # type: ignore[arg-type]
    x = scales.amount(
        alt.X, "epoch", scales.from_zero(data, "epoch")._replace(upper=most), "Epoch"
    )
    names = ("value", "value_min")
    if only["measure"] == "loss":
        domain = scales.log_domain(data.filter(pl.col("value_min") > 0), "value_min", "value_max")
        y, least = (scales.log_amount(alt.Y, n, domain, "Loss of an epoch (nats)") for n in names)
        about = "y axis is logarithmic"
    else:
        domain = scales.domain_of(data, "value_min", upper=1.0)
        y, least = (scales.share(alt.Y, n, domain, "Validation accuracy") for n in names)
        about = scales.starts_at(domain)
    drawn = {key: value for key, value in look.items() if key not in ("shape", "strokeDash")}
    dash = {key: value for key, value in look.items() if key == "strokeDash"}
    tips = [column for column in data.columns if not column.startswith("_")]
    base = alt.Chart().encode(x=x, detail="train_rotation:Q", **drawn)
    layers = [
        base.mark_area(fillOpacity=0.15).encode(least, alt.Y2("value_max")),
        base.mark_line(strokeWidth=1.5).encode(y, **dash),
        base.mark_point(filled=True, size=22, opacity=1).encode(
            y, shape=look["shape"], tooltip=panels.tooltip(tips)
        ),
    ]
    chart = alt.LayerChart(layer=layers).properties(
        width=WIDTH, height=HEIGHT, title=alt.TitleParams(title, subtitle=about)
    )
    return panels.filtered(chart, only)
