"""What a grid varies: the fields of trials and probes that have several values."""

from typing import Any

import polars as pl

from analysis.rows import vocabulary
from analysis.rows.phrases import kind
from analysis.rows.scan import PROBE, TRIAL
from analysis.rows.selection import as_of_first_model
from rotgrid.spec import Probe, Trial
from rotgrid.spec.models import MODELS

NO_FIELDS = ("seed", "n_images", "variant", "adversary_eps", "recipe_settings")
"""Columns that are a part of another field, or of what is repeated."""
KNOWN = [name for name in (*TRIAL, *PROBE) if name not in NO_FIELDS and "_digest" not in name]
OF_ATTACK = (
    "eps",
    "steps",
    "restarts",
    "loss",
    "label_rule",
    "source",
    "clip",
    "eps_unit",
    "threat",
)
"""Fields that tests without attack do not have."""
FOLLOWS = {
    "epochs": "recipe",
    "train_steps": "recipe",
    "batch_size": "recipe",
    "learning_rate": "recipe",
    "train_size": "data",
    **dict.fromkeys(OF_ATTACK, "attack"),
}
"""Fields that another one sets, unless they vary beside it."""
NO_ACCURACY = ("equivariance", "diagnostics")
"""Attacks whose rows count something else."""


def with_fields(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows that know which images are right, with a column for each field: `model` with its
    variant, `adversary` with its eps; recipes as they are for the first model. `arm` says which
    rows are of one network and its repetitions with other seeds. Of attacks within eps only those
    of the threat model with the most rows are kept."""
    known = rows.filter(~pl.col("attack").is_in(NO_ACCURACY)).drop_nulls("correct")
    usual = known.filter(pl.col("eps") > 0)["threat"].value_counts().sort("count", "threat")
    known = known.filter(
        (pl.col("eps") == 0) | pl.col("threat").is_in(usual["threat"].tail(1).implode())
    )
    fields = as_of_first_model(known).with_columns(
        model=_joined("model", "variant"),
        adversary=pl.when(pl.col("adversary") == "none")
        .then("adversary")
        .otherwise(pl.concat_str("adversary", "adversary_eps", separator=" ")),
    )
    return fields.with_columns(arm=pl.concat_str([n for n in KNOWN if n in TRIAL], separator="\n"))


def other_balls(rows: pl.DataFrame, fields: pl.DataFrame) -> list[str]:
    """What of the rows is left out for the sake of one threat model."""
    measured, kept = (each.filter(pl.col("eps") > 0)["threat"].unique() for each in (rows, fields))
    left = [vocabulary.THREATS[name] for name in sorted({*measured} - {*kept})]
    return [f"Left out: rows of {ball} balls." for ball in left]


def _joined(*names: str) -> pl.Expr:
    return pl.concat_str(names, separator=" ").str.strip_chars_end()


def follows(fields: pl.DataFrame, name: str, leader: str) -> bool:
    """Whether a field has one value for each of another one."""
    return bool((fields.group_by(leader).agg(pl.col(name).n_unique())[name] == 1).all())


def varied(fields: pl.DataFrame) -> list[str]:
    """The fields with several values, those of training first; none that another one sets."""
    several = [name for name in KNOWN if fields[name].n_unique() > 1]
    return [n for n in several if n not in FOLLOWS or not follows(fields, n, FOLLOWS[n])]


def is_number(fields: pl.DataFrame, name: str) -> bool:
    """Whether a field has an order of its own."""
    return fields.schema[name].is_numeric()


def values(fields: pl.DataFrame, name: str) -> list[Any]:
    """The values of a field: numbers ascending, words with that first to which others compare."""
    found = fields[name].unique().sort().to_list()
    if is_number(fields, name):
        return found
    orders = {
        "model": [kind(m, v) for m, known in MODELS.items() for v in known.variants],
        "attack": [*vocabulary.ATTACKS],
        "adversary": [*vocabulary.ADVERSARIES],
    }
    record = Trial if name in Trial.model_fields else Probe
    return vocabulary.in_order(found, orders.get(name) or [str(record.model_fields[name].default)])


def said(name: str, value: Any) -> str:  # noqa: ANN401
    """A value as readers know it."""
    if name.endswith("rotation"):
        return f"±{value:g}°" if value else "0°"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int):
        return f"{value:,}"
    if name == "adversary":
        word, _, eps = str(value).rpartition(" ")
        return f"{word} at eps {float(eps):g}" if word else str(value)
    word, _, more = str(value).partition(" ")
    names = {"model": vocabulary.LABELS, "attack": vocabulary.ATTACKS, "data": vocabulary.DATA}
    return kind(names[name][word], more) if name in names else str(value)
