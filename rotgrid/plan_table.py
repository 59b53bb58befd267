"""A plan as tables on stdout: what it asks for, what is done and left, and what that takes."""

import argparse
import glob
import heapq
import math
import os
from collections.abc import Callable, Iterable

from rich.table import Table

from rotgrid import cost, grid
from rotgrid.console import duration, wide
from rotgrid.cost.processor import has_bfloat16
from rotgrid.cost.shipped import BFLOAT16_EMULATED
from rotgrid.results import inventory
from rotgrid.results.inventory import Probes
from rotgrid.spec import Probe, Trial
from rotgrid.todo import Todo


def print_plan(plan: grid.Plan, todo: Todo, results_in: str, args: argparse.Namespace) -> None:
    """The plan as tables on stdout; `args` are those of `rotgrid.launch`."""
    to_train = len(todo.trials) - len(todo.trained)
    left = sum(map(len, todo.trials.values()))
    lacking = {**todo.failed, **todo.trials}
    done = plan.rows - sum(map(len, lacking.values()))
    facts = Table(box=None, show_header=False, pad_edge=False)
    for name, value in (
        ("grid", f"{plan.name} {plan.description}".strip()),
        ("trials", f"{len(plan.trials):,} networks"),
        ("probes", f"{len(grid.distinct_probes(plan)):,} distinct measurements"),
        ("rows", f"{plan.rows:,} (trial, probe) pairs"),
        ("cartesian", cartesian(plan)),
        ("done", f"{done:,} rows, {len(plan.trials) - len(lacking):,} trials"),
        ("failed", f"{len(todo.failed):,} trials (--retry-failed tries them again)"),
        ("trained", f"{len(todo.trained):,} networks whose rows are missing"),
        ("to do", f"{to_train:,} networks to train, {left:,} rows to measure"),
        *(prices(todo.expected, plan.resources, args) if todo.trials else ()),
        *([("precision", words)] if (words := slow_precision(plan, todo)) else ()),
        ("results", results_in),
    ):
        facts.add_row(name, value)
    axes = Table("axis", "values", box=None, pad_edge=False)
    for field, values in plan.axes().items():
        if not any(isinstance(value, str) for value in values):
            values = sorted(values)  # type: ignore[type-var]
        axes.add_row(field, ", ".join(map(inventory.shown, values)))
    console = wide()
    console.print(facts, axes, sep="\n\n", soft_wrap=False)
    if len(plan.blocks) > 1 and todo.trials:
        console.print("", blocks_table(plan, todo, args), sep="\n")
    if args.trials:
        console.print("", inventory.trials_table(plan, todo.stock), sep="\n")


def slow_precision(plan: grid.Plan, todo: Todo) -> str:
    """That trainings in bfloat16 are slow on this processor, and what to set; or nothing."""
    asked = any(t.precision == "bfloat16" for t in todo.trials.keys() - todo.trained)
    if not asked or plan.resources.gpu or has_bfloat16():
        return ""
    return (
        "bfloat16, and this processor has no instructions for it (AVX512_BF16 or AMX): training "
        f"takes about {BFLOAT16_EMULATED:g} times as long as in float32, which "
        "--set 'blocks.*.precision=float32' asks for"
    )


def cartesian(plan: grid.Plan) -> str:
    """The size of the full cartesian grid of what varies, and its axes."""
    axes = plan.cartesian()
    cells = math.prod(axes.values())
    size = f"{cells:,}" if cells < 1e9 else f"{cells:.1e}"
    return f"{size} cells: " + (", ".join(f"{n} {axis}" for axis, n in axes.items()) or "no axis")


def blocks_table(plan: grid.Plan, todo: Todo, args: argparse.Namespace) -> Table:
    """What is to do for each block that is not done for one before it, with what it takes."""
    unit = "GPU hours" if plan.resources.gpu else "core hours"
    headers = ["block", "to train", "to measure", unit, *(["cost"] if args.price else [])]
    table = Table(*headers, box=None, pad_edge=False)
    ready = set(todo.trained)
    for name, asked in plan.blocks.items():
        own = missing_probes(asked, todo.trials)
        hours = sum(cost.estimate(own, ready, todo.speed).seconds.values()) / 3600
        hours *= plan.resources.gpu or plan.resources.cpu
        money = [f"{hours * args.price:,.2f}"] if args.price else []
        to_train = len(own.keys() - ready)
        rows = sum(map(len, own.values()))
        table.add_row(name, f"{to_train:,}", f"{rows:,}", rounded(hours), *money)
        ready.update(own)
    return table


def missing_probes(asked: Probes, missing: Probes) -> dict[Trial, tuple[Probe, ...]]:
    """Of what is asked for, what is missing; trials that share their probes still do."""
    shared: dict[tuple[int, int], tuple[Probe, ...]] = {}
    found = {}
    for trial, probes in asked.items():
        if (left := missing.get(trial)) is not None:
            if (same := (id(probes), id(left))) not in shared:
                known = set(left)
                shared[same] = tuple(probe for probe in probes if probe in known)
            found[trial] = shared[same]
    return found


def prices(
    expected: cost.Estimate, resources: grid.Resources, args: argparse.Namespace
) -> list[tuple[str, str]]:
    """What the plan takes, with how sure that is: time, work, money."""
    slots = args.slots or slots_here(resources)
    at_once = "1 trial" if slots == 1 else f"{slots} trials"
    longest = makespan(expected.seconds.values(), slots)
    unit = "GPU hour" if resources.gpu else "core hour"
    hours = sum(expected.seconds.values()) * (resources.gpu or resources.cpu) / 3600
    lines = [
        ("time", f"{with_range(expected, longest, duration)} with {at_once} at once"),
        ("work", f"{with_range(expected, hours, rounded)} {unit}s"),
    ]
    if args.price:
        money = with_range(expected, hours * args.price, "{:,.2f}".format)
        lines.append(("cost", f"{money} at {args.price:.2f} per {unit}"))
    return [*lines, ("estimate", expected.source)]


def with_range(expected: cost.Estimate, amount: float, show: Callable[[float], str]) -> str:
    """An amount that grows with the seconds, and its range: `2 h (1 h to 4 h)`."""
    low, high = expected.factor
    return f"{show(amount)} ({show(low * amount)} to {show(high * amount)})"


def rounded(amount: float) -> str:
    """Two figures, or the whole number, or thousandths."""
    if amount < 0.1:
        return f"{amount:.3f}"
    return f"{amount:,.0f}" if amount >= 10 else f"{amount:.2g}"


def slots_here(resources: grid.Resources) -> int:
    """How many trials this machine holds at once, at least one."""
    slots = (os.cpu_count() or 1) // resources.cpu
    if resources.gpu:
        slots = min(slots, math.floor(max(1, len(gpus())) / resources.gpu))
    return max(1, slots)


def gpus() -> list[str]:
    """What tells of each NVIDIA GPU of this machine."""
    return glob.glob("/proc/driver/nvidia/gpus/*/information")


def makespan(seconds: Iterable[float], slots: int) -> float:
    """Seconds until all trials have ended, if the longest start first, so many at once."""
    ends = [0.0] * slots
    for each in sorted(seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)
