"""`python -m analysis RESULTS [RESULTS ...] --out DIR`: report, figures and tables as files."""

import argparse
import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from typing import TextIO

import polars as pl
import vl_convert

from analysis.claims import records, verdicts
from analysis.figures.registry import COLUMNS, FIGURES, Figure
from analysis.report import pictures, tables, worst
from analysis.report.page import NOT_DRAWN, Drawn, report
from analysis.rows import star
from analysis.rows.scan import Loaded, NoResults, gather
from analysis.rows.selection import NotMeasured
from rotgrid.results import storage

WHOLE = 1_000_000
"""Of more rows the outcomes of single images, which need most of the memory, are not kept."""


class NotWritable(storage.StoreError):
    """The report cannot be written where it should be."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw what can be drawn.

    Returns:
        0 if there was anything to draw, 2 if not or on wrong usage, 5 if results cannot be
        reached or the report cannot be written, 130 if interrupted.
    """
    parser = argparse.ArgumentParser(prog="python -m analysis", description=__doc__)
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="a folder or URI of results")
    parser.add_argument("--out", metavar="DIR", help="where to write (default: RESULTS/report)")
    parser.add_argument(
        "--verbose", action="store_true", help="say of each figure that is not drawn why"
    )
    options = parser.parse_args(arguments)
    out = options.out or default_out(options.results)
    if out is None:
        parser.error("--out is needed unless there is one RESULTS, a local folder")
    try:
        say(draw(options.results, out, options.verbose), sys.stdout)
    except NoResults as error:
        say(str(error), sys.stderr)
        return 2
    except NotWritable as error:
        say(f"{error}; name another folder with --out", sys.stderr)
        return 5
    except OSError as error:
        say(str(error), sys.stderr)
        return 5
    except KeyboardInterrupt:
        return 130
    return 0


def say(line: str, stream: TextIO | None) -> None:
    """Print a line for the user, if anybody listens: the work does not depend on it."""
    if stream is None:
        return
    try:
        print(line, file=stream, flush=True)
    except (OSError, UnicodeError):  # nobody reads it, or there is no space: say no more
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def default_out(locations: Sequence[str]) -> str | None:
    """`RESULTS/report`, if there is one RESULTS and it is local."""
    if len(locations) != 1 or "://" in locations[0]:
        return None
    return os.path.join(locations[0], "report")


def draw(locations: Sequence[str], out: str, verbose: bool = False) -> str:
    """Write `report.html`, `claims.json`, `claims.md`, `figures/` and `tables/` of the results to
    `out`; the report's path.

    Problems, and how many figures could not be drawn, go to stderr, and with the reasons into the
    report.

    Raises:
        NoResults: there is not one valid row.
        OSError: results cannot be reached, or nothing can be written to `out`.
    """
    loaded = gather(*locations, whole=WHOLE)
    if not star.height(loaded.rows):
        raise NoResults("\n".join(["there are no results to draw", *loaded.problems]))
    check(out)
    with pictures.beside() as pool:
        bundle = pool.submit(vl_convert.javascript_bundle)  # type: ignore[call-arg]
        drawn, missing = drawings(loaded, pool)
        printed = pictures.printed(pool, [figure.svg for figure in drawn.values()])
        outcomes = verdicts.judge(star.outcomes(loaded.rows))
        for line in loaded.problems:
            say(line, sys.stderr)
        try:
            worst_case = worst.worst_case(star.narrow(loaded.rows, worst.READS))
            put_table(out, "worst_case", worst_case.rows)
        except NotMeasured:
            worst_case = None
        storage.put(out, "claims.json", records.as_json(outcomes).encode())
        storage.put(out, "claims.md", records.as_markdown(outcomes).encode())
        page = report(drawn, missing, loaded, worst_case, outcomes, bundle.result())
        for (name, figure), (pdf, png) in zip(drawn.items(), printed, strict=True):
            put_figure(out, name, figure, pdf, png)
        storage.put(out, "report.html", page.encode())
    for line in counted(drawn, missing, verbose):
        say(line, sys.stderr)
    return os.path.join(out, "report.html") if "://" not in out else f"{out}/report.html"


def check(out: str) -> None:
    """Find out before the work whether its result can be written.

    Raises:
        NotWritable: it cannot.
    """
    try:
        storage.check(out)
    except (OSError, ValueError) as error:
        reason = getattr(error.__cause__, "strerror", None) or error
        words = f"cannot write the report to {out}: {reason}"
        raise NotWritable(words) from error


def counted(
    drawn: Collection[str], missing: Mapping[str, str], verbose: bool = False
) -> Iterator[str]:
    """How many figures were drawn, and where it says why the others were not."""
    if verbose:
        yield from (f"{name} not drawn: {why}" for name, why in missing.items())
    where = (
        f'; {len(missing)} not, for the reasons in report.html, section "{NOT_DRAWN.capitalize()}"'
    )
    yield f"{len(drawn)} figures drawn{where if missing else ''}"


def put_figure(out: str, name: str, figure: Drawn, pdf: bytes, png: bytes) -> None:
    """Write a figure as vectors, for print and as pixels, and its numbers."""
    for kind, picture in (("svg", figure.svg.encode()), ("pdf", pdf), ("png", png)):
        storage.put(out, f"figures/{name}.{kind}", picture)
    if figure.table is not None:
        put_table(out, name, figure.table)


def put_table(out: str, name: str, table: pl.DataFrame) -> None:
    """Write a table for people and for programs."""
    storage.put(out, f"tables/{name}.md", tables.markdown(table).encode())
    storage.put(out, f"tables/{name}.csv", tables.csv(table).encode())
    storage.put(out, f"tables/{name}.tex", tables.latex(table).encode())


def drawings(
    loaded: Loaded, pool: Executor, figures: Mapping[str, Figure] = FIGURES
) -> tuple[dict[str, Drawn], dict[str, str]]:
    """Every figure that the rows allow, and for every other one what it needs.

    Each is laid out once, in the pool, while the next is prepared.
    """
    asked, missing = {}, {}
    for name, figure in figures.items():
        rows = star.narrow(loaded.rows, *figure.reads, columns=COLUMNS)
        try:
            chart = figure.draw(rows, *(getattr(loaded, table) for table in figure.needs))
        except (NotMeasured, ValueError) as error:  # ValueError: too many or mixed rows
            missing[name] = str(error)
        else:
            spec = chart.to_dict(validate=False)  # which takes longest; the tests do it
            svg = pool.submit(vl_convert.vegalite_to_svg, spec)
            asked[name] = figure.heading, spec, svg, tables.of(chart)
    drawn = {}
    for name, (heading, spec, svg, table) in asked.items():
        try:
            drawn[name] = Drawn(heading, spec, svg.result(), table)
        except ValueError as error:
            missing[name] = str(error)
    return drawn, missing


if __name__ == "__main__":
    sys.exit(main())
