"""`python -m rotgrid.status RESULTS`: what is done, failed and missing, from the files alone."""

import argparse
import sys
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

from rich.console import Console
from rich.table import Table

from rotgrid import failures, grid, results, storage
from rotgrid.document import GridError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code (0, or 2 if there are no results)."""
    parser = argparse.ArgumentParser(prog="python -m rotgrid.status", description=__doc__)
    parser.add_argument("results", metavar="RESULTS", help="folder, s3:// or gs://")
    args = parser.parse_args(arguments)
    try:
        files = storage.names(args.results, "grids", ".yaml")
        rows, skipped = results.read(args.results, "evaluations", ["trial", "probe"])
    except (OSError, ValueError) as error:
        print(f"{args.results}: cannot read results: {error}", file=sys.stderr)
        return 2
    if not files and not rows.num_rows:
        print(f"{args.results}: no launched grid and no rows", file=sys.stderr)
        return 2
    measured = results.probes_by_trial(rows)
    failed = failures.read(args.results)
    final = {key: failure for key, failure in failed.items() if failure.final}
    training = {
        PurePosixPath(name).name.partition(".")[0]
        for name in storage.names(args.results, "checkpoints", ".training.pt")
    }
    table = Table("grid", "trials", "done", "in training", "failed", "to do", "rows", box=None)
    for name in files:
        try:
            plan = grid.parse((storage.get(args.results, name) or b"").decode(), name)
        except GridError as error:
            skipped.append(str(error))
            continue
        states = [
            state(trial.key(), probes, measured, final.keys(), training)
            for trial, probes in plan.trials.items()
        ]
        have = sum(
            sum(probe.key() in measured.get(trial.key(), ()) for probe in probes)
            for trial, probes in plan.trials.items()
        )
        counts = [states.count(s) for s in ("done", "in training", "failed", "to do")]
        table.add_row(plan.name, str(len(states)), *map(str, counts), f"{have:,}/{plan.rows:,}")
    Console().print(table)
    command = failures.again(f"{args.results}/{files[0]}" if files else "GRID.yaml", args.results)
    for line in failures.report(final.values(), command):
        print(line)
    if len(failed) > len(final):
        again = failures.counted(len(failed) - len(final), "trial")
        print(f"to be tried again: {again} that failed")
    for line in skipped:
        print(line, file=sys.stderr)
    return 0


def state(
    key: str,
    probes: Sequence[grid.Probe],
    measured: dict[str, set[str]],
    failed: Collection[str],
    training: set[str],
) -> str:
    """Of one trial: `done`, `failed`, `in training` or `to do`."""
    if {probe.key() for probe in probes} <= measured.get(key, set()):
        return "done"
    if key in failed:
        return "failed"
    return "in training" if key in training else "to do"


if __name__ == "__main__":
    sys.exit(main())
