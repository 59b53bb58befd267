"""Which rows claims read, and maybe more: of very many only these are kept with their images."""

import polars as pl

from analysis.rows.conditions import (
    CLEAN,
    NO_ADVERSARY,
    PAPER_EPS,
    SAME_RANGE,
    SMALLER_EPS,
    UPRIGHT,
)

ATTACKS = ("fgsm", "pgd", "fmn-pgd", "strong")
"""Under which claims compare networks at the eps that they name."""
WITHOUT_EPS = ("fmn", "equivariance", "rotation-grid")
"""Attacks of which every eps counts, or that have none."""
TURNED = SAME_RANGE | UPRIGHT | (pl.col("test_rotation") == 0)
"""Tested as trained, or one of both upright."""
ATTACKED = pl.col("attack").is_in(ATTACKS) & pl.col("eps").is_in([SMALLER_EPS, PAPER_EPS])
READS = (
    CLEAN | pl.col("attack").is_in(WITHOUT_EPS) | (ATTACKED & (SAME_RANGE | NO_ADVERSARY))
) & TURNED
"""Whether a claim may read a row."""
