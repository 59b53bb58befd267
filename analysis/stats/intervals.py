"""The distribution of a mean over seeds and images, and what it makes of a counted share.

A mean over few seeds and many images has two errors: that of seeds, whose size few seeds barely
tell (Student's distribution), and that of images, whose size is known (the normal one). The
distribution of their sum, that of Behrens and Fisher, gives intervals and tests alike.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(60)
LEVELS = ((_NODES + 1) / 2) ** 3
WEIGHTS = _WEIGHTS * 1.5 * ((_NODES + 1) / 2) ** 2
"""Levels of a chi-square distribution and their weights: dense where T's variance is large."""
ITERATIONS = 40
"""Of Newton's method, at most; ten are usual."""


def cdf(t: ArrayLike, part: ArrayLike, df: ArrayLike) -> Values:
    """P(sqrt(part) T + sqrt(1 - part) Z <= t); T is Student's with `df` degrees of freedom, Z is
    normal. The arguments may be arrays of one shape.

    T is normal with a variance that is drawn (df over chi-square): the mean of normal
    distributions over that variance, by Gauss and Legendre's rule, right to 1e-5.
    """
    return _mixture(np.asarray(t, dtype=float), _variances(part, df))


def quantile(probability: float, part: ArrayLike, df: ArrayLike) -> Values:
    """The t of which `cdf` is `probability` (above 0.5).

    Newton's method, from the quantile of Z: above 0 the slope of `cdf` falls, so that no step goes
    beyond what is sought. Only where Student's part is not 0.
    """
    from scipy.special import ndtri

    part, df = np.broadcast_arrays(np.asarray(part, float), np.asarray(df, float))
    found: Values = np.full(part.shape, ndtri(probability))
    mixed = part > 0
    variances = _variances(part[mixed], df[mixed])
    t = found[mixed]
    for _ in range(ITERATIONS):
        step = (probability - _mixture(t, variances)) / _slope(t, variances)
        t = t + step
        if not (step > 1e-12 * t).any():
            break
    found[mixed] = t
    return found


def _mixture(t: Values, variances: Values) -> Values:
    from scipy.special import ndtr

    found: Values = (ndtr(t[..., None] / np.sqrt(variances)) @ WEIGHTS).clip(0, 1)
    return found


def _slope(t: Values, variances: Values) -> Values:
    """The density of the mixture."""
    densities = np.exp(-(t[..., None] ** 2) / (2 * variances)) / np.sqrt(2 * np.pi * variances)
    slope: Values = densities @ WEIGHTS
    return slope


def _variances(part: ArrayLike, df: ArrayLike) -> Values:
    """The variances that are mixed, along a last axis."""
    from scipy.special import gammaincinv

    part = np.asarray(part, dtype=float)[..., None]
    kinds, at = np.unique(np.asarray(df, dtype=float), return_inverse=True)
    drawn = kinds[:, None] / 2 / gammaincinv(kinds[:, None] / 2, LEVELS)
    found: Values = part * drawn[at.reshape(np.shape(df))] + 1 - part
    return found


def score(share: ArrayLike, n: ArrayLike, z: ArrayLike) -> tuple[Values, Values]:
    """Both ends of Wilson's score interval of a share of `n` images (or of as many as tell as
    much) at the critical value z: every bound b with |share - b| <= z sqrt(b (1 - b) / n).

    Exactly 0 below when nothing is correct, exactly 1 above when everything is.
    """
    share, n, z = (np.asarray(value, dtype=float) for value in (share, n, z))
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.where(share == 0, 0.0, centre - half), np.where(share == 1, 1.0, centre + half)
