"""From rows to the numbers on which a claim depends, and from those to what is known.

A claim asks for parts (`Wanted`): weighted sums of accuracies that must lie above or below a
bound. It holds if every part does, and is refuted if one part is. The first needs no correction
for the number of parts (intersection-union test: the largest p counts), the second does
(Bonferroni: the smallest p times their number).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl

from analysis.claims.settings import most_images
from analysis.rows.selection import NotMeasured, where
from analysis.rows.vocabulary import label
from analysis.stats import paired, seeds
from analysis.stats.paired import Bits

BEYOND = "beyond the paper"
"""Instead of a figure."""
FLOOR = 0.01
"""Accuracy below which all networks of a comparison have lost everything that could differ."""
ENDS = "train_rotation"
"""The column at each of whose values a change needs something that is left: where no network of
either model has anything, the change only says which of them had more to lose."""
ARM = ("model", "train_rotation", "train_size", "adversary")
"""Columns of terms that tell networks apart."""
Unit = Literal["share", "difference", "number"]
Term = tuple[float, Mapping[str, Any]]
"""A weight, and the values of columns that select the rows of one kind of network and test."""


FORMS: Mapping[Unit, tuple[str, float, str]] = {
    "share": ("{:.2f}", 100, "%"),
    "difference": ("{:+.2f}", 100, " points"),
    "number": ("{:+.3f}", 1, ""),
}
"""How a number is written, what it is multiplied by, and its unit."""


class Wanted(NamedTuple):
    """A part: the sum of the terms must lie above `low` and below `high`, where given."""

    words: str
    terms: Sequence[Term]
    low: float | None = None
    high: float | None = None
    unit: Unit = "difference"
    values: Callable[[pl.DataFrame], Bits] = paired.bits
    change: bool = False
    """Whether it compares what networks lose between two values of `ENDS`."""


class Either(NamedTuple):
    """A part that holds if all of `first` do, or all of `second`."""

    words: str
    first: Sequence[Wanted]
    second: Sequence[Wanted]


class Part(NamedTuple):
    """What was measured of a part; `holds` and `fails` are one-sided p-values, small if so."""

    words: str
    estimate: float
    lower: float | None
    upper: float | None
    holds: float
    fails: float
    n: int
    seeds: int
    unit: Unit = "difference"
    floor: bool = False
    """Whether every accuracy that is compared lies below `FLOOR`; of a change, at one end."""

    def __str__(self) -> str:
        """The estimate with its interval, if it has one."""
        form, scale, unit = FORMS[self.unit]
        estimate, *interval = (
            form.format(scale * value) for value in self[1:4] if value is not None
        )
        ends = f" [{', '.join(interval)}]" if interval else ""
        return f"{self.words}: {estimate}{unit}{ends}"

    def decides(self) -> bool:
        """Whether its p-values say anything of other trainings."""
        return self.seeds >= seeds.FEWEST and not self.floor


class Evidence(NamedTuple):
    """The parts of a claim, those that cannot be measured, and the rows behind both."""

    parts: Sequence[Part]
    absent: Sequence[str]
    rows: pl.DataFrame
    remark: str = ""

    def p_holds(self) -> float:
        """Small if every part holds; 1 if a part is absent or decides nothing."""
        open_parts = self.absent or not all(part.decides() for part in self.parts)
        return 1.0 if open_parts else _all_hold(self.parts)

    def p_fails(self) -> float:
        """Small if some part fails."""
        return _some(part.fails for part in self.parts if part.decides())

    def p_some_hold(self) -> float:
        """Small if some part holds."""
        return _some(part.holds for part in self.parts if part.decides())

    def agree(self) -> int:
        """How many parts lie on the claim's side, clearly or not."""
        return sum(part.holds < part.fails for part in self.parts)

    def weakest(self) -> Part:
        """The part that says least for the claim."""
        return max(self.parts, key=lambda part: part.holds)

    def counterexample(self) -> Part:
        """The part that says most against the claim."""
        return min(self.parts, key=lambda part: (not part.decides(), part.fails, -part.holds))


class Claim(NamedTuple):
    """A sentence, what would refute it, and how it is measured in rows of one setting."""

    id: str
    figure: str
    family: Literal["rotations", "pixels", "beyond"]
    sentence: str
    refuted_by: str
    measure: Callable[[pl.DataFrame], Evidence]
    tiers: Sequence[Sequence[str]] = (("none",),)
    """The attacks that it is judged under, a verdict for each item: those that it names first."""
    eps_unit: Literal["pixel", "normalised"] = "pixel"
    interpolation: Literal["bilinear", "nearest"] = "bilinear"
    free: Sequence[str] = ()
    """Fields of training that it varies."""
    needs: str = "correct"
    """The column without which a row says nothing: most claims compare image by image."""


def _all_hold(parts: Sequence[Part]) -> float:
    return max(part.holds for part in parts)


def _some(p: Iterable[float]) -> float:
    """The p-value that one of several is small (Bonferroni)."""
    values = list(p)
    return min(1.0, len(values) * min(values)) if values else 1.0


def evidence(rows: pl.DataFrame, wanted: Sequence[Wanted | Either], remark: str = "") -> Evidence:
    """What the rows say of every part.

    Raises:
        NotMeasured: they say nothing of any.
    """
    rows, parts, absent = most_images(rows), [], []
    for one in wanted:
        try:
            parts.append(either(rows, one) if isinstance(one, Either) else single(rows, one))
        except NotMeasured as error:
            absent.append(f"{one.words} ({error})")
    if not parts:
        raise NotMeasured("; ".join(absent[:2]) or "needs more rows")
    return Evidence(parts, absent, rows, remark)


def single(rows: pl.DataFrame, wanted: Wanted) -> Part:
    """The part, measured.

    Raises:
        NotMeasured: a term has no rows, or the terms have no seed in common.
    """
    terms = [
        (weight, wanted.values(cell(rows, **of)), arm)
        for (weight, of), arm in zip(wanted.terms, arms(wanted.terms), strict=True)
    ]
    left: dict[object, bool] = {}
    for (_, of), (_, values, _) in zip(wanted.terms, terms, strict=True):
        end = of.get(ENDS) if wanted.change else None
        mean = np.mean([each.mean() for each in values.values()])
        left[end] = left.get(end, False) or bool(mean >= FLOOR)
    floor = wanted.unit == "difference" and not all(left.values())
    return part(wanted, terms)._replace(floor=floor)


def arms(terms: Sequence[Term]) -> list[str]:
    """What each term was trained as. Networks that are subtracted from each other count as trained
    apart, unless they are the same: what a common seed makes of both alike only makes the truth
    surer. Those of a model that are added up count as one training per seed."""
    trained = [str([of.get(name) for name in ARM]) for _, of in terms]
    signs: dict[str, set[bool]] = {}
    for (weight, _), one in zip(terms, trained, strict=True):
        signs.setdefault(one, set()).add(weight > 0)
    models = [of.get("model", "") for _, of in terms]
    return [f"{m} {sorted(signs[one])}" for m, one in zip(models, trained, strict=True)]


def part(wanted: Wanted, terms: Sequence[tuple[float, Bits, str]]) -> Part:
    """The part whose terms have these values per image, and an arm each."""
    n = min((values.size for _, of, _ in terms for values in of.values()), default=0)
    found = paired.contrast(terms)
    tests = [] if wanted.low is None else [(found.p_above(wanted.low), found.p_below(wanted.low))]
    if wanted.high is not None:
        tests.append((found.p_below(wanted.high), found.p_above(wanted.high)))
    holds, fails = zip(*tests, strict=True)
    measured = found.value, *found.interval(), max(holds), _some(fails), n, found.seeds
    return Part(wanted.words, *measured, wanted.unit)


def either(rows: pl.DataFrame, wanted: Either) -> Part:
    """The part, measured; it shows the weakest number of the alternative that does better."""
    ways = [[single(rows, one) for one in way] for way in (wanted.first, wanted.second)]
    better = min(ways, key=_all_hold)
    shown = max(better, key=lambda part: part.holds)
    holds = min(1.0, 2 * _all_hold(better))
    fails = max(_some(part.fails for part in way) for way in ways)
    words = f"{wanted.words}, {shown.words}"
    return shown._replace(words=words, holds=holds, fails=fails)


def cell(rows: pl.DataFrame, **equal: object) -> pl.DataFrame:
    """The rows of one kind of network and test that can be believed.

    Raises:
        NotMeasured: there is none.
    """
    found = rows.filter(**equal)
    words = (f"{v:g}" if isinstance(v, float) else str(v) for v in equal.values())
    needs = ", ".join(map(" ".join, zip(equal, words, strict=True)))
    if found.is_empty():
        raise NotMeasured(f"needs rows with {needs}")
    return where(found.filter(~flagged()), f"{needs} and no flags", pl.lit(True))


def flagged() -> pl.Expr:
    """Whether a row is of pixels under attack and its network fails a check."""
    return (pl.col("eps") > 0) & (pl.col("flags").fill_null("") != "")


def measured_by_all(rows: pl.DataFrame, column: str) -> list[float]:
    """The values of a column at which every model has a row that can be believed, ascending."""
    usable = where(rows, "networks without flags", ~flagged())
    counts = usable.group_by(column).agg(pl.col("model").n_unique())
    return counts.filter(model=usable["model"].n_unique())[column].sort().to_list()


def against(first: str, second: str) -> str:
    """`GCNN - StdCNN`."""
    return f"{label(first)} - {label(second)}"
