"""Accuracy over seeds in one short call."""

from collections.abc import Sequence

import polars as pl

from analysis.stats.summary import summary

CONDITIONS = (
    *("data", "model", "variant", "adversary", "train_rotation"),
    *("test_rotation", "attack", "eps"),
)
"""What tells conditions apart in most studies."""


def accuracy(rows: pl.DataFrame, by: Sequence[str] = CONDITIONS, **only: object) -> pl.DataFrame:
    """`summary` by these columns of the rows that have the given values, one or a list for each:
    `accuracy(rows, ["model"], attack="pgd", eps=0.1, model=["gcnn", "stdcnn"])`.

    Raises:
        MixedRowsError: a condition has two rows of one seed, so that unlike things would be mixed.
    """
    chosen = [
        pl.col(name).is_in(value) if isinstance(value, list | tuple) else pl.col(name) == value
        for name, value in only.items()
    ]
    return summary(rows.filter(*chosen), by)
