"""Which rows the report reads, with which columns: all that is loaded, however many there are."""

import polars as pl

from analysis.claims import reads as claims
from analysis.figures.registry import COLUMNS, FIGURES
from analysis.report import worst
from analysis.rows.conditions import NO_ADVERSARY, SAME_RANGE, SPATIAL
from analysis.rows.loading import Wanted

ATTACK = pl.col("attack")
WHOLE = ("none", "pgd", "fmn-pgd", "strong", "fmn", "equivariance", *SPATIAL)
"""Attacks of which all rows may be read."""
PLAIN = (SAME_RANGE & NO_ADVERSARY) | ((ATTACK == "fgsm") & (SAME_RANGE | NO_ADVERSARY))
"""Of all others: networks without adversary, tested as trained; for FGSM one of both is enough."""
ROWS = ATTACK.is_in(WHOLE) | PLAIN
"""Every row that a figure or claim reads, and more: one simple question is answered faster than
those of all figures."""

FEW = 100_000
"""Rows that are all read, whatever the paper asks: with 10,000 images each 125 MB."""

DISTANCES = claims.READS | pl.any_horizontal(
    pl.all_horizontal(*figure.reads) for figure in FIGURES.values() if figure.images
)
"""Every row of which a figure or claim reads the distances of single images. Their outcomes are
read of all rows: intervals over seeds need them."""

WANTED = Wanted(
    ROWS,
    [*COLUMNS, "class_n", "class_n_correct"],
    {
        "correct": ROWS,  # all that are read; named so that they are copied, and little is held
        "distances": DISTANCES,
        **dict.fromkeys(("class_n", "class_n_correct"), worst.ATTACKED),
    },
    FEW,
)
"""For figures, claims and the worst case; of few rows all, for what the grid itself asks."""
