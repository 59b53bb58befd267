"""`python -m rotgrid.launch GRID.yaml`: plan, run what is missing, draw the report.

Exit codes: 0 all done, 1 internal error, 2 usage or invalid grid, 3 finished with failed trials,
4 data missing or damaged, 5 no cluster or no access to the results, 130 interrupted.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import math
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from rotgrid import cost, grid
from rotgrid.console import command, tolerate_lost_output
from rotgrid.fanout import local
from rotgrid.fanout.progress import Tracker
from rotgrid.grid.problems import GridError
from rotgrid.plan_table import print_plan
from rotgrid.results import failures, storage
from rotgrid.results.inventory import Probes
from rotgrid.todo import Todo, find_todo

MOST_SLOTS = 100_000
KEYS = "`--plan --trials` and `rotgrid status --trials` list the keys"
LIMIT, LEAST_LIMIT = 10.0, 3_600.0
"""Times the most seconds expected, and seconds: after so long an attempt is given up."""


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
    parser.add_argument("--trials", action="store_true", help="--plan: list all, with their keys")
    parser.add_argument("--slots", metavar="N", type=count, help="--plan: trials at once")
    parser.add_argument("--price", metavar="X", type=price, help="--plan: of a GPU or core hour")
    parser.add_argument("--local", action="store_true", help="one trial at a time, without Ray")
    parser.add_argument("--address", metavar="ADDR", help="Ray cluster to use, such as auto")
    parser.add_argument(
        "--set",
        metavar="PATH=VALUE",
        action="append",
        default=[],
        help="change the grid: blocks.*.seed=[0,1], blocks.NAME.epochs=2, resources.gpu=0.25",
    )
    parser.add_argument(
        "--only",
        metavar="KEY",
        type=key,
        help="one trial, in this process: its key or the first digits",
    )
    parser.add_argument(
        "--block",
        metavar="NAME",
        action="append",
        default=[],
        help="of the grid only the blocks with this name, or one that begins with it and a hyphen",
    )
    parser.add_argument("--retry-failed", action="store_true", help="try failed trials again")
    parser.add_argument("--no-report", action="store_true", help="do not draw the report")
    return parser.parse_args(arguments)


def count(text: str) -> int:
    """A whole number from 1 to `MOST_SLOTS`."""
    if not 1 <= (value := int(text)) <= MOST_SLOTS:
        raise argparse.ArgumentTypeError(f"{text} is not 1 to {MOST_SLOTS:,}")
    return value


def price(text: str) -> float:
    """An amount above 0."""
    if not 0 < (value := float(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def key(text: str) -> str:
    """A key of a trial, or how it begins."""
    if not text or set(text) - set("0123456789abcdef"):
        raise argparse.ArgumentTypeError(f"{text!r} is not how a key begins (0-9, a-f): {KEYS}")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    args = parse_arguments(arguments)
    try:
        plan = read_plan(args)
        results_in = results_of(plan, args)
    except GridError as error:
        return fail(2, *map(str, error.problems))
    except ValueError as error:
        return fail(2, str(error))
    except storage.StoreError as error:
        return fail(5, str(error))
    try:
        return carry_out(plan, results_in, args)
    except storage.StoreError as error:
        return fail(5, str(error))


def read_plan(args: argparse.Namespace) -> grid.Plan:
    """The plan of the grid file, which may be a URI; of one trial if only that is asked for.

    Raises:
        GridError: all that is wrong with it.
        ValueError: `--only` names no trial, or several.
    """
    if "://" in args.grid:
        folder, _, name = args.grid.rpartition("/")
        text = storage.get(folder, name)
        if text is None:
            raise ValueError(f"{args.grid}: there is no such file")
        plan = grid.parse(text.decode(), args.grid, args.set, args.block)
    else:
        plan = grid.read(args.grid, args.set, args.block)
    if args.only is None:
        return plan
    chosen = {t: p for t, p in plan.trials.items() if t.key().startswith(args.only)}
    if len(chosen) == 1:
        return dataclasses.replace(plan, trials=chosen)
    some = ", ".join([trial.key() for trial in chosen][:4]) + (", ..." if len(chosen) > 4 else "")
    what = f"{len(chosen)} trials have such a key: {some}" if chosen else "no trial has such a key"
    raise ValueError(f"--only {args.only}: {what}; {KEYS}")


def results_of(plan: grid.Plan, args: argparse.Namespace) -> str:
    """Where results go, as a URI or an absolute path.

    Raises:
        ValueError: it is not a place that files can be in.
    """
    if not args.results and (below := os.environ.get("ROTGRID_RESULTS", "").strip()):
        args.results = below.removesuffix("/") + "/" + plan.name  # printed commands name it, too
    results_in = str(args.results or f"results/{plan.name}")
    if "://" not in results_in:
        results_in = os.path.abspath(os.path.expanduser(results_in))
    storage.locate(results_in)
    return results_in


def carry_out(plan: grid.Plan, results_in: str, args: argparse.Namespace) -> int:
    """Show the plan, or run what it lacks and draw the report; the exit code.

    Raises:
        StoreError: results cannot be read or written.
    """
    todo = find_todo(plan, results_in, retry=args.retry_failed or bool(args.only))
    for line in todo.stock.damaged:
        print(f"{line}; what it held is measured again", file=sys.stderr)
    if args.plan:
        print_plan(plan, todo, results_in, args)
        return 0
    if todo.trials:
        if code := execute(plan, todo, results_in, args):
            return code
    else:
        with contextlib.suppress(storage.StoreError):  # they may only be read, and lack nothing
            store_grid(plan, results_in)
        print(nothing_to_do(plan, todo.failed, results_in))
    return conclude(plan, results_in, args, drawn=not todo.trials)


def nothing_to_do(plan: grid.Plan, failed: Probes, results_in: str) -> str:
    """Why nothing runs: everything is done, or has failed for good."""
    if not failed:
        return f"nothing to do: {len(plan.trials)} trials, {plan.rows} rows are in {results_in}"
    rows = plan.rows - sum(map(len, failed.values()))
    return (
        f"nothing to do: {rows} of {plan.rows} rows are in {results_in}; the others are of "
        f"{failures.counted(len(failed), 'trial')} that failed"
    )


def fail(code: int, *lines: str) -> int:
    """Say why on stderr."""
    for line in lines:
        print(line, file=sys.stderr)
    return code


def execute(plan: grid.Plan, todo: Todo, results_in: str, args: argparse.Namespace) -> int:
    """Run the trials; 0, or the exit code of what made it impossible."""
    trials = todo.trials
    names = {trial.key(): f"{trial.model} {trial.variant}" for trial in trials}
    seconds = {trial.key(): each for trial, each in todo.expected.seconds.items()}
    here = args.local or bool(args.only)
    try:
        if code := prepare(plan, trials, results_in, here):
            return code
        with Tracker(seconds, names) as tracker:
            limits = time_limits(todo.expected, plan.resources)
            if here:
                local.run(trials, results_in, plan.resources, tracker, limits)
            elif problem := run_there(trials, results_in, plan, tracker, limits, args.address):
                return fail(5, problem)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would only disturb the end
        return fail(130, "interrupted; what is finished is kept. Go on with:", f"  {again(args)}")
    except (storage.StoreError, failures.MachineError) as error:
        why = f"{error}; what is finished is kept. Then go on with:"
        return fail(5, why, f"  {again(args)}")
    if local.hopeless(tracker):
        left = len(trials) - len(tracker.failed)
        print(f"stopped: the first trials all failed; {left} were not started", file=sys.stderr)
    return 0


def prepare(plan: grid.Plan, todo: Probes, results_in: str, here: bool) -> int:
    """See that data, results and, if trials run `here`, the device are there, and store the grid;
    0, or an exit code."""
    from rotgrid.data import DataError, load
    from rotgrid.device import DeviceError, require_device

    if folder := os.environ.get("ROTGRID_DATA"):
        os.environ["ROTGRID_DATA"] = os.path.abspath(folder)  # workers run elsewhere
    try:
        if here:
            require_device(plan.resources.gpu)
        for name in dict.fromkeys(trial.data for trial in todo):
            load(name)
        store_grid(plan, results_in)
    except DataError as error:
        return fail(4, str(error))
    except (DeviceError, storage.StoreError) as error:
        return fail(5, str(error))
    rows = sum(map(len, todo.values()))
    print(f"{len(todo)} trials, {rows} rows to do -> {results_in}", file=sys.stderr)
    return 0


def store_grid(plan: grid.Plan, results_in: str) -> None:
    """Store the grid as it is launched, beside those of earlier launches that ask for others.

    Raises:
        StoreError: it cannot be written.
    """
    text = grid.dump(plan).encode()
    name = f"grids/{plan.name}.yaml"
    there = storage.get(results_in, name)
    if there not in (None, text) and not same_trials(there, text):
        name = f"grids/{plan.name}-{hashlib.sha256(text).hexdigest()[:8]}.yaml"
        there = storage.get(results_in, name)
    if there != text:
        storage.put(results_in, name, text)


def same_trials(stored: bytes, text: bytes) -> bool:
    """Whether a stored grid asks for the trials and probes of another, or for nothing: it is
    damaged."""
    try:
        return grid.parse(stored.decode()).trials == grid.parse(text.decode()).trials
    except (GridError, UnicodeDecodeError):
        return True


def time_limits(expected: cost.Estimate, resources: grid.Resources) -> dict[str, float]:
    """Seconds that an attempt at each trial may take, by its key."""
    most = LIMIT * expected.factor[1]
    return {
        trial.key(): 60 * resources.minutes or max(LEAST_LIMIT, most * seconds)
        for trial, seconds in expected.seconds.items()
    }


def run_there(
    todo: Probes,
    results_in: str,
    plan: grid.Plan,
    tracker: Tracker,
    limits: Mapping[str, float],
    address: str | None,
) -> str:
    """Run the list on a Ray cluster; what kept it from starting, if something did."""
    from rotgrid.fanout import tune
    from rotgrid.fanout.connection import ClusterError

    try:
        tune.run(todo, results_in, plan.resources, tracker, limits, address)
    except ClusterError as error:
        return str(error)
    return ""


def conclude(plan: grid.Plan, results_in: str, args: argparse.Namespace, drawn: bool) -> int:
    """Draw the report, list what failed; the exit code."""
    out = report_folder(plan, results_in)
    if not drawn:
        from rotgrid.compact import compact_large  # loads what a plan does not need

        compact_large(results_in)
    code = 0
    if not args.no_report and not (drawn and Path(out, "report.html").exists()):
        code = draw_report(results_in, out)
    if Path(out, "report.html").exists() and not args.no_report:
        print(f"report: {Path(out, 'report.html')}")
    failed = failures.read(results_in)
    mine = [failed[trial.key()] for trial in plan.trials if trial.key() in failed]
    if not mine:
        return code
    report = failures.report(mine, again(args, only=None, retry_failed=False))
    return fail(3, *report, f"try all again with:  {again(args, retry_failed=True)}")


def draw_report(results_in: str, out: str) -> int:
    """Draw the report of finished rows; 0, or 1 if the analysis itself failed."""
    from analysis import NoResults
    from analysis.__main__ import draw

    try:
        draw([results_in], out)
    except NoResults as error:
        print(f"no report: {error}", file=sys.stderr)
    except storage.StoreError as error:
        elsewhere = command("analysis", results_in, "--out", "DIR")
        fail(0, f"no report: {error}. Elsewhere:", f"  {elsewhere}")
    except Exception:
        traceback.print_exc()
        redraw = command("analysis", results_in, "--out", out)
        return fail(1, "no report; all rows are kept. Draw it again with:", f"  {redraw}")
    return 0


def again(args: argparse.Namespace, **changed: object) -> str:
    """The command that asks for the same once more, but for what is `changed`."""
    given = {**vars(args), **changed}
    words = [args.grid]
    for name in ("results", "address", "only"):
        words += [f"--{name}", given[name]] if given[name] else []
    words += [word for override in args.set for word in ("--set", override)]
    words += [word for block in args.block for word in ("--block", block)]
    for name in ("local", "retry_failed", "no_report"):
        words += ["--" + name.replace("_", "-")] if given[name] else []
    return command("rotgrid.launch", *words)


def report_folder(plan: grid.Plan, results_in: str) -> str:
    """Beside the rows where they are local, else in `report/<grid name>` here."""
    return (
        os.path.abspath(f"report/{plan.name}") if "://" in results_in else f"{results_in}/report"
    )


if __name__ == "__main__":
    tolerate_lost_output()
    sys.exit(main())
