"""Claims with verdicts: each sentence that rows can decide, and what would refute it.

`judge(rows)` asks every claim for its evidence (`evidence`) in every setting of training and under
every attack that it declares (`settings`), adjusts the p-values and gives the outcomes in a fixed
order. Families are declared, before any row is seen: the paper's sentences on rotations, those on
pixels, and those beyond the paper, each under the attacks that it names; and once more, under each
stronger attack, those that are judged under it too. Each recipe is judged by itself; in each,
every verdict counts all sentences that its family declares, measured or not.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import polars as pl

from analysis.claims import beyond, pixels, rotations, settings, widening
from analysis.claims.evidence import Claim, Evidence, Part
from analysis.claims.scope import scope
from analysis.rows.conditions import BY_PROTOCOL, LINF
from analysis.rows.datasets import OF_PAPER
from analysis.rows.scan import FIELDS
from analysis.rows.selection import MixedRowsError, NotMeasured
from analysis.stats.multiple_testing import holm
from analysis.stats.seeds import FEWEST

LEVEL = 0.05
"""Of each family: the probability that any of its verdicts is wrong by chance."""
Verdict = Literal[
    "holds",
    "does not hold",
    "mixed",
    "too close to call",
    "at the floor",
    "described",
    "not measured",
]
REFUTED = ("does not hold", "mixed")
COLUMNS = ["trial", *FIELDS, "n", "n_correct", "correct", "distances", "flags", "cautions"]


class Outcome(NamedTuple):
    """What is known of a claim in one setting. The estimate is that of the part that decides: the
    weakest if the claim holds or is open, the strongest counterexample if it does not. Shares are
    not percent."""

    id: str
    figure: str
    sentence: str
    verdict: Verdict
    words: str
    refuted_by: str
    estimate: float | None = None
    lower: float | None = None
    upper: float | None = None
    p: float | None = None
    """Two-sided, adjusted for the family (Holm)."""
    n: int | None = None
    seeds: int | None = None
    scope: str = ""
    recipe: str = ""
    """How the networks were trained: the recipe, and what differs from it."""
    tier: str = ""
    """The attack, and what is unusual in it; empty if there is none."""
    agree: int = 0
    """Comparisons on the claim's side, clearly or not,"""
    comparisons: int = 0
    """of so many."""


class Measured(NamedTuple):
    """The evidence on a claim in one setting."""

    claim: Claim
    recipe: str
    tier: str
    family: tuple[str, ...]
    """What is judged together: family, recipe, stronger attack, and what is unusual in it."""
    evidence: Evidence


CLAIMS: tuple[Claim, ...] = (
    *rotations.CLAIMS,
    *pixels.CLAIMS,
    *widening.CLAIMS,
    *beyond.CLAIMS,
)
"""Every claim, in the order of the report; C numbers follow the paper's figures."""


def judge(rows: pl.DataFrame, claims: Sequence[Claim] = CLAIMS) -> list[Outcome]:
    """The outcomes of every claim, in their order: one per setting that can say anything of it, or
    one that says what is missing. The paper's sentences are judged on the paper's data sets only,
    those beyond it on each data set by itself. `claims` are all that are declared. Rows that lack
    what a claim needs, such as the outcomes of single images, count for the others only."""
    usable = rows.select(COLUMNS).filter(pl.col("test_translation") == 0, BY_PROTOCOL, LINF)
    trained = by_recipe(usable, claims)
    found = [list(measured(claim, trained[_rows_of(claim)])) for claim in claims]
    known = [each for of in found for each in of if isinstance(each, Measured)]
    outcomes = {id(one): outcome(one, p, tests) for one, p, tests in adjusted(known, claims)}
    return [
        outcomes[id(each)] if isinstance(each, Measured) else unknown(claim, each)
        for claim, of in zip(claims, found, strict=True)
        for each in of
    ]


class Seen(NamedTuple):
    """What decides which rows a claim may see, besides the attack."""

    interpolation: str
    eps_unit: str
    needs: str
    free: tuple[str, ...]
    any_data: bool
    """Whether of any data set; the paper's sentences are about handwritten digits."""


def _rows_of(claim: Claim) -> Seen:
    any_data = claim.family == "beyond"
    return Seen(claim.interpolation, claim.eps_unit, claim.needs, tuple(claim.free), any_data)


def by_recipe(
    rows: pl.DataFrame, claims: Sequence[Claim]
) -> Mapping[Seen, Mapping[str, pl.DataFrame]]:
    """For each kind of claim the rows of every recipe."""
    found = {}
    for key in {_rows_of(claim) for claim in claims}:
        unattacked = pl.col("eps") == 0
        usable = rows.drop_nulls(key.needs).filter(
            pl.col("interpolation") == key.interpolation,
            unattacked | (pl.col("eps_unit") == key.eps_unit),
            OF_PAPER | key.any_data,
        )
        found[key] = settings.recipes(usable, key.free) or {"": usable}
    return found


def measured(claim: Claim, trained: Mapping[str, pl.DataFrame]) -> Iterator[Measured | str]:
    """The evidence in every setting that has any; if none has, why not."""
    reasons, none = [], True
    for recipe, rows in trained.items():
        for rank, attacks in enumerate(claim.tiers):
            strength = attacks[-1] if rank else ""
            for way, tier, part in settings.tiers(rows, attacks):
                family = claim.family, recipe, strength, way
                try:
                    evidence = claim.measure(part)
                except (NotMeasured, MixedRowsError) as error:
                    reasons.append(str(error))
                else:
                    none = False
                    yield Measured(claim, recipe, tier, family, evidence)
    if none:
        yield reasons[0] if reasons else needs(claim)


def adjusted(
    found: Iterable[Measured], claims: Sequence[Claim]
) -> Iterator[tuple[Measured, float, int]]:
    """Each with its p-value, adjusted within its family, and how many sentences that declares."""
    families: dict[tuple[str, ...], list[Measured]] = defaultdict(list)
    for one in found:
        families[one.family].append(one)
    for key, family in families.items():
        tests = declared(claims, key)
        values = holm([two_sided(one.evidence) for one in family], tests)
        yield from ((one, p, tests) for one, p in zip(family, values, strict=True))


def needs(claim: Claim) -> str:
    """What no setting has, if there are no rows under its attacks."""
    attacks = " or ".join(" and ".join(of) for of in claim.tiers)
    setting = f"interpolation {claim.interpolation}, eps of L-inf balls in {claim.eps_unit} units"
    return f"needs rows with attack {attacks}, {setting}, and column {claim.needs}"


def declared(claims: Sequence[Claim], family: tuple[str, ...]) -> int:
    """How many sentences a family has: all, or those that are judged under a stronger attack."""
    name, _, strength, _ = family
    stronger = [[of[-1] for of in one.tiers[1:]] for one in claims if one.family == name]
    return sum(strength in of for of in stronger) if strength else len(stronger)


def two_sided(found: Evidence) -> float:
    """Small if either side is clear."""
    return min(1.0, 2 * min(found.p_holds(), found.p_fails()))


def verdict_of(found: Evidence, p: float, tests: int) -> Verdict:
    """What follows from the adjusted p in a family of so many tests."""
    if p < LEVEL and found.p_fails() < found.p_holds():
        both = 2 * tests * found.p_some_hold() < LEVEL
        return "mixed" if both else "does not hold"
    if min(part.seeds for part in found.parts) < FEWEST:
        return "described"
    if found.absent:
        return "not measured"
    if any(part.floor for part in found.parts):
        return "at the floor"
    return "holds" if p < LEVEL else "too close to call"


def outcome(one: Measured, p: float, tests: int) -> Outcome:
    """The verdict and its words."""
    found = one.evidence
    verdict = verdict_of(found, p, tests)
    part = deciding(found, verdict)
    return Outcome(
        *one.claim[:2],
        one.claim.sentence,
        verdict,
        words(found, verdict, part),
        one.claim.refuted_by,
        estimate=part.estimate,
        lower=part.lower,
        upper=part.upper,
        p=None if verdict in ("described", "at the floor") else p,
        n=part.n,
        seeds=part.seeds,
        scope=scope(found, part),
        recipe=one.recipe,
        tier=one.tier,
        agree=found.agree(),
        comparisons=len(found.parts),
    )


def deciding(found: Evidence, verdict: Verdict) -> Part:
    """The part on which the verdict rests; of parts that have too few seeds the weakest."""
    if verdict in REFUTED:
        return found.counterexample()
    few = [part for part in found.parts if part.seeds < FEWEST]
    return found._replace(parts=few if verdict == "described" else found.parts).weakest()


def unknown(claim: Claim, reason: str) -> Outcome:
    """The outcome of a claim of which no setting says anything."""
    head = claim.id, claim.figure, claim.sentence
    return Outcome(*head, "not measured", f"{reason}.", claim.refuted_by)


def words(found: Evidence, verdict: Verdict, shown: Part) -> str:
    """The numbers in a sentence, with the part that decides; intervals are of 95% for each number
    on its own."""
    count = len(found.parts)
    role = "strongest against: " if verdict in REFUTED else "weakest: "
    lines = [f"{found.agree()} of {count} comparisons agree", f"{role}{shown}"]
    if count == 1:
        lines = [str(shown)]
    if verdict == "too close to call" and min(shown.holds, shown.fails) < LEVEL / 2:
        lines.append("clear on its own, but not among all the comparisons of its family")
    if floors := sum(part.floor for part in found.parts):
        lines.append(f"in {floors} nothing is left to compare (all below 1%)")
    if found.absent:
        more = f" and {len(found.absent) - 1} more" if len(found.absent) > 1 else ""
        lines.append(f"missing: {found.absent[0]}{more}")
    text = "; ".join(lines)
    return f"{text[0].upper()}{text[1:]}. {found.remark}".strip()
