"""Summaries over seeds: means, counts, intervals and flags."""

from collections.abc import Collection, Sequence

import polars as pl

from analysis.stats.intervals import wilson

SUMMARY = (
    "accuracy",
    "accuracy_min",
    "accuracy_max",
    "seeds",
    "n",
    "n_correct",
    "wilson_lower",
    "wilson_upper",
    "flags",
)
"""The columns that `summary` adds to the conditions."""


def joined_flags() -> pl.Expr:
    """In an aggregation: the flags of all rows, each once. Rows without an attack on pixels
    (eps 0) have none, since what a network fails is about such attacks."""
    flags = pl.col("flags").filter(pl.col("eps") > 0, pl.col("flags") != "")
    return flags.str.split(", ").explode().unique().sort().str.join(", ")


def of_classes(rows: pl.DataFrame, leave_out: Collection[int] = (6, 9)) -> pl.DataFrame:
    """The rows with `n` and `n_correct` of the other classes only; nothing else changes.

    For ranges beyond 90 degrees, where a 6 turns into a 9: `summary(of_classes(rows), ...)`. Rows
    that do not know their counts per class are dropped.
    """
    kept = [label for label in range(10) if label not in leave_out]
    return rows.drop_nulls(["class_n", "class_n_correct"]).with_columns(
        n=pl.col("class_n").list.gather(kept).list.sum(),
        n_correct=pl.col("class_n_correct").list.gather(kept).list.sum(),
    )


def summary(rows: pl.DataFrame, conditions: Sequence[str]) -> pl.DataFrame:
    """One row per condition, sorted: mean, least and greatest accuracy over the seeds, their
    number, and the counts of all seeds together with their 95 % Wilson interval; and the `flags`
    of any seed.

    The Wilson interval covers the sampling of test images only, and as the networks of all seeds
    are tested on the same images it is, if anything, too narrow. What training varies shows in
    `accuracy_min` and `accuracy_max`, and with few seeds that is a lower bound.

    Raises:
        ValueError: a condition has two rows of one seed, so that unlike things would be mixed.
    """
    cells = rows.group_by([*conditions, "seed"], maintain_order=True)
    if (cells.len()["len"] > 1).any():
        raise ValueError(f"rows differ in more than seed and {', '.join(conditions)}")
    share = pl.col("n_correct") / pl.col("n")
    lower, upper = wilson()
    return (
        rows.group_by(conditions)
        .agg(
            accuracy=share.mean(),
            accuracy_min=share.min(),
            accuracy_max=share.max(),
            seeds=pl.col("seed").n_unique(),
            n=pl.col("n").sum(),
            n_correct=pl.col("n_correct").sum(),
            flags=joined_flags(),
        )
        .with_columns(wilson_lower=lower, wilson_upper=upper)
        .select(*conditions, *SUMMARY)
        .sort(conditions)
    )
