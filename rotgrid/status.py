"""`python -m rotgrid.status RESULTS`: what is done, failed and missing, from the files alone.

Every grid that was launched here is a line, by the name of its file in RESULTS/grids; a launch
with other settings (`--set`) has stored its own.

Exit codes: 0 done, 2 no results, 5 results not reachable.
"""

import argparse
import functools
import sys
from collections.abc import Sequence

from rich.table import Table

from rotgrid import grid, results
from rotgrid.arguments import amount
from rotgrid.console import command, tolerate_lost_output, wide
from rotgrid.results import failures, inventory, storage
from rotgrid.results.columns import TableName
from rotgrid.results.grids import is_superseded, launched_plans, launched_versions
from rotgrid.results.inventory import STATES, Inventory
from rotgrid.watching import watch


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m rotgrid.status",
        description=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", metavar="RESULTS", help="folder, s3:// or gs://")
    parser.add_argument("--trials", action="store_true", help="list all trials, with their keys")
    parser.add_argument(
        "--watch",
        nargs="?",
        type=amount,
        const=10.0,
        metavar="SECONDS",
        help="look again and again, and show the curves of trainings under way (default: 10)",
    )
    args = parser.parse_args(arguments)
    try:
        if args.watch is not None:
            return watch(args.results, functools.partial(state_of, args.results), args.watch)
        return report(args.results, args.trials)
    except storage.StoreError as error:
        print(error, file=sys.stderr)
        return 5
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2


def report(root: str, with_trials: bool) -> int:
    """Print the status of a results location; the exit code."""
    stock = inventory.take(root)
    plans, problems = launched_plans(root)
    if not (plans or problems or stock.measured):
        print(f"{root}: no launched grid and no rows", file=sys.stderr)
        return 2
    console = wide()
    console.print(summary(plans, stock))
    for name, plan in plans.items() if with_trials else ():
        console.print(f"\n{name}:", inventory.trials_table(plan, stock), sep="\n")
    for line in failed(root, plans, stock):
        print(line)
    for line in (*problems, *stock.damaged, *damaged_elsewhere(root)):
        print(line, file=sys.stderr)
    return 0


def state_of(root: str) -> tuple[Table, bool]:
    """The table of a results location, and whether anything is left to do.

    Raises:
        ValueError: there is nothing there.
    """
    stock = inventory.take(root)
    plans, _ = launched_plans(root)
    if not plans:
        raise ValueError(f"{root}: no launched grid")
    left = any(
        not inventory.has_failed(trial, stock)
        for plan in plans.values()
        for trial in inventory.lacking(plan, stock)
    )
    return summary(plans, stock), left


def damaged_elsewhere(root: str) -> list[str]:
    """A line for each damaged file of the tables that planning does not read."""
    tables: list[TableName] = ["training", "equivariance", "diagnostics"]
    return [line for table in tables for line in results.read(root, table, ["trial"])[1]]


def summary(plans: dict[str, grid.Plan], stock: Inventory) -> Table:
    """How many trials of each grid are in which state, and how many rows there are."""
    table = Table("grid", "trials", *STATES, "rows", box=None)
    for name, plan in plans.items():
        left = inventory.lacking(plan, stock)
        states = [stock.state(trial, left) for trial in plan.trials]
        rows = f"{plan.rows - sum(map(len, left.values())):,}/{plan.rows:,}"
        table.add_row(name, str(len(states)), *(str(states.count(s)) for s in STATES), rows)
    return table


def failed(root: str, plans: dict[str, grid.Plan], stock: Inventory) -> list[str]:
    """What failed for good, by the grid that has the trial, and how to see it again."""
    keys = {name: {trial.key() for trial in plan.trials} for name, plan in plans.items()}
    launched = launched_versions(root, plans)
    by_grid: dict[str, list[failures.Failure]] = {}
    of_now = {
        key: failure
        for key, failure in stock.failed.items()
        if not is_superseded(failure.trial, launched)
    }
    for key, failure in of_now.items():
        if failure.final:
            owner = next((name for name in reversed(keys) if key in keys[name]), "")
            by_grid.setdefault(owner, []).append(failure)
    lines = []
    for owner, group in by_grid.items():
        file = f"{root}/grids/{owner}.yaml" if owner else "GRID.yaml"
        lines += failures.report(group, command("rotgrid.launch", file, "--results", root))
    if repaired := len(stock.failed) - len(of_now):
        lines.append(
            f"not shown: {failures.plural(repaired, 'trial')} that failed with earlier versions"
        )
    again = sum(not failure.final for failure in of_now.values())
    if again:
        lines.append(f"to be tried again: {failures.plural(again, 'trial')} that failed")
    return lines


if __name__ == "__main__":
    tolerate_lost_output()
    sys.exit(main())
