"""`python -m rotgrid.launch GRID.yaml`: plan, run what is missing, draw the report.

Exit codes: 0 all done, 1 internal error, 2 usage or invalid grid, 3 finished with failed trials,
4 data missing or damaged, 5 no cluster or no access to the results, 130 interrupted.
"""

import argparse
import dataclasses
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rotgrid import cost, grid, results
from rotgrid.document import GridError
from rotgrid.progress import Tracker, duration
from rotgrid.spec import Probe, Trial

Todo = dict[Trial, tuple[Probe, ...]]


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m rotgrid.launch",
        description="Train and measure what a grid asks for and its results lack.",
        epilog=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("grid", metavar="GRID.yaml", help="what to train and measure")
    parser.add_argument(
        "--results",
        metavar="URI",
        help="folder, s3:// or gs:// (default: <grid name> below $ROTGRID_RESULTS, or results)",
    )
    parser.add_argument("--plan", action="store_true", help="print what would be done, and stop")
    parser.add_argument("--local", action="store_true", help="one trial at a time, without Ray")
    parser.add_argument("--address", metavar="ADDR", help="Ray cluster to use, such as auto")
    parser.add_argument(
        "--set",
        metavar="PATH=VALUE",
        action="append",
        default=[],
        help="change the grid: blocks.*.seed=[0,1], blocks.NAME.epochs=2, resources.gpu=0.25",
    )
    parser.add_argument("--only", metavar="KEY", help="one trial, in this process")
    parser.add_argument("--retry-failed", action="store_true", help="try failed trials again")
    parser.add_argument("--no-report", action="store_true", help="do not draw the report")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    args = parse_arguments(arguments)
    try:
        plan = grid.read(args.grid, args.set)
        below = os.environ.get("ROTGRID_RESULTS", "results").rstrip("/")
        results_in = args.results or f"{below}/{plan.name}"
        if "://" not in results_in:
            results_in = os.path.abspath(results_in)
        results.locate(results_in)
    except GridError as error:
        return fail(2, *map(str, error.problems))
    except ValueError as error:
        return fail(2, str(error))
    if args.only:
        chosen = {t: p for t, p in plan.trials.items() if t.key().startswith(args.only)}
        if len(chosen) != 1:
            where = "keys are in the rows, in failures/, and in what rotgrid.status prints"
            return fail(2, f"--only {args.only}: the key of {len(chosen)} trials; {where}")
        plan = dataclasses.replace(plan, trials=chosen)
    try:
        todo, failed = missing(plan, results_in, retry=args.retry_failed or bool(args.only))
    except OSError as error:
        return fail(5, f"{results_in}: cannot read results: {error}")
    if args.plan:
        print_plan(plan, todo, failed, results_in)
        return 0
    if not todo:
        rows = plan.rows if not failed else f"{plan.rows} but for {len(failed)} failed trials'"
        print(f"nothing to do: {len(plan.trials)} trials, {rows} rows are in {results_in}")
    elif code := execute(plan, todo, results_in, args):
        return code
    return conclude(plan, results_in, args, drawn=not todo)


def fail(code: int, *lines: str) -> int:
    """Say why on stderr."""
    for line in lines:
        print(line, file=sys.stderr)
    return code


def missing(plan: grid.Plan, results_in: str, retry: bool) -> tuple[Todo, Todo]:
    """What has no row yet: of the trials to run, the most expensive first, and of failed ones.

    With `retry` the failed trials are among those to run as well.
    """
    done = results.measured(results_in)
    failures = results.failures(results_in)
    todo: Todo = {}
    failed: Todo = {}
    for trial, probes in plan.trials.items():
        key = trial.key()
        seen = done.get(key, set())
        left = tuple(probe for probe in probes if probe.key() not in seen) if seen else probes
        if left and key in failures:
            failed[trial] = left
        if left and (retry or key not in failures):
            todo[trial] = left
    work = {trial: cost.work(trial, probes, trained=False) for trial, probes in todo.items()}
    return {t: todo[t] for t in sorted(todo, key=lambda t: -work[t])}, failed


def execute(plan: grid.Plan, todo: Todo, results_in: str, args: argparse.Namespace) -> int:
    """Run the trials; 0, or the exit code of what made it impossible."""
    from rotgrid.data import DataError, load

    if folder := os.environ.get("ROTGRID_DATA"):
        os.environ["ROTGRID_DATA"] = os.path.abspath(folder)  # workers run elsewhere
    try:
        for name in dict.fromkeys(trial.data for trial in todo):
            load(name)
    except DataError as error:
        return fail(4, str(error))
    try:
        results.put(results_in, f"grids/{plan.name}.yaml", grid.dump(plan).encode())
    except OSError as error:
        return fail(5, f"{results_in}: cannot write results: {error}")
    rows = sum(map(len, todo.values()))
    print(f"{len(todo)} trials, {rows} rows to do -> {results_in}", file=sys.stderr)
    trained = trained_keys(results_in)
    work = {t.key(): cost.work(t, p, t.key() in trained) for t, p in todo.items()}
    try:
        with Tracker(work) as tracker:
            if args.local or args.only:
                run_here(todo, results_in, plan.resources, tracker)
            else:
                from rotgrid import cluster

                try:
                    cluster.run(todo, results_in, plan.resources, tracker, args.address)
                except cluster.ClusterError as error:
                    return fail(5, str(error))
    except KeyboardInterrupt:
        return fail(130, "interrupted; what is finished is kept. Go on with:", f"  {again(args)}")
    except OSError as error:  # a trial's own failure could not be recorded
        return fail(5, f"{results_in}: cannot write results: {error}")
    return 0


def run_here(
    todo: Mapping[Trial, Sequence[Probe]],
    results_in: str,
    resources: grid.Resources,
    tracker: Tracker,
) -> None:
    """The same list without Ray: one trial after the other in this process."""
    from rotgrid import experiment

    for trial, probes in todo.items():
        tracker.started(trial.key())
        outcome = experiment.attempt(
            trial, probes, results_in, threads=resources.cpu, gpu_share=resources.gpu
        )
        tracker.finished(trial.key(), failed=outcome == "failed")


def conclude(plan: grid.Plan, results_in: str, args: argparse.Namespace, drawn: bool) -> int:
    """Draw the report, list what failed; the exit code."""
    out = report_folder(plan, results_in)
    if not drawn:
        cost.remember_rates(results_in)
    if not args.no_report and not (drawn and Path(out, "report.html").exists()):
        from analysis import NoResults
        from analysis.__main__ import draw

        try:
            draw([results_in], out)
        except NoResults as error:
            print(f"no report: {error}", file=sys.stderr)
    if Path(out, "report.html").exists():
        print(f"report: {Path(out, 'report.html')}")
    reports = results.failures(results_in)
    failed = [trial.key() for trial in plan.trials if trial.key() in reports]
    if not failed:
        return 0
    causes: dict[object, list[str]] = {}
    for key in failed:
        causes.setdefault(reports[key].get("exception", "no report"), []).append(key)
    for cause, keys in causes.items():
        print(f"failed: {len(keys)} trials ({keys[0]}, ...): {cause}", file=sys.stderr)
    command = again(args)
    return fail(
        3,
        f"reproduce one with:  {command} --only {failed[0]}",
        f"try all again with:  {command} --retry-failed",
    )


def again(args: argparse.Namespace) -> str:
    """The command that asks for the same grid and results."""
    words = ["python", "-m", "rotgrid.launch", args.grid]
    words += ["--results", args.results] if args.results else []
    words += [word for override in args.set for word in ("--set", override)]
    words += ["--local"] if args.local else []
    words += ["--address", args.address] if args.address else []
    return shlex.join(words)


def report_folder(plan: grid.Plan, results_in: str) -> str:
    """Beside the rows where they are local, else in `report/<grid name>` here."""
    return (
        os.path.abspath(f"report/{plan.name}") if "://" in results_in else f"{results_in}/report"
    )


def trained_keys(results_in: str) -> set[str]:
    """Keys of the trials whose weights are stored."""
    stored = results.names(results_in, "checkpoints", ".pt")
    return {Path(name).stem for name in stored if not name.endswith(".training.pt")}


def print_plan(plan: grid.Plan, todo: Todo, failed: Todo, results_in: str) -> None:
    """The plan as tables on stdout."""
    trained = trained_keys(results_in)
    to_train = sum(trial.key() not in trained for trial in todo)
    left = sum(map(len, todo.values()))
    lacking = {**failed, **todo}
    done = plan.rows - sum(map(len, lacking.values()))
    guess = cost.estimate(todo, trained, results_in)
    cores = os.cpu_count() or 1
    slots = max(1, cores // plan.resources.cpu)
    facts = Table(box=None, show_header=False, pad_edge=False)
    for name, value in (
        ("grid", f"{plan.name} {plan.description}".strip()),
        ("trials", f"{len(plan.trials):,} networks"),
        ("probes", f"{len(grid.distinct_probes(plan)):,} distinct measurements"),
        ("rows", f"{plan.rows:,} (trial, probe) pairs"),
        ("cartesian", f"{plan.cells:,} networks if every cell trained its own"),
        ("done", f"{done:,} rows, {len(plan.trials) - len(lacking):,} trials"),
        ("failed", f"{len(failed):,} trials (--retry-failed tries them again)"),
        ("to do", f"{to_train:,} networks to train, {left:,} rows to measure"),
        (
            "time",
            f"{duration(guess.seconds / slots)} on this machine's {cores} cores, "
            f"{plan.resources.cpu} per trial ({guess.source})",
        ),
        ("results", results_in),
    ):
        facts.add_row(name, value)
    axes = Table("axis", "values", box=None, pad_edge=False)
    for field, values in plan.axes().items():
        if not any(isinstance(value, str) for value in values):
            values = sorted(values)  # type: ignore[type-var]
        axes.add_row(
            field, ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)
        )
    console = Console()
    if not console.is_terminal:  # a script may read it: do not wrap
        console.width = 240
    console.print(facts, axes, sep="\n\n", soft_wrap=False)


if __name__ == "__main__":
    sys.exit(main())
