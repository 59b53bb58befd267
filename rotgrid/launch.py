"""`python -m rotgrid.launch GRID.yaml`: plan, run what is missing, draw the report.

Exit codes: 0 all done, 1 internal error, 2 usage or invalid grid, 3 finished with failed trials,
4 data missing or damaged, 5 no cluster or no access to the results, 130 interrupted.
"""

import argparse
import contextlib
import dataclasses
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rotgrid import grid
from rotgrid.arguments import KEYS_HINT, parse_arguments, relaunch_command
from rotgrid.console import command, tolerate_lost_output
from rotgrid.fanout import local
from rotgrid.fanout.progress import Tracker
from rotgrid.grid.problems import GridError
from rotgrid.plan_table import print_plan, slow_precision
from rotgrid.redrawing import redrawn
from rotgrid.results import failures, storage
from rotgrid.results.grids import store_grid
from rotgrid.results.inventory import Probes
from rotgrid.spec import any_own
from rotgrid.todo import Todo, find_todo, time_limits


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    args = parse_arguments(arguments, __doc__.partition("\n\n")[2])
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
    raise ValueError(f"--only {args.only}: {what}; {KEYS_HINT}")


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
        f"{failures.plural(len(failed), 'trial')} that failed"
    )


def fail(code: int, *lines: str) -> int:
    """Say why on stderr."""
    for line in lines:
        print(line, file=sys.stderr)
    return code


def execute(plan: grid.Plan, todo: Todo, results_in: str, args: argparse.Namespace) -> int:
    """Run the trials; 0, or the exit code of what made it impossible."""
    trials = todo.trials
    if words := slow_precision(plan, todo):
        print(f"precision: {words}", file=sys.stderr)
    names = {trial.key(): f"{trial.model} {trial.variant}" for trial in trials}
    seconds = {trial.key(): each for trial, each in todo.expected.seconds.items()}
    here = args.local or bool(args.only)
    try:
        if code := prepare(plan, trials, results_in, here):
            return code
        with Tracker(seconds, names) as tracker, redrawing(plan, results_in, args, tracker.say):
            limits = time_limits(todo.expected, plan.resources)
            if here:
                local.run(trials, results_in, plan.resources, tracker, limits)
            elif problem := run_there(trials, results_in, plan, tracker, limits, args.address):
                return fail(5, problem)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would only disturb the end
        return fail(
            130,
            "interrupted; what is finished is kept. Go on with:",
            f"  {relaunch_command(args)}",
        )
    except (storage.StoreError, failures.MachineError) as error:
        why = f"{error}; what is finished is kept. Then go on with:"
        return fail(5, why, f"  {relaunch_command(args)}")
    if local.given_up(tracker):
        left = len(trials) - len(tracker.failed)
        print(f"stopped: the first trials all failed; {left} were not started", file=sys.stderr)
    return 0


def redrawing(
    plan: grid.Plan, results_in: str, args: argparse.Namespace, say: Callable[[str], None]
) -> contextlib.AbstractContextManager[None]:
    """What redraws the report meanwhile, if there is to be one."""
    if args.no_report:
        return contextlib.nullcontext()
    return redrawn(results_in, report_folder(plan, results_in), say)


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
        if any_own(todo):
            from rotgrid.preflight import require_own

            require_own(todo, results_in)
        store_grid(plan, results_in)
    except DataError as error:
        return fail(4, str(error))
    except ValueError as error:  # own code is not what it should be
        return fail(2, str(error))
    except (DeviceError, storage.StoreError) as error:
        return fail(5, str(error))
    rows = sum(map(len, todo.values()))
    print(f"{len(todo)} trials, {rows} rows to do -> {results_in}", file=sys.stderr)
    return 0


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
        if not args.no_report and "://" not in results_in:
            from rotgrid.gallery import illustrate

            illustrate(results_in, plan.trials)
    code = 0
    if not args.no_report and not (drawn and Path(out, "report.html").exists()):
        code = draw_report(results_in, out)
    if Path(out, "report.html").exists() and not args.no_report:
        print(f"report: {Path(out, 'report.html')}")
    failed = failures.read(results_in)
    mine = [failed[trial.key()] for trial in plan.trials if trial.key() in failed]
    if not mine:
        return code
    report = failures.report(mine, relaunch_command(args, only=None, retry_failed=False))
    return fail(3, *report, f"try all again with:  {relaunch_command(args, retry_failed=True)}")


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


def report_folder(plan: grid.Plan, results_in: str) -> str:
    """Beside the rows where they are local, else in `report/<grid name>` here."""
    return (
        os.path.abspath(f"report/{plan.name}") if "://" in results_in else f"{results_in}/report"
    )


if __name__ == "__main__":
    tolerate_lost_output()
    sys.exit(main())
