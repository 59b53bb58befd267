"""GCNN less StdCNN, both tested as they were trained: what claims on pixels ask of rows."""

import itertools
from collections.abc import Mapping, Sequence

import polars as pl

from analysis.claims.evidence import (
    Evidence,
    Term,
    Wanted,
    against,
    evidence,
    flagged,
    measured_by_all,
)
from analysis.rows import phrases
from analysis.rows.conditions import LARGE, PAPER_EPS, SAME_RANGE, SMALL
from analysis.rows.selection import NotMeasured, of_variants, where
from analysis.rows.vocabulary import label
from analysis.stats import trends

GAP = "GCNN - StdCNN"
CIRCLE = 180.0
"""Degrees: rotated over the whole circle."""


def pair_rows(
    rows: pl.DataFrame, pair: Mapping[str, str], eps: float, *which: pl.Expr
) -> pl.DataFrame:
    """Rows of a pair of networks at this eps."""
    kinds = " and ".join(itertools.starmap(phrases.kind, pair.items()))
    needs = f"{kinds}, eps {eps:g}"
    chosen = where(rows, needs, of_variants(pair), pl.col("eps") == eps, *which)
    return where(chosen, needs, pl.col("model").n_unique() == len(pair))


def plain(*, adversary: str = "none", eps: float | None = None) -> list[pl.Expr]:
    """Tested as trained, with this adversary."""
    which = [SAME_RANGE, pl.col("adversary") == adversary]
    return which if eps is None else [*which, pl.col("adversary_eps") == eps]


def gap(x: float, weight: float = 1.0, **of: object) -> list[Term]:
    """GCNN less StdCNN, both trained and tested on [-x, x]."""
    sides = ((weight, "gcnn"), (-weight, "stdcnn"))
    return [(sign, {"model": model, "train_rotation": x, **of}) for sign, model in sides]


def gaps(xs: Sequence[float], **of: object) -> list[Term]:
    """The mean of `gap` over ranges."""
    return [term for x in xs for term in gap(x, 1 / len(xs), **of)]


def by_range(rows: pl.DataFrame) -> str:
    """`GCNN / StdCNN: 3.1% / 2.0% at ±0°, ...`, means over seeds; differences near 0% or 100% can
    only be small."""
    share = (pl.col("n_correct") / pl.col("n")).mean().alias("share")
    means = rows.filter(~flagged()).group_by("train_rotation", "model").agg(share)
    one, other = (means.filter(model=model).drop("model") for model in ("gcnn", "stdcnn"))
    values = one.join(other, on="train_rotation").sort("train_rotation").iter_rows()
    listed = ", ".join(f"{one:.1%} / {other:.1%} at ±{x:g}°" for x, one, other in values)
    return f"GCNN / StdCNN: {listed}." if listed else ""


def shares(rows: pl.DataFrame, model: str) -> pl.DataFrame:
    """Accuracy of each network of a model by range: `train_rotation`, `seed`, `share`."""
    believed = rows.filter(~flagged(), model=model)
    return believed.select("train_rotation", "seed", share=pl.col("n_correct") / pl.col("n"))


def trend_of_gap(rows: pl.DataFrame) -> str:
    """How the difference of networks of the same seed goes with range, in words."""
    one, other = shares(rows, "gcnn"), shares(rows, "stdcnn")
    both = one.join(other, on=["train_rotation", "seed"])
    differences = both.with_columns(pl.col("share") - pl.col("share_right"))
    found = trends.words(differences, "share", "falls") if len(both) else ""
    return f"Trend of {GAP}: {found}." if found else ""


def crossover(rows: pl.DataFrame, pair: Mapping[str, str]) -> Evidence:
    """GCNN ahead at small ranges, behind at large ones: the mean difference over either."""
    chosen = pair_rows(rows, pair, PAPER_EPS, *plain())
    small, large = small_and_large(chosen)
    wanted = [
        Wanted(f"{GAP}, mean over ranges up to ±{SMALL:g}°", gaps(small), low=0.0),
        Wanted(f"{GAP}, mean over ranges from ±{LARGE:g}°", gaps(large), high=0.0),
    ]
    return evidence(chosen, wanted, f"{by_range(chosen)} {trend_of_gap(chosen)}".strip())


def small_and_large(rows: pl.DataFrame) -> tuple[list[float], list[float]]:
    """The small and the large ranges at which both models were measured.

    Raises:
        NotMeasured: either has none.
    """
    xs = measured_by_all(rows, "train_rotation")
    small, large = [x for x in xs if x <= SMALL], [x for x in xs if x >= LARGE]
    if not (small and large):
        needs = f"train_rotation up to {SMALL:g} and from {LARGE:g} of both"
        raise NotMeasured(f"needs {needs} (measured of both: {degrees(xs)})")
    return small, large


def degrees(xs: Sequence[float]) -> str:
    """`0, 60`, or `none`."""
    return ", ".join(f"{x:g}" for x in xs) or "none"


def upright_and_turned(chosen: pl.DataFrame, needs: str) -> None:
    """Make sure that every model was trained upright and over the whole circle.

    Raises:
        NotMeasured: one was not; `needs` says what was asked for.
    """
    xs = measured_by_all(chosen, "train_rotation")
    if not {0.0, CIRCLE} <= set(xs):
        wanted = f"train_rotation 0 and {CIRCLE:g} with {needs}"
        raise NotMeasured(f"needs {wanted} (measured so: {degrees(xs)})")


def trained_wide(chosen: pl.DataFrame, model: str, needs: str) -> Wanted:
    """A model's value when trained over the whole circle lies below that when trained upright."""
    of_model = chosen.filter(model=model)
    upright_and_turned(of_model if len(of_model) else chosen, needs)
    terms = [
        (sign, {"model": model, "train_rotation": x}) for sign, x in ((1.0, CIRCLE), (-1.0, 0.0))
    ]
    return Wanted(f"{label(model)} trained on ±{CIRCLE:g}° less on ±0°", terms, high=0.0)


def loses_more(chosen: pl.DataFrame, model: str, needs: str, **of: object) -> Wanted:
    """Difference in differences: what a model loses between training upright and over the whole
    circle, less what StdCNN loses."""
    upright_and_turned(chosen, needs)
    terms: list[Term] = [
        (side * sign, {"model": name, "train_rotation": x, **of})
        for side, name in ((1.0, model), (-1.0, "stdcnn"))
        for sign, x in ((1.0, CIRCLE), (-1.0, 0.0))
    ]
    words = f"{against(model, 'stdcnn')}, change from ±0° to ±{CIRCLE:g}°"
    return Wanted(words, terms, high=0.0, change=True)
