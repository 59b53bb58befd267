"""`rotgrid VERB ...`, or `python -m rotgrid VERB ...`: the command lines under one name."""

import importlib
import sys
from collections.abc import Sequence

import rotgrid
from rotgrid.console import tolerate_lost_output
from rotgrid.grid.spelling import nearest

VERBS = {
    "launch": ("rotgrid.launch", "train and measure what a grid asks for"),
    "status": ("rotgrid.status", "what is done, failed and missing"),
    "analysis": ("analysis.__main__", "draw report, figures and tables"),
    "explore": ("analysis.explorer.__main__", "choose, draw and download rows in the browser"),
    "gallery": ("rotgrid.gallery", "draw test images as stored networks see them"),
    "check": ("rotgrid.check", "does a network or attack of your own do what is asked of it"),
    "data": ("rotgrid.make_data.__main__", "write a data set of one's own: rotgrid data make"),
    "compact": ("rotgrid.compact", "merge many small result files"),
}
"""The module of each verb, and what it does; `python -m MODULE` is the same command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command of a verb; its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    verb, *rest = given or ["--help"]
    if verb in ("-h", "--help"):
        print(usage())
        return 0
    if verb == "--version":
        print(f"rotgrid {rotgrid.__version__}")
        return 0
    if verb not in VERBS:
        near = nearest(verb, list(VERBS))
        hint = f": did you mean {near}?" if near else f"; choose from {', '.join(VERBS)}"
        print(f"rotgrid: no command {verb!r}{hint}", file=sys.stderr)
        return 2
    return int(importlib.import_module(VERBS[verb][0]).main(rest))


def usage() -> str:
    """The verbs and what they do."""
    lines = [f"  {verb:10} {what}" for verb, (_, what) in VERBS.items()]
    return "\n".join(["usage: rotgrid VERB ...", "", *lines, "", "rotgrid VERB --help says more."])


def run() -> None:
    """What the console script calls."""
    tolerate_lost_output()
    sys.exit(main())


if __name__ == "__main__":
    run()
