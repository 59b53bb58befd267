import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotgrid import grid, plan_table
from rotgrid.cost import Estimate
from rotgrid.grid import Resources
from rotgrid.todo import find_todo


def test_a_range_is_shown_with_its_middle():
    found = plan_table.with_range(Estimate({}, (0.5, 2.0), ""), 10, "{:.0f} h".format)
    assert found == "10 h (5 h to 20 h)"


def test_the_longest_trial_bounds_the_time():
    assert plan_table.makespan([3, 1, 1, 1], 2) == 3
    assert plan_table.makespan([3, 1, 1, 1], 1) == 6
    assert plan_table.makespan([1, 1, 1], 2) == 2
    assert plan_table.makespan([5], 100) == 5
    assert plan_table.makespan([], 4) == 0


@given(st.lists(st.floats(0, 1e6), max_size=30), st.integers(1, 10))
def test_the_time_is_between_its_bounds(seconds, slots):
    found = plan_table.makespan(seconds, slots)
    least = max([sum(seconds) / slots, *seconds])
    assert least * (1 - 1e-9) <= found <= 2 * least * (1 + 1e-9)


@pytest.mark.parametrize(
    ("cores", "gpus", "resources", "slots"),
    [
        (8, 0, Resources(), 8),
        (8, 0, Resources(cpu=3), 2),
        (2, 0, Resources(cpu=4), 1),
        (64, 2, Resources(gpu=0.25), 8),
        (4, 2, Resources(gpu=0.25), 4),
        (64, 0, Resources(gpu=0.5), 2),
        (64, 4, Resources(gpu=2), 2),
    ],
)
def test_slots_are_what_the_machine_holds(monkeypatch, cores, gpus, resources, slots):
    monkeypatch.setattr(plan_table.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(plan_table, "gpus", lambda: ["0000:4f:00.0"] * gpus)
    assert plan_table.slots_here(resources) == slots


@pytest.mark.parametrize(
    ("instructions", "gpu", "precision", "said"),
    [
        (False, 0, "[float32, bfloat16]", True),
        (False, 0, "float32", False),
        (False, 1, "bfloat16", False),
        (True, 0, "bfloat16", False),
    ],
)
def test_slow_bfloat16_is_said_with_what_to_set(
    tmp_path, monkeypatch, instructions, gpu, precision, said
):
    monkeypatch.setattr(plan_table, "has_bfloat16", lambda: instructions)
    text = f"resources: {{gpu: {gpu}}}\nblocks: [{{model: stdcnn, precision: {precision}}}]"
    plan = grid.parse(text)
    words = plan_table.slow_precision(plan, find_todo(plan, str(tmp_path), retry=False))
    assert ("about 2.5 times as long" in words) is said
    if said:
        (override,) = (part for part in words.split("'") if "=" in part)
        plan = grid.parse(text, overrides=[override])
        assert {trial.precision for trial in plan.trials} == {"float32"}
        assert not plan_table.slow_precision(plan, find_todo(plan, str(tmp_path), retry=False))
