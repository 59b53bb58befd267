"""The arguments of `rotgrid.launch`, and the command that asks for the same again."""

import argparse
import math
from collections.abc import Sequence

from rotgrid.console import command

MOST_SLOTS = 100_000
KEYS_HINT = "`--plan --trials` and `rotgrid status --trials` list the keys"


def parse_arguments(arguments: Sequence[str] | None, epilog: str = "") -> argparse.Namespace:
    """The command line; `epilog` ends its help."""
    parser = argparse.ArgumentParser(
        prog="python -m rotgrid.launch",
        description="Train and measure what a grid asks for and its results lack.",
        epilog=epilog,
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
    parser.add_argument("--slots", metavar="N", type=slots, help="--plan: trials at once")
    parser.add_argument("--price", metavar="X", type=amount, help="--plan: of a GPU or core hour")
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
    args = parser.parse_args(arguments)
    if args.address and args.local:
        parser.error("--address is of a Ray cluster, and --local is without Ray")
    for name in ("trials", "slots", "price"):
        if getattr(args, name) and not args.plan:
            parser.error(f"--{name} is for --plan")
    return args


def amount(text: str) -> float:
    """A finite number above 0."""
    if not 0 < (value := float(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def slots(text: str) -> int:
    """A whole number from 1 to `MOST_SLOTS`."""
    if not 1 <= (value := int(text)) <= MOST_SLOTS:
        raise argparse.ArgumentTypeError(f"{text} is not 1 to {MOST_SLOTS:,}")
    return value


def key(text: str) -> str:
    """A key of a trial, or how it begins."""
    if not text or set(text) - set("0123456789abcdef"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not how a key begins (0-9, a-f): {KEYS_HINT}"
        )
    return text


def relaunch_command(args: argparse.Namespace, **changed: object) -> str:
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
