"""Outcomes as records: JSON, a Markdown table, and a sentence on where settings disagree."""

import json
import math
from collections.abc import Sequence

from analysis.claims.verdicts import Outcome


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
    """Where settings disagree, and a table: what is said, the verdict, its setting, the numbers,
    how far they reach, and what would refute."""
    titles = ["Claim", "Figure", "Sentence", "Verdict", "Recipe", "Attack", "Numbers", "Scope"]
    titles.append("Refuted if")
    lines = [titles, ["---"] * len(titles)]
    for one in outcomes:
        p = "" if one.p is None else f" p {_p(one.p)}."
        cells = [one.id, one.figure, one.sentence, f"**{one.verdict}**", one.recipe, one.tier]
        lines.append([*cells, one.words + p, one.scope, one.refuted_by])
    table = "".join("| " + " | ".join(map(_escaped, line)) + " |\n" for line in lines)
    apart = disagreement(outcomes)
    return f"{apart}\n\n{table}" if apart else table


def disagreement(outcomes: Sequence[Outcome]) -> str:
    """Which sentences different recipes or attacks speak for and against, and which they are;
    empty if there are none. Of few seeds this counts if all comparisons lie on one side."""
    lines = []
    for name in dict.fromkeys(one.id for one in outcomes):
        of_claim = [one for one in outcomes if one.id == name]
        sides = {sign: [one for one in of_claim if side(one) == sign] for sign in (1, -1)}
        if all(sides.values()):
            words = [", ".join(map(_setting, sides[sign])) for sign in (1, -1)]
            lines.append(f"{name} (for: {words[0]}; against: {words[1]})")
    return f"Recipes or attacks disagree on {', '.join(lines)}." if lines else ""


def side(one: Outcome) -> int:
    """1 if an outcome speaks for its claim, -1 if against, 0 if neither."""
    if one.verdict == "described":
        return (one.agree == one.comparisons) - (one.agree == 0)
    return {"holds": 1, "does not hold": -1, "mixed": -1}.get(one.verdict, 0)


def _setting(one: Outcome) -> str:
    under = f" under {one.tier}" if one.tier else ""
    few = f", described by {one.seeds} seed{'s' * (one.seeds != 1)}"
    return f"recipe {one.recipe}{under}{few if one.verdict == 'described' else ''}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
