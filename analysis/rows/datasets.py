"""What is known of the data sets of rows: those of the paper, and the shapes of images."""

import statistics

import polars as pl

from rotgrid.spec import data_named
from rotgrid.spec.datasets import Shape

PAPERS = ("mnist", "mnist5k")
"""Data sets on which the paper's sentences are judged: handwritten digits."""
OF_PAPER = pl.col("data").is_in(PAPERS)


def shape_of(data: str, digest: str = "") -> Shape | None:
    """The shape of a data set's images; None if it is unknown, or own and no grid was read that
    pins it."""
    known = data_named(data, digest)
    return known.shape if known else None


def deviations(rows: pl.DataFrame) -> dict[str, float]:
    """The standard deviation of the pixels, the mean over channels, of each data set that rows
    are of and that is known."""
    found = {}
    for data, digest in rows.select("data", "data_digest").unique().sort("data").iter_rows():
        if shape := shape_of(data, digest):
            found[data] = statistics.fmean(shape.std)
    return found
