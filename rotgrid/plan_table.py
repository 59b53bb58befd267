"""A plan as tables on stdout: what it asks for, what is done and left, and what that takes."""

import argparse
import math

from rich.table import Table

from rotgrid import cost, grid
from rotgrid.console import duration, wide
from rotgrid.cost import speed
from rotgrid.results import inventory
from rotgrid.results.inventory import Inventory
from rotgrid.spec import Probe, Trial

Todo = dict[Trial, tuple[Probe, ...]]


def print_plan(
    plan: grid.Plan,
    todo: Todo,
    failed: Todo,
    stock: Inventory,
    results_in: str,
    args: argparse.Namespace,
) -> None:
    """The plan as tables on stdout."""
    to_train = sum(trial.key() not in stock.trained for trial in todo)
    left = sum(map(len, todo.values()))
    lacking = {**failed, **todo}
    done = plan.rows - sum(map(len, lacking.values()))
    learned = speed.learn(speed.plans_here(plan, results_in), stock, plan.resources)
    expected = cost.estimate(todo, stock.trained, learned)
    facts = Table(box=None, show_header=False, pad_edge=False)
    for name, value in (
        ("grid", f"{plan.name} {plan.description}".strip()),
        ("trials", f"{len(plan.trials):,} networks"),
        ("probes", f"{len(grid.distinct_probes(plan)):,} distinct measurements"),
        ("rows", f"{plan.rows:,} (trial, probe) pairs"),
        ("cartesian", cartesian(plan)),
        ("done", f"{done:,} rows, {len(plan.trials) - len(lacking):,} trials"),
        ("failed", f"{len(failed):,} trials (--retry-failed tries them again)"),
        ("trained", f"{len(todo) - to_train:,} networks whose rows are missing"),
        ("to do", f"{to_train:,} networks to train, {left:,} rows to measure"),
        *(prices(expected, plan.resources, args) if todo else ()),
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
    if len(plan.blocks) > 1 and todo:
        console.print("", blocks_table(plan, todo, stock.trained, learned, args), sep="\n")
    if args.trials:
        console.print("", inventory.trials_table(plan, stock), sep="\n")


def cartesian(plan: grid.Plan) -> str:
    """The size of the full cartesian grid of what varies, and its axes."""
    axes = plan.cartesian()
    cells = math.prod(axes.values())
    size = f"{cells:,}" if cells < 1e9 else f"{cells:.1e}"
    return f"{size} cells: " + (", ".join(f"{n} {axis}" for axis, n in axes.items()) or "no axis")


def blocks_table(
    plan: grid.Plan,
    todo: Todo,
    trained: set[str],
    learned: speed.Speed,
    args: argparse.Namespace,
) -> Table:
    """What is to do for each block that is not done for one before it, with what it takes."""
    unit = "GPU hours" if plan.resources.gpu else "core hours"
    headers = ["block", "to train", "to measure", unit, *(["cost"] if args.price else [])]
    table = Table(*headers, box=None, pad_edge=False)
    left = {trial: set(probes) for trial, probes in todo.items()}
    ready = set(trained)
    for name, asked in plan.blocks.items():
        own = {t: tuple(p for p in asked[t] if p in left[t]) for t in asked if t in left}
        hours = sum(cost.estimate(own, ready, learned).seconds.values()) / 3600
        hours *= plan.resources.gpu or plan.resources.cpu
        money = [f"{hours * args.price:,.2f}"] if args.price else []
        to_train = sum(trial.key() not in ready for trial in own)
        rows = sum(map(len, own.values()))
        table.add_row(name, f"{to_train:,}", f"{rows:,}", rounded(hours), *money)
        ready.update(trial.key() for trial in own)
    return table


def prices(
    expected: cost.Estimate, resources: grid.Resources, args: argparse.Namespace
) -> list[tuple[str, str]]:
    """What the plan takes, with how sure that is: time, work, money."""
    slots = args.slots or cost.slots_here(resources)
    at_once = "1 trial" if slots == 1 else f"{slots} trials"
    longest = cost.makespan(expected.seconds.values(), slots)
    unit = "GPU hour" if resources.gpu else "core hour"
    hours = sum(expected.seconds.values()) * (resources.gpu or resources.cpu) / 3600
    lines = [
        ("time", f"{expected.between(longest, duration)} with {at_once} at once"),
        ("work", f"{expected.between(hours, rounded)} {unit}s"),
    ]
    if args.price:
        money = expected.between(hours * args.price, "{:,.2f}".format)
        lines.append(("cost", f"{money} at {args.price:.2f} per {unit}"))
    return [*lines, ("estimate", expected.source)]


def rounded(amount: float) -> str:
    """Two figures, or the whole number, or thousandths."""
    if amount < 0.1:
        return f"{amount:.3f}"
    return f"{amount:,.0f}" if amount >= 10 else f"{amount:.2g}"
