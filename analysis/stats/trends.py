"""Does a number rise or fall with the range of rotations? Slopes, ranks and tests, by scipy."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import polars as pl

from analysis.stats.seeds import FEWEST, spread

TESTS = ("theil_sen", "theil_sen_lower", "theil_sen_upper", "p_rises", "p_falls", "blocks")
FEWEST_VALUES = 3
"""Values of x below which nothing is said of a trend."""


def slope_weights(x: Sequence[float]) -> list[float]:
    """What the least-squares slope against x weighs the value at each x by."""
    centred = np.asarray(x, dtype=float) - np.mean(x)
    return [float(weight) for weight in centred / (centred**2).sum()]


def trend(rows: pl.DataFrame, x: str, y: str, conditions: Sequence[str]) -> pl.DataFrame:
    """Per condition the least-squares slope of y against x, a mean over the seeds with its
    `spread`; of the means of y over seeds `rank`, Spearman's correlation with x, and the slope of
    Theil and Sen with its 95% interval (of x, not of seeds); and Page's test that y rises, or
    falls, with x, one-sided, over `blocks` seeds that have every x: null below two."""
    slopes = rows.group_by(*conditions, "seed").agg(slope=pl.cov(x, y) / pl.col(x).var())
    found = spread(slopes, conditions, pl.col("slope")).rename({"mean": "slope"})
    means = rows.group_by(*conditions, x).agg(pl.col(y).mean())
    ranks = means.group_by(conditions).agg(rank=pl.corr(x, y, method="spearman"))
    tested = [[*key, *_tested(part, x, y)] for key, part in rows.group_by(conditions)]
    schema = {name: rows.schema[name] for name in conditions}
    schema |= dict.fromkeys(TESTS[:-1], pl.Float64()) | {"blocks": pl.Int64()}
    tests = pl.DataFrame(tested, schema=schema, orient="row")
    for table in (ranks, tests):
        found = found.join(table, on=conditions, how="left", maintain_order="left")
    return found


def _tested(rows: pl.DataFrame, x: str, y: str) -> list[float | None]:
    """The values of `TESTS`."""
    from scipy.stats import page_trend_test, theilslopes

    means = rows.group_by(x).agg(pl.col(y).mean()).sort(x)
    if means.height < FEWEST_VALUES:
        return [None] * (len(TESTS) - 1) + [0]
    line = theilslopes(means[y].to_numpy(), means[x].to_numpy())
    slopes = [float(line.slope), float(line.low_slope), float(line.high_slope)]
    table = rows.sort(x).pivot(x, index="seed", values=y).drop_nulls().drop("seed").to_numpy()
    if len(table) < 2:
        return [*slopes, None, None, len(table)]
    tests = [float(page_trend_test(sign * table).pvalue) for sign in (1, -1)]
    return [*slopes, *tests, len(table)]


def words(rows: pl.DataFrame, y: str, which: Literal["rises", "falls"]) -> str:
    """A sentence on the trend of a share against the range of training, in points from 0 to 180
    degrees; empty if there are too few ranges."""
    together = trend(rows.with_columns(_all=0), "train_rotation", y, ["_all"])
    found = together.row(0, named=True)
    if found["theil_sen"] is None:
        return ""
    slope, lower, upper = (18_000 * found[name] for name in TESTS[:3])
    line = f"Theil-Sen {slope:+.1f} points from 0 to 180° [{lower:+.1f}, {upper:+.1f}]"
    rank = f"rank correlation {found['rank']:+.2f}"
    return f"{line}, {rank}, {page(found[f'p_{which}'], found['blocks'], which)}"


def page(p: float | None, blocks: int, which: str) -> str:
    """Page's test in words, with what its number of seeds is worth."""
    if p is None:
        return "one seed: no test over seeds"
    number = "p < 0.001" if p < 0.001 else f"p {p:.3f}"
    few = ", these networks only" if blocks < FEWEST else ""
    return f"Page's test that it {which} {number} ({blocks} seeds{few})"
