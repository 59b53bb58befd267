"""Which rows the report reads, with which columns: all that is loaded, however many there are."""

from collections.abc import Iterable

import polars as pl

from analysis.claims import reads as claims
from analysis.figures.registry import COLUMNS, FIGURES
from analysis.report import worst
from analysis.rows.loading import Wanted


def any_of(predicates: Iterable[pl.Expr]) -> pl.Expr:
    """Whether a row meets one of some predicates."""
    return pl.any_horizontal(*predicates)


def drawn(*images: str) -> list[pl.Expr]:
    """Whether a figure reads a row and these columns of its images; one predicate per figure."""
    return [
        pl.all_horizontal(*figure.reads)
        for figure in FIGURES.values()
        if set(images) <= set(figure.images)
    ]


WANTED = Wanted(
    any_of([*drawn(), claims.READS, worst.READS]),
    [*COLUMNS, "class_n", "class_n_correct"],
    {
        **{name: any_of([*drawn(name), claims.READS]) for name in claims.IMAGES},
        **dict.fromkeys(("class_n", "class_n_correct"), worst.ATTACKED),
    },
)
"""For figures, claims and the worst case."""
