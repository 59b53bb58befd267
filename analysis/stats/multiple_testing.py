"""Several tests at once."""

import polars as pl


def holm(p: str = "p") -> pl.Expr:
    """The p-values of a family, adjusted: those below 0.05 are together wrong with a probability
    of at most 0.05 (Holm, Scand. J. Statist. 1979). Null stays null and counts for nothing."""
    value = pl.col(p)
    tests = value.count().cast(pl.Int64)
    steps = value.sort(nulls_last=True) * (tests - pl.int_range(pl.len()))
    return steps.cum_max().clip(upper_bound=1.0).gather(value.rank("ordinal").cast(pl.Int64) - 1)
