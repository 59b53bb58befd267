"""Networks on the same images: which of them got each image right, from the stored bits."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from analysis.rows import versions
from analysis.rows.selection import MixedRowsError, several_versions
from analysis.stats import seeds
from analysis.stats.seeds import Estimate

Bits = Mapping[int, np.ndarray]
"""By seed, 1 for each image that is right and 0 for each that is wrong, in test order."""


def bits(rows: pl.DataFrame) -> Bits:
    """Which images the network of each seed got right; rows without bits are left out.

    Raises:
        MixedRowsError: there are two rows of one seed, so that unlike things would be mixed, or
            rows of several versions of an own name.
    """
    known = rows.drop_nulls("correct")
    if names := versions.mixed(known):
        raise MixedRowsError(several_versions(names))
    if known["seed"].is_duplicated().any():
        raise MixedRowsError("rows differ in more than the seed")
    return {
        seed: np.unpackbits(np.frombuffer(correct, dtype=np.uint8), count=n).astype(float)
        for seed, n, correct in known.select("seed", "n", "correct").iter_rows()
    }


def contrast(terms: Sequence[tuple[float, Bits, str]]) -> Estimate:
    """A weighted sum of means over the seeds that all terms have. Each term names its arm: what
    one seed trains in two arms differs as much as what two seeds do.

    The values per image are bits, or measured in a unit of their own (`seeds.crossed` then adds
    one image that is off by their standard deviation instead of by 1).

    Raises:
        NotMeasured: no seed is common to all terms.
        MixedRowsError: the seeds of a term have different numbers of images.
    """
    tables, arms = seeds.tables(terms)
    values = np.concatenate([each for _, of, _ in terms for each in of.values()])
    are_bits = bool(((values == 0) | (values == 1)).all())
    if are_bits and [weight for weight, *_ in terms] == [1]:
        return seeds.share(tables[0])
    unit = 1.0 if are_bits else float(values.std())
    return seeds.crossed(tables, arms, pseudo=unit * max(abs(weight) for weight, *_ in terms))


def differences(
    rows: pl.DataFrame, first: pl.Expr, second: pl.Expr, conditions: Sequence[str]
) -> pl.DataFrame:
    """Accuracy of the rows that `first` selects less that of those that `second` does, a row per
    condition that both have, sorted; `p` is two-sided and null below three seeds."""
    found = []
    for key, part in rows.drop_nulls("correct").group_by(conditions):
        left, right = bits(part.filter(first)), bits(part.filter(second))
        common = left.keys() & right.keys()
        if not common:
            continue
        one = contrast([(1.0, left, "first"), (-1.0, right, "second")])
        p = min(1.0, 2 * min(one.p_above(), one.p_below())) if one.seeds >= seeds.FEWEST else None
        n = min(of[seed].size for of in (left, right) for seed in common)
        found.append([*key, one.value, *one.interval(), p, n, one.seeds])
    schema = {name: rows.schema[name] for name in conditions}
    schema |= dict.fromkeys(("difference", "lower", "upper", "p"), pl.Float64())
    schema |= {"n": pl.Int64(), "seeds": pl.Int64()}
    return pl.DataFrame(found, schema=schema, orient="row").sort(conditions)
