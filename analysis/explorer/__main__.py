"""`python -m analysis.explorer RESULTS [RESULTS ...]`: choose rows, draw them, download them.

Opens a page in the browser. Needs marimo (the extra `notebook`). Ctrl-C ends it.

Exit codes: 2 no rows, no marimo or wrong usage, 5 results not reachable, else those of marimo.
"""

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rotgrid.console import command, tolerate_lost_output
from rotgrid.results import storage

APP = Path(__file__).with_name("app.py")
NEEDS = "marimo>=0.25"


def main(arguments: Sequence[str] | None = None) -> int:
    """Become the app, or say why not; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.explorer",
        description=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="a folder or URI of results")
    parser.add_argument("--port", type=int, metavar="N", help="of the page (default: a free one)")
    parser.add_argument("--headless", action="store_true", help="open no browser, print the link")
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("marimo") is None:
        install = command("pip", "install", NEEDS)
        return fail(2, f"explore needs marimo, which is not installed. Install it with: {install}")
    try:
        empty = [p for p in options.results if not storage.names(p, "evaluations", ".parquet")]
    except storage.StoreError as error:
        return fail(5, str(error))
    except ValueError as error:
        return fail(2, str(error))
    if empty:
        return fail(2, *(f"{place}: no evaluations" for place in empty))
    words = marimo_command(options)
    sys.stdout.flush()
    os.execv(words[0], words)  # so that who ends this command ends the app


def marimo_command(options: argparse.Namespace) -> list[str]:
    """What opens the app."""
    words = [sys.executable, "-m", "marimo", "run", str(APP)]
    words += ["--headless"] if options.headless else []
    words += ["--port", str(options.port)] if options.port else []
    return [*words, "--", *(word for place in options.results for word in ("--results", place))]


def fail(code: int, *lines: str) -> int:
    """Say why on stderr."""
    for line in lines:
        print(line, file=sys.stderr)
    return code


if __name__ == "__main__":
    tolerate_lost_output()
    sys.exit(main())
