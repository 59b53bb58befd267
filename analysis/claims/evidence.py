"""From rows to the numbers on which a claim depends, and from those to what is known.

A claim asks for parts (`Wanted`): weighted sums of accuracies that must lie above or below a
bound. It holds if every part does, and is refuted if one part is. The first needs no correction
for the number of parts (intersection-union test: the largest p counts), the second does
(Bonferroni: the smallest p times their number).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import polars as pl

from analysis.rows import phrases
from analysis.rows.selection import FIRST, SETTING, NotMeasured, as_of_first_model, where
from analysis.rows.vocabulary import label
from analysis.stats import paired, seeds
from analysis.stats.paired import Bits

BEYOND = "beyond the paper"
"""Instead of a figure."""
FEW_IMAGES = 1_000
"""Fewer are named beside a verdict."""
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


class Either(NamedTuple):
    """A part that holds if all of `first` do, or all of `second`."""

    words: str
    first: Sequence[Wanted]
    second: Sequence[Wanted]


class Part(NamedTuple):
    """What was measured of a part; `holds` and `fails` are one-sided p-values, small if so."""

    words: str
    estimate: float
    lower: float
    upper: float
    holds: float
    fails: float
    n: int
    seeds: int
    unit: Unit = "difference"

    def __str__(self) -> str:
        """The estimate with its interval."""
        form, scale, unit = FORMS[self.unit]
        estimate, *interval = (form.format(scale * value) for value in self[1:4])
        return f"{self.words}: {estimate}{unit} [{', '.join(interval)}]"


class Evidence(NamedTuple):
    """The parts of a claim, those that cannot be measured, and the rows behind both."""

    parts: Sequence[Part]
    absent: Sequence[str]
    rows: pl.DataFrame
    remark: str = ""

    def p_holds(self) -> float:
        """Small if every part holds; 1 if a part is absent."""
        return 1.0 if self.absent else _all_hold(self.parts)

    def p_fails(self) -> float:
        """Small if some part fails."""
        return _one_fails(self.parts)

    def weakest(self) -> Part:
        """The part that says least for the claim."""
        return max(self.parts, key=lambda part: part.holds)

    def counterexample(self) -> Part:
        """The part that says most against the claim."""
        return min(self.parts, key=lambda part: (part.fails, -part.holds))


class Claim(NamedTuple):
    """A sentence, what would refute it, and how it is measured."""

    id: str
    figure: str
    family: Literal["rotations", "pixels", "beyond"]
    sentence: str
    refuted_by: str
    measure: Callable[[pl.DataFrame], Evidence]
    needs: str = "correct"
    """The column without which a row says nothing: most claims compare image by image."""


def _all_hold(parts: Sequence[Part]) -> float:
    return max(part.holds for part in parts)


def _one_fails(parts: Sequence[Part]) -> float:
    return min(1.0, len(parts) * min(part.fails for part in parts))


def evidence(rows: pl.DataFrame, wanted: Sequence[Wanted | Either], remark: str = "") -> Evidence:
    """What the rows say of every part.

    Raises:
        NotMeasured: they say nothing of any.
    """
    parts, absent = [], []
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
        (weight, wanted.values(cell(rows, **of)), str(of.get("model", "")))
        for weight, of in wanted.terms
    ]
    return part(wanted, terms)


def part(wanted: Wanted, terms: Sequence[tuple[float, Bits, str]]) -> Part:
    """The part whose terms have these values per image; the arm of each term is its model."""
    n = min((values.size for _, of, _ in terms for values in of.values()), default=0)
    if [weight for weight, *_ in terms] == [1, -1] and {wanted.low, wanted.high} == {None, 0.0}:
        (_, first, arm), (_, second, other) = terms
        pair = paired.compare(first, second, (arm, other))
        tests = (pair.p_above, pair.p_below) if wanted.high is None else pair[4:2:-1]
        return Part(wanted.words, *pair[:3], *tests, n, pair.seeds, wanted.unit)
    found = paired.contrast(terms)
    low = [] if wanted.low is None else [(found.p_above(wanted.low), found.p_below(wanted.low))]
    high = (
        [] if wanted.high is None else [(found.p_below(wanted.high), found.p_above(wanted.high))]
    )
    holds, fails = zip(*low, *high, strict=True)
    failing = min(1.0, len(fails) * min(fails))
    value, interval = found.value, found.interval()
    return Part(wanted.words, value, *interval, max(holds), failing, n, found.seeds, wanted.unit)


def either(rows: pl.DataFrame, wanted: Either) -> Part:
    """The part, measured; it shows the weakest number of the alternative that does better."""
    ways = [[single(rows, one) for one in way] for way in (wanted.first, wanted.second)]
    better = min(ways, key=_all_hold)
    shown = max(better, key=lambda part: part.holds)
    holds = min(1.0, 2 * _all_hold(better))
    fails = max(_one_fails(way) for way in ways)
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


def together(
    rows: pl.DataFrame, arms: Sequence[str], setting: Sequence[str] = SETTING
) -> pl.DataFrame:
    """The rows of those settings of training in which most arms (combinations of the columns) were
    measured: `comparable` alone would take the setting with most rows, whatever it lacks."""
    compared = as_of_first_model(rows)
    counts = compared.group_by(setting).agg(_arms=pl.struct(arms).n_unique())
    most = counts.filter(pl.col("_arms") == pl.col("_arms").max())
    numbered = compared.with_row_index("_row")
    return rows[numbered.join(most, on=setting, how="semi")["_row"].sort()]


def measured_by_all(rows: pl.DataFrame, column: str) -> list[float]:
    """The values of a column at which every model has a row that can be believed, ascending."""
    usable = where(rows, "networks without flags", ~flagged())
    counts = usable.group_by(column).agg(pl.col("model").n_unique())
    return counts.filter(model=usable["model"].n_unique())[column].sort().to_list()


def against(first: str, second: str) -> str:
    """`GCNN - StdCNN`."""
    return f"{label(first)} - {label(second)}"


def scope(found: Evidence) -> str:
    """How far a verdict reaches: seeds, data, unit of eps, and what was left out, in words."""
    rows = found.rows
    words = [seeds.scope([part.seeds for part in found.parts]), _setting(rows)]
    if "mnist5k" in set(rows["data"]):
        words.append("quickstart data: no verdict on MNIST")
    if (few := min(part.n for part in found.parts)) < FEW_IMAGES:
        words.append(f"few images ({few:,} each)")
    attacked = rows.filter(pl.col("eps") > 0)
    words += [f"eps in {unit} units" for unit in attacked["eps_unit"].unique()]
    if left_out := attacked.filter(flagged())["trial"].n_unique():
        words.append(f"{left_out} flagged networks left out")
    if attacked["flags"].null_count():
        words.append("not all networks checked for masked gradients")
    return "; ".join(words)


def _setting(rows: pl.DataFrame) -> str:
    """Data, recipe, and variants other than the first."""
    kinds = rows.select("model", "variant").unique().sort("model", "variant").iter_rows()
    others = [f"{model} {variant}" for model, variant in kinds if variant != FIRST.get(model)]
    data = f"{phrases.listed(sorted(set(rows['data'])))}, {phrases.span(rows['train_size'])}"
    recipe = phrases.listed(sorted(set(rows["recipe"])))
    variants = f", {phrases.listed(others)}" if others else ""
    return f"{data} training images, recipe {recipe}{variants}"
