"""Tables of the pages that are made from the code: columns, parameters, faults, prices."""

import re

import pytest

from rotgrid import cost, grid, models, plan_table
from rotgrid.console import duration
from rotgrid.cost import shipped, speed
from rotgrid.results.columns import column_table
from rotgrid.spec.models import MODELS

from pages import ROOT, lines_below, page


def test_columns_are_those_of_the_schema():
    """If this fails: take the lines from the output of python -m rotgrid.results.columns"""
    evaluations = column_table().partition("**`training/`**")[0].splitlines()
    lines = lines_below(page("analysis"), "| column | type | unit | meaning |")
    assert len(lines) > 10
    assert lines == [line for line in evaluations if line in lines]


@pytest.mark.parametrize(
    ("model", "variant"), [(name, v) for name, model in MODELS.items() for v in model.variants]
)
def test_parameter_counts_are_true(model, variant):
    count = models.count_parameters(models.build(model, variant))
    assert f"| `{model}` | `{variant}` | {count:,} |" in page("models")


def test_every_fault_has_a_test():
    """The fault matrix: the last column names a test that there is, and no test of one is left."""
    lines = lines_below(page("cluster"), "| fault | what happens | test |")
    named = {row.split("`")[-2] for row in lines}
    texts = [(ROOT / f"tests/fanout/test_{of}.py").read_text() for of in ("faults", "joining")]
    assert named == set(re.findall(r"^def (test_\w+)", "".join(texts), re.M))


def prices(name):
    """The table of docs/grids.md for a grid: rates of the reference core and of an H100."""
    plan = grid.read(ROOT / f"grids/{name}.yaml")
    known = [speed.Speed(shipped.CPU), speed.Speed(shipped.GPU)]

    def seconds(asked, trained, machine):
        return cost.estimate(asked, trained, machine).seconds.values()

    trained, rows, totals = set(), [], [0.0, 0.0]
    for block, asked in plan.blocks.items():
        hours = [sum(seconds(asked, trained, machine)) / 3600 for machine in known]
        totals = [total + one for total, one in zip(totals, hours, strict=True)]
        new = asked.keys() - trained
        trained |= new
        measured = sum(map(len, asked.values()))
        shown = " | ".join(map(plan_table.rounded, hours))
        rows.append(f"| `{block}` | {len(new):,} | {measured:,} | {shown} |")
    shown = " | ".join(map(plan_table.rounded, totals))
    rows.append(f"| all | {len(plan.trials):,} | {plan.rows:,} | {shown} |")
    slots = zip(known, (2, 8), strict=True)
    times = [plan_table.makespan(seconds(plan.trials, set(), machine), n) for machine, n in slots]
    rows.append("| time with 2 cores, 8 GPUs | | | " + " | ".join(map(duration, times)) + " |")
    return rows


@pytest.mark.parametrize("name", ["paper", "study", "study-fashion", "full"])
def test_prices_of_the_grids(name):
    """If this fails: the table in docs/grids.md should have these lines."""
    text = page("grids").partition(f"## `grids/{name}.yaml`")[2]
    table = text.partition("## `grids/")[0]
    assert [line for line in table.splitlines() if line.startswith("| ")][1:] == prices(name)
