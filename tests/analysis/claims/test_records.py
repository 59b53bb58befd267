import json

from analysis.claims import records
from analysis.claims.verdicts import Outcome


def outcome(verdict, recipe="paper", **changes):
    words = "A - B at ±0°: +1.00 points [+0.50, +1.50]"
    given = {"id": "C1", "p": 0.0004, "n": 100, "seeds": 3, "recipe": recipe, **changes}
    return Outcome(
        figure="1", sentence="a | b", verdict=verdict, words=words, refuted_by="r", **given
    )


def test_json_and_markdown_carry_the_same_outcomes():
    given = [outcome("holds"), outcome("too close to call", "fast", tier="pgd")]
    read = json.loads(records.as_json(given))
    assert [Outcome(**one) for one in read] == given
    lines = records.as_markdown(given).splitlines()
    assert len(lines) == len(given) + 2
    assert {line.replace("\\|", "").count("|") for line in lines} == {10}
    assert "| C1 | 1 | a \\| b | **holds** | paper |" in lines[2]
    assert " p < 0.001." in lines[2]


def test_json_knows_no_nan():
    odd = outcome("not measured", estimate=float("nan"))
    assert json.loads(records.as_json([odd]))[0]["estimate"] is None


def test_what_settings_disagree_on_comes_first():
    given = [outcome("holds"), outcome("mixed", "fast"), outcome("does not hold", "fast", id="C2")]
    said = "Recipes or attacks disagree on C1 (for: recipe paper; against: recipe fast)."
    assert records.disagreement(given) == said
    assert records.as_markdown(given).startswith(f"{said}\n\n| Claim |")


def test_descriptions_disagree_only_if_all_comparisons_lie_on_one_side():
    described = [
        outcome("described", f"r{agree}", agree=agree, comparisons=2, seeds=1)
        for agree in (0, 1, 2)
    ]
    assert records.disagreement(described) == (
        "Recipes or attacks disagree on C1 (for: recipe r2, described by 1 seed; against: recipe "
        "r0, described by 1 seed)."
    )
    assert records.disagreement(described[:2]) == ""
