"""What is known beyond the networks that were trained: seeds and test images as two samples.

A study is a sample of seeds (trainings) crossed with a sample of images: every network sees the
same images. A value per seed and image, such as the difference of two networks' bits, has an error
from each. With fewer than three seeds nothing can be said about other trainings: what is given
then holds for these networks, and its error is that of the images alone.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from analysis.rows.selection import MixedRowsError, NotMeasured
from analysis.stats.intervals import Values, cdf, quantile, score

FEWEST = 3
"""Seeds below which nothing is said of other trainings."""


class Estimate(NamedTuple):
    """A mean over seeds and images with its standard error, `part` of whose square is Student's
    with `df` degrees of freedom (see `intervals`)."""

    value: float
    error: float
    n: int
    seeds: int
    part: float
    df: float
    counts: float | None = None
    """Of a share: of how many images, each with its own luck, it tells as much. The error is then
    another at every bound, as in Wilson's interval."""

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Every bound that the tests below do not refute at half of what is left, either side."""
        z = float(quantile((1 + confidence) / 2, self.part, self.df))
        if self.counts is None:
            return self.value - z * self.error, self.value + z * self.error
        lower, upper = score(self.value, self.counts, z)
        return float(lower), float(upper)

    def p_above(self, bound: float = 0.0) -> float:
        """The one-sided p of "at most `bound`": small if the truth lies above."""
        return self._tail(bound - self.value, bound)

    def p_below(self, bound: float = 0.0) -> float:
        """The one-sided p of "at least `bound`": small if the truth lies below."""
        return self._tail(self.value - bound, bound)

    def _tail(self, difference: float, bound: float) -> float:
        error = self.error
        if self.counts is not None:
            error = (bound * (1 - bound) / self.counts) ** 0.5
        if error == 0:
            return 0.5 + 0.5 * float(np.sign(difference))
        return float(cdf(difference / error, self.part, self.df))


def crossed(
    tables: Sequence[np.ndarray],
    arms: Sequence[str] = (),
    images: Sequence[Hashable] = (),
    *,
    pseudo: float = 1.0,
) -> Estimate:
    """The sum of the means of tables (seeds, images). Tables of the same `images` (default: of the
    same width) have the same ones; those of other arms (default: all are one) were trained apart,
    whatever their seeds are called.

    The variance is that of crossed random effects: of the means of seeds, plus of the means of
    images, less what both contain (Cameron, Gelbach and Miller, J. Bus. Econ. Stat. 2011). The
    part of seeds has Welch's degrees of freedom. With fewer than `FEWEST` seeds the variance is
    that of the images alone. `pseudo` adds the variance of one image that differs by so much, as
    Agresti and Min (Biometrics 2005) do for pairs: no error is 0 because no image happened to
    differ.
    """
    seeds, value = len(tables[0]), sum(float(table.mean()) for table in tables)
    widths = [table.shape[1] for table in tables]
    means = _summed([table.mean(0) for table in tables], images or widths)
    n, of_images = sum(map(len, means)), sum(_of_images(each, pseudo) for each in means)
    if seeds < FEWEST:
        return Estimate(value, of_images**0.5, n, seeds, 1.0, max(n - 1, 1))
    trained = _summed([table.mean(1) for table in tables], arms or [""] * len(tables))
    each = [float(of.var(ddof=1)) / seeds for of in trained]
    of_seeds, squares = sum(each), sum(one**2 for one in each) / (seeds - 1)
    variance = of_seeds + max(of_images - sum(map(_of_both, tables)), 0)
    df = of_seeds**2 / squares if squares else seeds - 1
    return Estimate(value, variance**0.5, n, seeds, of_seeds / variance if variance else 0, df)


def share(table: np.ndarray) -> Estimate:
    """The mean of bits (seeds, images) as a share: of one network this is Wilson's interval."""
    seeds, n = table.shape
    of_images = float(table.mean(0).var()) / n
    of_seeds = float(table.mean(1).var(ddof=1)) / seeds if seeds >= FEWEST else 0.0
    value, both = float(table.mean()), _of_both(table) if seeds >= FEWEST else 0.0
    counts, part = map(float, informative(value, n, seeds, of_seeds, of_images, both))
    error = (value * (1 - value) / counts) ** 0.5
    return Estimate(value, error, n, seeds, part, max(seeds - 1, 1), counts)


def informative(
    value: ArrayLike,
    n: int,
    seeds: int,
    of_seeds: ArrayLike,
    of_images: ArrayLike,
    both: ArrayLike,
) -> tuple[Values, Values]:
    """Of how many images a share tells as much, and the part of its variance that is of seeds.

    All variances are of the mean. A share of 0 or 1 tells as much as `n` images, though every
    seed has seen them; no share tells more than `n` images of every seed.
    """
    value, of_seeds, of_images, both = map(np.asarray, (value, of_seeds, of_images, both))
    single = value * (1 - value)
    variance = np.maximum(of_seeds + np.maximum(of_images - both, 0), single / (n * seeds))
    mixed = (single > 0) & (variance > 0)
    variance = np.where(mixed, variance, 1.0)
    part = np.where(mixed, np.minimum(of_seeds / variance, 1), 0.0)
    return np.where(mixed, single / variance, float(n)), part


def _summed(arrays: Sequence[np.ndarray], keys: Sequence[Hashable]) -> list[np.ndarray]:
    """The sums of the arrays that have the same key."""
    sums: dict[Hashable, np.ndarray] = {}
    for array, key in zip(arrays, keys, strict=True):
        sums[key] = sums[key] + array if key in sums else array
    return list(sums.values())


def _of_images(means: np.ndarray, pseudo: float) -> float:
    """The variance of the mean over images, the networks being given."""
    n = len(means)
    return float(((means - means.mean()) ** 2).sum() + pseudo**2) / (n * max(n - 1, 1))


def _of_both(table: np.ndarray) -> float:
    """The part of the variance that differs from image to image and from seed to seed."""
    seeds, n = table.shape
    rest = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    return float((rest**2).sum()) / ((seeds - 1) * max(n - 1, 1) * seeds * n)


def scope(seeds: int) -> str:
    """How far what was found with so many seeds reaches, in words."""
    if seeds >= FEWEST:
        return f"{seeds} seeds"
    if seeds == 1:
        return "one seed: these networks only, nothing is known of the spread over seeds"
    return f"{seeds} seeds: these networks only, their range is all that is known of the spread"


def tables(
    terms: Sequence[tuple[float, Mapping[int, np.ndarray], str]],
) -> tuple[list[np.ndarray], list[str]]:
    """What `crossed` takes, of the seeds that all terms have: weighted values per seed and image,
    summed within an arm (which trains one network per seed) where the images are the same.

    Raises:
        NotMeasured: no seed is common to all terms.
        MixedRowsError: the seeds of a term have different numbers of images.
    """
    common = sorted(set.intersection(*(set(values) for _, values, _ in terms)))
    if not common:
        raise NotMeasured("needs a seed that all have")
    if any(len({of[seed].size for seed in common}) > 1 for _, of, _ in terms):
        raise MixedRowsError("seeds were tested on different numbers of images")
    weighted = [weight * np.stack([of[seed] for seed in common]) for weight, of, _ in terms]
    keys = [(arm, table.shape[1]) for (*_, arm), table in zip(terms, weighted, strict=True)]
    return _summed(weighted, keys), [arm for arm, _ in dict.fromkeys(keys)]
