"""From rows to numbers with their uncertainty: Wilson intervals, and summaries over seeds."""

from collections.abc import Sequence
from statistics import NormalDist

import polars as pl

SUMMARY = (
    "accuracy",
    "accuracy_min",
    "accuracy_max",
    "seeds",
    "n",
    "n_correct",
    "wilson_lower",
    "wilson_upper",
)
"""The columns that `summary` adds to the conditions."""


def wilson(
    n_correct: str = "n_correct", n: str = "n", confidence: float = 0.95
) -> tuple[pl.Expr, pl.Expr]:
    """Lower and upper end of Wilson's score interval of the share `n_correct / n`; null if n is 0.

    Exactly 0 below when nothing is correct, exactly 1 above when everything is.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    k, total = pl.col(n_correct), pl.when(pl.col(n) > 0).then(pl.col(n))
    centre = (k + z**2 / 2) / (total + z**2)
    half = z / (total + z**2) * (k * (total - k) / total + z**2 / 4).sqrt()
    lower = pl.when(k == 0).then(0.0 * total).otherwise(centre - half)
    upper = pl.when(k == total).then(1.0 + 0.0 * total).otherwise(centre + half)
    return lower, upper


def summary(rows: pl.DataFrame, conditions: Sequence[str]) -> pl.DataFrame:
    """One row per condition, sorted: mean, least and greatest accuracy over the seeds, their
    number, and the counts of all seeds together with their 95 % Wilson interval.

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
        )
        .with_columns(wilson_lower=lower, wilson_upper=upper)
        .sort(conditions)
    )
