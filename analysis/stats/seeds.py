"""What is known beyond the networks that were trained: seeds and test images as two samples.

A study is a sample of seeds (trainings) crossed with a sample of images: every network sees the
same images. A value per seed and image, such as the difference of two networks' bits, has an error
from each. With fewer than three seeds nothing can be said about other trainings: what is given
then holds for these networks, and its error is that of the images alone.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from analysis.rows.selection import NotMeasured

FEWEST = 3
"""Seeds below which no interval over seeds is given: of two, only their range."""
RESAMPLES = 10_000


class Estimate(NamedTuple):
    """A mean over seeds and images, its standard error and the degrees of freedom of both."""

    value: float
    error: float
    df: float
    """Of the interval."""
    n: int
    seeds: int
    share: float = 0.0
    """Part of the error's square that seeds alone could be the cause of."""
    df_seeds: float = 1.0
    """Of the spread over seeds."""

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Student's interval."""
        from scipy.special import stdtrit

        half = float(stdtrit(self.df, (1 + confidence) / 2)) * self.error
        return self.value - half, self.value + half

    def p_above(self, bound: float = 0.0) -> float:
        """The one-sided p of "at most `bound`": small if the truth lies above."""
        return self._tail((bound - self.value) / self.error)

    def p_below(self, bound: float = 0.0) -> float:
        """The one-sided p of "at least `bound`": small if the truth lies below."""
        return self._tail((self.value - bound) / self.error)

    def _tail(self, t: float) -> float:
        """The mean of Student's tails with the degrees of freedom of seeds and of images, weighed
        by their shares, as Cochran (Biometrics 1964) weighs quantiles. Far out, where Holm's
        method looks, one tail with degrees of freedom in between (Satterthwaite's) is too thin."""
        from scipy.special import stdtr

        of_seeds, of_images = stdtr(self.df_seeds, t), stdtr(self.n - 1, t)
        return float(self.share * of_seeds + (1 - self.share) * of_images)


def crossed(
    tables: Sequence[np.ndarray], arms: Sequence[str] = (), *, pseudo: float = 1.0
) -> Estimate:
    """The sum of the means of tables (seeds, images). Tables of other width have other images;
    those of other arms (default: all are one) were trained apart, whatever their seeds are called.

    The variance is that of crossed random effects: of the means of seeds, plus of the means of
    images, less what both contain (Cameron, Gelbach and Miller, J. Bus. Econ. Stat. 2011), and no
    less than that of images. Seeds that differ no more than their images explain tell nothing
    about training: the degrees of freedom are then those of images, else those of Welch and
    Satterthwaite. `pseudo` adds the variance of one image that differs by so much, as Agresti and
    Min (Biometrics 2005) do for pairs: no error is 0 because no image happened to differ.
    """
    seeds, value = len(tables[0]), sum(float(table.mean()) for table in tables)
    means = _summed([table.mean(0) for table in tables], [table.shape[1] for table in tables])
    n, images = sum(map(len, means)), sum(_of_images(each, pseudo) for each in means)
    if seeds < FEWEST:
        return Estimate(value, images**0.5, n - 1, n, seeds)
    trained = _summed([table.mean(1) for table in tables], arms or [""] * len(tables))
    of_seeds = [float(each.var(ddof=1)) / seeds for each in trained]
    both = sum(_of_both(table) for table in tables)
    variance = max(sum(of_seeds), images, sum(of_seeds) + images - both)
    squares = sum(each**2 for each in of_seeds) / (seeds - 1)
    df = n - 1.0 if sum(of_seeds) <= both else variance**2 / (squares + images**2 / (n - 1))
    df_seeds = sum(of_seeds) ** 2 / squares if squares else 1.0
    return Estimate(value, variance**0.5, df, n, seeds, sum(of_seeds) / variance, df_seeds)


def _summed(arrays: Sequence[np.ndarray], keys: Sequence[Hashable]) -> list[np.ndarray]:
    """The sums of the arrays that have the same key."""
    sums: dict[Hashable, np.ndarray] = {}
    for array, key in zip(arrays, keys, strict=True):
        sums[key] = sums[key] + array if key in sums else array
    return list(sums.values())


def _of_images(means: np.ndarray, pseudo: float) -> float:
    """The variance of the mean over images, the networks being given."""
    n = len(means)
    return float(((means - means.mean()) ** 2).sum() + pseudo**2) / (n * (n - 1))


def _of_both(table: np.ndarray) -> float:
    """The part of the variance that differs from image to image and from seed to seed."""
    seeds, n = table.shape
    rest = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    return float((rest**2).sum()) / ((seeds - 1) * (n - 1) * seeds * n)


def bootstrap(
    table: np.ndarray, *, confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """The percentile interval of a table's mean if seeds, then images are drawn again.

    It needs no normal distribution; but with fewer than about ten seeds it is too narrow (of S
    seeds, a resample has only (S-1)/S of the variance), where `crossed` is not. Images that are
    alike at all seeds are drawn together, which changes nothing but the time (multinomial).
    """
    draw = np.random.default_rng(seed)
    seeds, n = table.shape
    kinds, counts = np.unique(table, axis=1, return_counts=True)
    of_seeds = draw.multinomial(seeds, [1 / seeds] * seeds, size=resamples) / seeds
    of_images = draw.multinomial(n, counts / n, size=resamples) / n
    means = ((of_seeds @ kinds) * of_images).sum(1)
    lower, upper = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(lower), float(upper)


def spread(rows: pl.DataFrame, conditions: Sequence[str], value: pl.Expr) -> pl.DataFrame:
    """Per condition the mean of `value` over its seeds, their number, the range, and Student's 95%
    interval of the mean: null below three seeds."""
    return (
        rows.group_by(conditions)
        .agg(
            mean=value.mean(),
            least=value.min(),
            greatest=value.max(),
            deviation=value.std(),
            seeds=pl.col("seed").n_unique(),
        )
        .with_columns(_half=_half_width())
        .with_columns(
            lower=pl.col("mean") - pl.col("_half"), upper=pl.col("mean") + pl.col("_half")
        )
        .drop("_half")
        .sort(conditions)
    )


def _half_width() -> pl.Expr:
    from scipy.special import stdtrit

    def quantiles(seeds: pl.Series) -> pl.Series:
        return pl.Series(stdtrit(seeds.to_numpy() - 1.0, 0.975))

    seeds = pl.col("seeds")
    enough = pl.when(seeds >= FEWEST).then(seeds)
    t = enough.fill_null(FEWEST).map_batches(quantiles, return_dtype=pl.Float64)
    return pl.when(seeds >= FEWEST).then(t * pl.col("deviation") / seeds.sqrt())


def scope(seeds: Collection[int]) -> str:
    """How far what was found with these numbers of seeds reaches, in words."""
    fewest, most = min(seeds), max(seeds)
    if fewest >= FEWEST:
        span = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        return f"{span} seeds"
    if fewest == 1:
        return "one seed: these networks only, nothing is known of the spread over seeds"
    return f"{fewest} seeds: these networks only, their range is all that is known of the spread"


def tables(
    terms: Sequence[tuple[float, Mapping[int, np.ndarray], str]],
) -> tuple[list[np.ndarray], list[str]]:
    """What `crossed` takes, of the seeds that all terms have: weighted values per seed and image,
    summed within an arm (which trains one network per seed) where the images are the same.

    Raises:
        NotMeasured: no seed is common to all terms.
    """
    common = sorted(set.intersection(*(set(values) for _, values, _ in terms)))
    if not common:
        raise NotMeasured("needs a seed that all have")
    weighted = [weight * np.stack([of[seed] for seed in common]) for weight, of, _ in terms]
    keys = [(arm, table.shape[1]) for (*_, arm), table in zip(terms, weighted, strict=True)]
    return _summed(weighted, keys), [arm for arm, _ in dict.fromkeys(keys)]
