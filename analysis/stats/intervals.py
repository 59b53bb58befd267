"""Intervals of shares, and of differences of shares, that were counted."""

from statistics import NormalDist

import polars as pl

CELLS = ("both", "only_first", "only_second", "neither")
"""Numbers of images that both, one or none of two networks got right."""


def wilson(
    n_correct: str | pl.Expr = "n_correct", n: str | pl.Expr = "n", confidence: float = 0.95
) -> tuple[pl.Expr, pl.Expr]:
    """Lower and upper end of Wilson's score interval of the share `n_correct / n`; null if n is 0.

    Exactly 0 below when nothing is correct, exactly 1 above when everything is.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    k, images = (pl.col(of) if isinstance(of, str) else of for of in (n_correct, n))
    total = pl.when(images > 0).then(images)
    centre = (k + z**2 / 2) / (total + z**2)
    half = z / (total + z**2) * (k * (total - k) / total + z**2 / 4).sqrt()
    lower = pl.when(k == 0).then(0.0 * total).otherwise(centre - half)
    upper = pl.when(k == total).then(1.0 + 0.0 * total).otherwise(centre + half)
    return lower, upper


def newcombe(confidence: float = 0.95) -> tuple[pl.Expr, pl.Expr]:
    """Lower and upper end of the interval of the difference of two shares that were counted on the
    same images, first less second, from the columns `CELLS`.

    Newcombe, Statist. Med. 1998, 17:2635, method 10: Wilson's intervals of both shares, joined by
    the continuity-corrected correlation between them.
    """
    a, b, c, d = (pl.col(cell).cast(pl.Float64) for cell in CELLS)
    n, first, second = a + b + c + d, a + b, a + c
    least, most = wilson(first, n, confidence)
    other_least, other_most = wilson(second, n, confidence)
    product = a * d - b * c
    corrected = pl.when(product > 0).then((product - n / 2).clip(0)).otherwise(product)
    margins = first * (c + d) * second * (b + d)
    phi = pl.when(margins > 0).then(corrected / margins.sqrt()).otherwise(0.0)

    def joined(u: pl.Expr, v: pl.Expr) -> pl.Expr:
        return (u**2 - 2 * phi * u * v + v**2).clip(0).sqrt()

    p, q = first / n, second / n
    return (
        p - q - joined(p - least, other_most - q),
        p - q + joined(most - p, q - other_least),
    )
