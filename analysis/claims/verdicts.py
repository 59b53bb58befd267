"""Claims with verdicts: each sentence that rows can decide, and what would refute it.

`judge(rows)` asks every claim for its evidence (`evidence.py`), adjusts the p-values of each
family by Holm's method and gives the outcomes in a fixed order. Families are declared here, before
any row is seen: the paper's sentences on rotations, those on pixels, and those beyond the paper.
"""

import json
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import polars as pl

from analysis.claims import beyond, pixels, rotations, widening
from analysis.claims.evidence import Claim, Evidence, scope
from analysis.rows.scan import FIELDS
from analysis.rows.selection import NotMeasured
from analysis.stats.multiple_testing import holm

LEVEL = 0.05
"""Of each family: the probability that any of its verdicts is wrong by chance."""
Verdict = Literal["holds", "does not hold", "too close to call", "not measured"]
COLUMNS = ["trial", *FIELDS, "n", "n_correct", "correct", "distances", "flags"]


class Outcome(NamedTuple):
    """What is known of a claim. The estimate is that of the part that decides: the weakest if the
    claim holds or is open, the strongest counterexample if it does not. Shares are not percent."""

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


CLAIMS: tuple[Claim, ...] = (
    *rotations.CLAIMS,
    *pixels.CLAIMS,
    *widening.CLAIMS,
    *beyond.CLAIMS,
)
"""Every claim, in the order of the report; C numbers follow the paper's figures."""


def judge(rows: pl.DataFrame, claims: Sequence[Claim] = CLAIMS) -> list[Outcome]:
    """The outcome of every claim, in their order. Rows that lack what a claim needs, such as the
    outcomes of single images, count for the others only."""
    usable = {one: rows.select(COLUMNS).drop_nulls(one) for one in {c.needs for c in claims}}
    found = [gathered(claim, usable[claim.needs]) for claim in claims]
    tested = pl.DataFrame(
        {"family": [claim.family for claim in claims], "p": [two_sided(one) for one in found]},
        schema={"family": pl.String, "p": pl.Float64},
    )
    adjusted = tested.select(holm().over("family"))["p"]
    return [outcome(claim, one, p) for claim, one, p in zip(claims, found, adjusted, strict=True)]


def gathered(claim: Claim, rows: pl.DataFrame) -> Evidence | str:
    """The evidence, or why there is none."""
    try:
        return claim.measure(rows)
    except (NotMeasured, ValueError) as error:  # ValueError: mixed rows
        return str(error)


def two_sided(found: Evidence | str) -> float | None:
    """Small if either side is clear."""
    if isinstance(found, str):
        return None
    return min(1.0, 2 * min(found.p_holds(), found.p_fails()))


def outcome(claim: Claim, found: Evidence | str, p: float | None) -> Outcome:
    """The verdict and its words."""
    head = claim.id, claim.figure, claim.sentence
    if isinstance(found, str) or p is None:
        return Outcome(*head, "not measured", f"{found}.", claim.refuted_by)
    refuted = p < LEVEL and found.p_fails() < found.p_holds()
    verdict: Verdict = "too close to call"
    if refuted:
        verdict = "does not hold"
    elif found.absent:
        verdict = "not measured"
    elif p < LEVEL:
        verdict = "holds"
    part = found.counterexample() if refuted else found.weakest()
    return Outcome(
        *head,
        verdict,
        words(found, verdict),
        claim.refuted_by,
        estimate=part.estimate,
        lower=part.lower,
        upper=part.upper,
        p=p,
        n=part.n,
        seeds=part.seeds,
        scope=scope(found),
    )


def words(found: Evidence, verdict: Verdict) -> str:
    """The numbers in a sentence; intervals are of 95% for each number on its own."""
    count = len(found.parts)
    agree = sum(part.holds < part.fails for part in found.parts)
    role, shown = ("strongest against: ", found.counterexample())
    if verdict != "does not hold":
        role, shown = "weakest: ", found.weakest()
    lines = [f"{agree} of {count} comparisons agree", f"{role}{shown}"]
    if count == 1:
        lines = [str(shown)]
    if verdict == "too close to call" and min(shown.holds, shown.fails) < LEVEL / 2:
        lines.append("clear on its own, but not among all the comparisons of its family")
    if found.absent:
        more = f" and {len(found.absent) - 1} more" if len(found.absent) > 1 else ""
        lines.append(f"missing: {found.absent[0]}{more}")
    text = "; ".join(lines)
    return f"{text[0].upper()}{text[1:]}. {found.remark}".strip()


def as_json(outcomes: Sequence[Outcome]) -> str:
    """A list of objects; what is unknown is null."""
    known = [
        {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in one._asdict().items()
        }
        for one in outcomes
    ]
    return json.dumps(known, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_markdown(outcomes: Sequence[Outcome]) -> str:
    """A table: id, figure, sentence, verdict, numbers, how far they reach, what would refute."""
    titles = "Claim", "Figure", "Sentence", "Verdict", "Numbers", "Scope", "Refuted if"
    lines = [titles, ("---",) * len(titles)]
    for one in outcomes:
        p = "" if one.p is None else f" p {_p(one.p)}."
        numbers = one.words + p
        cells = one.id, one.figure, one.sentence, f"**{one.verdict}**", numbers, one.scope
        lines.append((*cells, one.refuted_by))
    return "".join("| " + " | ".join(map(_escaped, line)) + " |\n" for line in lines)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
