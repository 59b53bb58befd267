"""The page on the fields of a grid says what the records that check a grid say."""

import re
from pathlib import Path

import pytest

from rotgrid.grid import fields
from rotgrid.grid.plan import Resources
from rotgrid.spec import Probe, Trial, grid_fields
from rotgrid.spec.attacks import ATTACKS
from rotgrid.spec.models import MODELS
from rotgrid.spec.recipes import Recipe

PAGE = fields.page()


def rows_of(title):
    """The cells of a section's table by their first."""
    table = PAGE.partition(f"## {title}\n\n")[2].partition("\n\n")[0]
    cells = (re.split(r"(?<!\\) \| ", line.strip("| ")) for line in table.splitlines()[2:])
    return {row[0].strip("`"): row[1:] for row in cells}


def test_the_page_is_current():
    """If this fails: python -m rotgrid.grid.fields > docs/grid.md"""
    assert (Path(__file__).parents[2] / "docs/grid.md").read_text() == PAGE + "\n"


@pytest.mark.parametrize(
    ("title", "names"),
    [
        ("A block", {"name", *grid_fields(Trial), "probes"}),
        ("A probe", {*grid_fields(Probe)}),
        ("Resources", {*Resources.model_fields}),
        ("Recipes", {"like", *Recipe.model_fields}),
        ("Variants", {*MODELS}),
        ("What each attack reads", {*ATTACKS}),
    ],
)
def test_nothing_is_left_out(title, names):
    assert set(rows_of(title)) == names


@pytest.mark.parametrize("record", [Trial, Probe, Resources])
def test_defaults_are_those_of_the_records(record):
    rows = {**rows_of("A block"), **rows_of("A probe"), **rows_of("Resources")}
    for name, field in record.model_fields.items():
        if name in rows and name not in fields.DEFAULTS:
            told = rows[name][1].strip("`")
            assert told == (
                field.default if isinstance(field.default, str) else f"{field.default:g}"
            )


def test_a_default_that_depends_is_told_so():
    trial = Trial(model="stdcnn", data="mnist5k")
    rows = rows_of("A block")
    assert trial.variant == next(iter(MODELS["stdcnn"].variants))
    for field, recipe in (("epochs", 10), ("batch_size", 64), ("learning_rate", 0.01)):
        assert rows[field][1] == "the recipe's"
        assert getattr(trial, field) == recipe == float(rows_of("Recipes")[field][1])


def test_bounds_are_told():
    assert fields.described({"type": "number", "minimum": 0, "maximum": 180}) == (
        "number, from 0 to 180"
    )
    assert fields.described({"type": "integer", "exclusiveMinimum": 0}) == "integer, above 0"
    assert (
        fields.described({"anyOf": [{"enum": ["a", "b"]}, {"const": "c"}]}) == "`a`, `b`, or `c`"
    )


def test_what_an_attack_reads_is_what_it_can_be_given():
    told = rows_of("What each attack reads")
    assert "`loss` (`ce`, `margin`)" in told["pgd"][0]
    assert "label_rule" not in told["apgd"][0]
    assert told["rotation-grid"] == ["`test_rotation`"]
    for name in ATTACKS:
        probe = Probe(attack=name, **({"source": "gcnn"} if name == "transfer" else {}))
        for steps in re.findall(r"`steps` \(([\d,]+)\)", told[name][0]):
            assert probe.steps == int(steps.replace(",", ""))
