"""What each field does to accuracy, and which two fields change each other's effect most."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import polars as pl

from analysis.question import fields as of_fields
from analysis.question.outcomes import Outcome
from analysis.question.pairing import Paired, Signs, paired
from analysis.stats.multiple_testing import holm
from analysis.stats.seeds import FEWEST

MOST_VALUES = 12
"""Values of a field that are compared with its first."""
ALPHA = 0.05


class Effect(NamedTuple):
    """What one value of a field does instead of another, on one kind of accuracy; or what a
    second field changes in that."""

    outcome: str
    signs: Signs
    found: Paired
    p: float | None
    """Adjusted for all effects of the grid; None below three seeds."""

    @property
    def field(self) -> str:
        """The field, or the first of two."""
        return next(iter(self.signs))

    @property
    def value(self) -> float:
        """The difference of accuracies."""
        return self.found.estimate.value

    @property
    def verdict(self) -> str:
        """What may be said of other trainings."""
        if self.p is None:
            return "described"
        if self.found.floor:
            return "at the floor"
        if _disagree(self.found):
            return "mixed"
        return "holds" if self.p < ALPHA else "too close to call"


def _disagree(found: Paired) -> bool:
    """Whether some settings speak for one sign and some for the other."""
    level = ALPHA / 2 / max(len(found.parts), 1)
    above = any(part.p_above() < level for part in found.parts)
    return above and any(part.p_below() < level for part in found.parts)


def main_effects(outcomes: Sequence[Outcome]) -> list[Effect]:
    """Every field on every outcome that it varies in, in the order of the outcomes."""
    return _adjusted([effect for outcome in outcomes for effect in _of_outcome(outcome)])


def _of_outcome(outcome: Outcome) -> Iterator[Effect]:
    varied = of_fields.varied(outcome.rows)
    for field in varied:
        if outcome.fields is None or field in outcome.fields:
            others = [name for name in varied if name != field and name not in outcome.apart]
            for ends in comparisons(outcome.rows, field, others):
                found = paired(outcome.rows, {field: ends}, varied, outcome.apart)
                if found is not None:
                    yield Effect(outcome.words, {field: ends}, found, _p(found))


def comparisons(
    rows: pl.DataFrame, field: str, others: Sequence[str] = ()
) -> list[tuple[Any, Any]]:
    """Pairs of values: of words the first with each; of numbers one pair, the furthest apart of
    those that were measured in at least half as many settings of the other fields as any."""
    values = of_fields.values(rows, field)
    if not of_fields.is_number(rows, field):
        return [(values[0], other) for other in values[1 : MOST_VALUES + 1]]
    settings = rows.group_by(*others, "seed").agg(pl.col(field).unique().sort())[field]
    pairs = Counter(pair for have in settings for pair in itertools.combinations(have, 2))
    most = max(pairs.values(), default=0)
    often = [pair for pair, count in pairs.items() if 2 * count >= most]
    return sorted(often, key=lambda pair: (pair[0] - pair[1], pair))[:1]


def _p(found: Paired) -> float | None:
    one = found.estimate
    return min(1.0, 2 * min(one.p_above(), one.p_below())) if one.seeds >= FEWEST else None


def _adjusted(effects: Sequence[Effect]) -> list[Effect]:
    """The effects with p-values for all of them together (Holm)."""
    known = [effect.p for effect in effects if effect.p is not None]
    adjusted = iter(holm(known, len(effects)))
    return [e if e.p is None else e._replace(p=next(adjusted)) for e in effects]


def largest(effects: Iterable[Effect]) -> list[Effect]:
    """Of each field on each outcome the largest effect, the largest first."""
    found: dict[tuple[str, str], Effect] = {}
    for effect in sorted(effects, key=lambda effect: -abs(effect.value)):
        found.setdefault((effect.outcome, effect.field), effect)
    return list(found.values())


def interactions(outcomes: Sequence[Outcome], effects: Sequence[Effect]) -> list[Effect]:
    """For any two fields how the largest effect of the second changes that of the first, the
    largest change first."""
    tops, found = largest(effects), []
    signs_of = {effect.field: effect.signs for effect in tops[::-1]}
    for outcome in outcomes:
        varied = of_fields.varied(outcome.rows)
        own = {one.field: one.signs for one in tops if one.outcome == outcome.words}
        others = {field: signs for field, signs in signs_of.items() if field in varied}
        seconds = {f: s for f, s in (others | own).items() if f not in outcome.apart}
        for pair in dict.fromkeys(frozenset((a, b)) for a in own for b in seconds if a != b):
            first, second = sorted(pair, key=lambda field: (field not in own, varied.index(field)))
            signs = {**own[first], **seconds[second]}
            both = paired(outcome.rows, signs, varied, outcome.apart)
            if both is not None:
                found.append(Effect(outcome.words, signs, both, _p(both)))
    return sorted(_adjusted(found), key=lambda effect: -abs(effect.value))
