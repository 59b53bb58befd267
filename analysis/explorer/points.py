"""From rows to points: means over seeds, and over nothing else."""

from collections.abc import Collection

import polars as pl

from analysis.explorer.choices import MEASURES
from analysis.rows.scan import FIELDS
from analysis.stats.seeds import FEWEST
from analysis.stats.summary import SUMMARY, summary

POINT = "_point"
"""The column that numbers the points."""
SEED = "_seed"
COUNTS = ("n", "n_correct", "flags", "device", "finished_at")
KEYS = [POINT, "_lower", "_upper", "_series"]
"""Columns that are only for drawing."""


def points(rows: pl.DataFrame, shown: Collection[str]) -> pl.DataFrame:
    """A row per point: every combination of all fields that vary, and those that are `shown`, but
    for the seed unless that is shown; with means over seeds and the 95% interval of the accuracy.

    `_lower` and `_upper` are that interval where three seeds or more say something of others;
    `_series` numbers the points that differ in no field but the first that is shown, the x axis.
    """
    always = {*shown, "model"}
    wanted = [name for name in FIELDS if name in always or rows[name].n_unique() > 1]
    rows = rows.with_columns(pl.col("seed").alias(SEED))  # since `summary` takes means over `seed`
    told = [name for name in wanted if name != "seed" or name in shown]
    conditions = [SEED if name == "seed" else name for name in told]
    over_seeds = [pl.col(name).mean() for name in MEASURES if name != "accuracy"]
    means = rows.group_by(conditions).agg(over_seeds)
    found = summary(rows, conditions).join(
        means, on=conditions, how="left", nulls_equal=True, maintain_order="left"
    )
    found = found.rename({SEED: "seed"}, strict=False)
    enough = pl.col("seeds") >= FEWEST
    along = next(iter(shown), "")
    series = [name for name in told if name != along]
    return found.with_row_index(POINT).with_columns(
        pl.when(enough).then("lower").alias("_lower"),
        pl.when(enough).then("upper").alias("_upper"),
        (pl.struct(series).rank("dense") if series else pl.lit(1)).alias("_series"),
    )


def conditions(found: pl.DataFrame) -> list[str]:
    """The fields that tell points apart."""
    return [name for name in FIELDS if name in found.columns]


def table(found: pl.DataFrame) -> pl.DataFrame:
    """The points without what is only for drawing, and without measures that are not known."""
    there = found.drop(KEYS)
    unknown = [name for name in MEASURES if there[name].null_count() == there.height]
    order = [*conditions(found), *SUMMARY, *(name for name in MEASURES if name != "accuracy")]
    return there.select(name for name in order if name not in unknown)


def brief(some: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Of some of the rows: keys, the fields in which the rows differ, counts and origin."""
    varied = [name for name in FIELDS if rows[name].n_unique() > 1]
    return some.select("trial", "probe", *varied, *COUNTS)


def rows_of(rows: pl.DataFrame, found: pl.DataFrame, numbers: Collection[int]) -> pl.DataFrame:
    """The rows that the points with these numbers are means of."""
    picked = found.filter(pl.col(POINT).is_in(list(numbers)))
    return rows.join(
        picked, on=conditions(found), how="semi", nulls_equal=True, maintain_order="left"
    )
