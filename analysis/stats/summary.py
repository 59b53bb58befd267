"""Summaries over seeds: means, intervals and flags."""

from collections.abc import Collection, Sequence

import numpy as np
import polars as pl

from analysis.rows import versions
from analysis.rows.selection import MixedRowsError, several_versions
from analysis.stats import seeds
from analysis.stats.intervals import quantile, score

SUMMARY = (
    "accuracy",
    "accuracy_min",
    "accuracy_max",
    "seeds",
    "n",
    "lower",
    "upper",
    "interval",
    "flags",
)
"""The columns that `summary` adds to the conditions."""
OF_BOTH, OF_IMAGES, OF_ONE = "seeds and images", "images", "images of one network"
"""What an interval covers: other trainings and images; other images, with these networks; the
same where it is not known which images each network got right, so that it is too wide if any."""
TOGETHER = 2_000_000
"""Bytes of packed bits that are compared at once."""


def joined_flags() -> pl.Expr:
    """In an aggregation: the flags of all rows, each once. Rows without an attack on pixels
    (eps 0) have none, since what a network fails is about such attacks."""
    flags = pl.col("flags").filter(pl.col("eps") > 0, pl.col("flags") != "")
    return flags.str.split(", ").explode().unique().sort().str.join(", ")


def of_classes(rows: pl.DataFrame, leave_out: Collection[int] = (6, 9)) -> pl.DataFrame:
    """The rows with `n` and `n_correct` of the other classes only, however many there are, and
    without bits.

    For ranges beyond 90 degrees, where a 6 becomes a 9: `summary(of_classes(rows), ...)`. Rows
    that do not know their counts per class are dropped.
    """
    others = {
        count: pl.col(column).list.sum()
        - pl.sum_horizontal(
            0,
            *(pl.col(column).list.get(label, null_on_oob=True) for label in set(leave_out)),
        )
        for count, column in (("n", "class_n"), ("n_correct", "class_n_correct"))
    }
    known = rows.drop_nulls(["class_n", "class_n_correct"])
    return known.with_columns(**others, correct=pl.lit(None, pl.Binary))


def summary(rows: pl.DataFrame, conditions: Sequence[str]) -> pl.DataFrame:
    """One row per condition, sorted: mean, least and greatest accuracy over the seeds, their
    number, the images that each network was tested on (of several numbers the least), the 95 %
    interval of the mean and what it covers (`interval`); and the `flags` of any seed.

    From three seeds on the interval is over seeds and images; with fewer it holds for these
    networks only. Both need the bits `correct`: without them it is Wilson's with the images of one
    network, whatever the number of seeds.

    Raises:
        MixedRowsError: a condition has two rows of one seed, so that unlike things would be mixed,
            or rows of several versions of an own name.
    """
    if names := versions.mixed(rows, conditions):
        raise MixedRowsError(several_versions(names))
    cells = rows.group_by([*conditions, "seed"], maintain_order=True)
    if (cells.len()["len"] > 1).any():
        raise MixedRowsError(f"rows differ in more than seed and {', '.join(conditions)}")
    share = pl.col("n_correct") / pl.col("n")
    known = pl.col("correct") if "correct" in rows.columns else pl.lit(None, pl.Binary)
    alike = (pl.col("n").n_unique() == 1) & known.is_not_null().all()
    found = rows.group_by(conditions).agg(
        accuracy=share.mean(),
        accuracy_min=share.min(),
        accuracy_max=share.max(),
        seeds=pl.col("seed").n_unique(),
        n=pl.col("n").min(),
        flags=joined_flags(),
        _shares=share,
        _bits=known,
        _known=alike & (pl.len() > 1),
    )
    return _with_intervals(found).select(*conditions, *SUMMARY).sort(conditions)


def _with_intervals(found: pl.DataFrame) -> pl.DataFrame:
    """Adds `lower`, `upper` and `interval`, from `_bits` where those of all seeds are known."""
    parts = [
        part.with_columns(_interval_columns(part))
        for part in found.partition_by("seeds", "n", "_known", maintain_order=True)
    ]
    ends = {"lower": pl.Float64, "upper": pl.Float64, "interval": pl.String}
    if not parts:
        return found.with_columns(pl.lit(None, kind).alias(name) for name, kind in ends.items())
    return pl.concat(parts)


def _interval_columns(part: pl.DataFrame) -> list[pl.Series]:
    """The columns of conditions with the same number of seeds and of images."""
    count, n, known = part.select("seeds", "n", "_known").row(0)
    value = part["accuracy"].to_numpy()
    informative, of_seeds, covers = np.full(len(part), float(n)), np.zeros(len(part)), OF_ONE
    if known:
        informative, of_seeds = informative_bits(part, count, n)
        covers = OF_BOTH if count >= seeds.FEWEST else OF_IMAGES
    elif count == 1:
        covers = OF_IMAGES
    z = quantile(0.975, of_seeds, np.full(len(part), max(count - 1.0, 1.0)))
    lower, upper = score(value, np.where(informative > 0, informative, np.nan), z)
    ends = pl.Series("lower", lower), pl.Series("upper", upper)
    return [*ends, pl.Series("interval", [covers] * len(part))]


def informative_bits(part: pl.DataFrame, count: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """`seeds.informative` of many conditions at once, each of `count` seeds and `n` images: all
    that it needs of the bits is how many images both networks of any pair got right."""
    shares = np.stack(part["_shares"].to_list())
    value = shares.mean(1)
    width = -(-n // 8)
    squares = n * shares.sum(1)
    step = max(1, TOGETHER // (count * width))
    for start in range(0, len(part), step):
        lists = part["_bits"].slice(start, step).to_list()
        packed = np.frombuffer(b"".join(map(b"".join, lists)), np.uint8)
        packed = packed.reshape(len(lists), count, width)
        for i in range(count):
            both = np.bitwise_count(packed[:, i + 1 :] & packed[:, i : i + 1])
            squares[start : start + step] += 2.0 * both.sum((1, 2))
    of_images = squares / count**2 / n - value**2  # the variance over images of their means
    if count < seeds.FEWEST:
        return seeds.informative(value, n, count, 0.0, of_images / n, 0.0)
    spread = ((shares - value[:, None]) ** 2).sum(1)
    rest = n * count * (value * (1 - value) - of_images) - n * spread
    both = rest.clip(0) / ((count - 1) * max(n - 1, 1) * count * n)
    of_seeds = spread / (count - 1) / count
    return seeds.informative(value, n, count, of_seeds, of_images / n, both)
