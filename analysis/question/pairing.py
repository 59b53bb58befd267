"""Accuracy of rows that differ in chosen fields only: the same in everything else, the same seeds
and, of one data set, images."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from analysis.stats import seeds
from analysis.stats.seeds import Estimate

MOST_SETTINGS = 120
"""Settings of everything else that are averaged; of more, so many at equal steps."""
Signs = Mapping[str, tuple[Any, Any]]
"""Of each field that is compared: the value that counts negative, and the one that counts
positive."""


class Paired(NamedTuple):
    """What rows that differ in some fields only say, averaged over all else."""

    estimate: Estimate
    settings: int
    """How many settings of all else it averages,"""
    measured: int
    """of so many in which all that is compared was measured."""
    parts: tuple[Estimate, ...]
    """The same in each setting; empty if there is one."""
    n: int
    """Images of each network, of several numbers the least."""
    floor: bool
    """Whether not one image was right."""


def paired(
    rows: pl.DataFrame, signs: Signs, fields: Sequence[str], apart: Sequence[str] = ()
) -> Paired | None:
    """The mean over settings of everything else of the difference that `signs` describe: of one
    field its effect, of two what the second changes in the effect of the first. `fields` are all
    that vary, `apart` those that need not be the same. None if nothing can be compared.

    Where networks were measured on several numbers of images, the largest that is the same on
    both sides counts. Images are paired where data set and number are the same.
    """
    context = [name for name in fields if name not in signs and name not in apart]
    chosen = rows.filter(pl.col(n).is_in(list(ends)) for n, ends in signs.items())
    weights = [
        pl.when(pl.col(name) == high).then(1.0).otherwise(-1.0)
        for name, (_, high) in signs.items()
    ]
    weight = weights[0] if len(weights) == 1 else weights[0] * weights[1]
    corner = [*signs]
    chosen = chosen.with_columns(_weight=weight).sort("n", descending=True)
    same = _complete(chosen, [*context, "n", "seed"], corner)
    same = same.unique([*context, "seed", *corner], keep="first", maintain_order=True)
    rest = chosen.join(same, on=[*context, "seed"], how="anti", nulls_equal=True)
    rest = rest.unique([*context, "seed", *corner], keep="first", maintain_order=True)
    whole = pl.concat([same, _complete(rest, [*context, "seed"], corner)])
    whole = whole.sort(*context, *corner, "seed")
    return _averaged(whole, context) if whole.height else None


def _complete(rows: pl.DataFrame, key: Sequence[str], corner: Sequence[str]) -> pl.DataFrame:
    """The rows of those keys that have every corner of the comparison."""
    corners = pl.struct(corner).n_unique().over(key)
    return rows.filter(corners == 2 ** len(corner))


def _averaged(whole: pl.DataFrame, context: Sequence[str]) -> Paired:
    """The estimate, of the settings that share the seeds which tell most."""
    if context:
        groups = whole.partition_by(context, maintain_order=True)
    else:
        groups = [whole]
    have = [frozenset(group["seed"]) for group in groups]
    common = max(set(have), key=lambda chosen: (_worth(chosen, have), sorted(chosen)))
    kept = [group for group, of in zip(groups, have, strict=True) if common <= of]
    step = max(1, -(-len(kept) // MOST_SETTINGS))
    used = [group.filter(pl.col("seed").is_in(list(common))) for group in kept[::step]]
    parts = tuple(_estimate([part]) for part in used) if len(used) > 1 else ()
    floor = all(group["n_correct"].sum() == 0 for group in used)
    n = min(int(group["n"].min()) for group in used)  # type: ignore[arg-type]
    return Paired(_estimate(used), len(used), len(groups), parts, n, floor)


def _worth(chosen: frozenset[int], have: Sequence[frozenset[int]]) -> tuple[bool, int]:
    """Whether seeds tell of other trainings, and how many rows have them."""
    return len(chosen) >= seeds.FEWEST, len(chosen) * sum(chosen <= of for of in have)


def _estimate(groups: Sequence[pl.DataFrame]) -> Estimate:
    """The weighted sum, averaged over the groups: an arm is one kind of network."""
    sums: dict[tuple[str, str, int], np.ndarray] = {}
    order = sorted(set(groups[0]["seed"]))
    columns = ("arm", "data", "seed", "n", "correct", "_weight")
    for arm, data, seed, n, correct, weight in pl.concat(groups).select(columns).iter_rows():
        table = sums.setdefault((arm, data, n), np.zeros((len(order), n), dtype=float))
        bits = np.unpackbits(np.frombuffer(correct, dtype=np.uint8), count=n)
        table[order.index(seed)] += weight / len(groups) * bits
    arms, images = [arm for arm, *_ in sums], [key[1:] for key in sums]
    return seeds.crossed([*sums.values()], arms, images, pseudo=1 / len(groups))
