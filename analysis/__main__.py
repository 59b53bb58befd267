"""`python -m analysis RESULTS [RESULTS ...] --out DIR`: report, figures and tables as files."""

import argparse
import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence

import polars as pl

from analysis.claims import reads, records, verdicts
from analysis.report import answers, gallery, pictures, tables, worst
from analysis.report.drawing import lay_out
from analysis.report.page import INDEX, NOT_DRAWN, report
from analysis.report.reads import WANTED
from analysis.rows.loading import Loaded, NoResults, gather
from analysis.rows.selection import Comparable, NotMeasured
from rotgrid.console import tolerate_lost_output
from rotgrid.results import storage


class NotWritable(storage.StoreError):
    """The report cannot be written where it should be."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw what can be drawn.

    Returns:
        0 if there was anything to draw, 1 if a part of it failed by an error of its own, 2 if
        there was nothing or on wrong usage, 5 if results cannot be reached or the report cannot be
        written, 130 if interrupted.
    """
    parser = argparse.ArgumentParser(prog="python -m analysis", description=__doc__)
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="a folder or URI of results")
    parser.add_argument("--out", metavar="DIR", help="where to write (default: RESULTS/report)")
    parser.add_argument(
        "--verbose", action="store_true", help="say of each figure that is not drawn why"
    )
    parser.add_argument(
        "--pictures", action="store_true", help="write each figure as PDF and PNG, too"
    )
    options = parser.parse_args(arguments)
    out = options.out or default_out(options.results)
    if out is None:
        parser.error("--out is needed unless there is one RESULTS, a local folder")
    try:
        page, failed = written(options.results, out, options.verbose, options.pictures)
        print(page)
    except NoResults as error:
        print(error, file=sys.stderr)
        return 2
    except NotWritable as error:
        print(f"{error}; name another folder with --out", file=sys.stderr)
        return 5
    except OSError as error:
        print(error, file=sys.stderr)
        return 5
    except KeyboardInterrupt:
        return 130
    return 1 if failed else 0


def default_out(locations: Sequence[str]) -> str | None:
    """`RESULTS/report`, if there is one RESULTS and it is local."""
    if len(locations) != 1 or "://" in locations[0]:
        return None
    return os.path.join(locations[0], "report")


def draw(locations: Sequence[str], out: str, verbose: bool = False, printed: bool = False) -> str:
    """Write `report.html`, `index.html` that leads to it, `claims.json`, `claims.md`, `figures/`
    and `tables/` of the results to `out`; the report's path. If `printed`, figures are written as
    PDF and PNG, too.

    Problems, and how many figures could not be drawn, go to stderr, and with the reasons into the
    report.

    Raises:
        NoResults: there is not one valid row.
        OSError: results cannot be reached, or nothing can be written to `out`.
    """
    return written(locations, out, verbose, printed)[0]


def written(
    locations: Sequence[str], out: str, verbose: bool, printed: bool
) -> tuple[str, list[str]]:
    """The same, and the figures whose own code failed."""
    loaded = gather(*locations, wanted=WANTED)
    if not loaded.overview.rows:
        raise NoResults("\n".join(["there are no results to draw", *loaded.problems]))
    check(out)
    with pictures.beside() as pool:
        bundle = pictures.bundle(pool)
        layouts = lay_out(loaded, pool)
        of_claims = loaded.rows.lazy().filter(reads.READS).select(verdicts.COLUMNS)
        outcomes = verdicts.judge(of_claims.collect())
        images, damaged = gallery.read(locations, set(loaded.overview.networks["trial"]))
        loaded.problems.extend(damaged)
        for line in loaded.problems:
            print(line, file=sys.stderr)
        worst_case, asked = worst_rotations(loaded), answers.of(loaded)
        storage.put(out, "claims.json", records.as_json(outcomes).encode())
        storage.put(out, "claims.md", records.as_markdown(outcomes).encode())
        numbers = {name: one.table for name, one in layouts.asked.items() if one.table is not None}
        numbers |= answers.tables_of(asked)
        if worst_case:
            numbers["worst_case"] = worst_case.rows
        for name, table in numbers.items():
            put_table(out, name, table)
        drawn, missing, failed = layouts.drawings()
        copies = pictures.printed(pool, [one.svg for one in drawn.values()]) if printed else ()
        script = bundle.result()
        page = report(drawn, missing, loaded, worst_case, outcomes, script, images, asked)
        for name, figure in drawn.items():
            storage.put(out, f"figures/{name}.svg", figure.svg.encode())
        for name, (pdf, png) in zip(drawn, copies, strict=False):
            storage.put(out, f"figures/{name}.pdf", pdf)
            storage.put(out, f"figures/{name}.png", png)
        storage.put(out, "report.html", page.encode())
        storage.put(out, "index.html", INDEX.encode())
    for line in counted(drawn, missing, verbose):
        print(line, file=sys.stderr)
    return os.path.join(out, "report.html") if "://" not in out else f"{out}/report.html", failed


def worst_rotations(loaded: Loaded) -> Comparable | None:
    """The table of worst cases, if an attack rotated or shifted images."""
    try:
        return worst.worst_case(loaded.rows.filter(worst.READS))
    except NotMeasured:
        return None


def check(out: str) -> None:
    """Find out before the work whether its result can be written.

    Raises:
        NotWritable: it cannot.
    """
    try:
        storage.require_writable(out)
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


def put_table(out: str, name: str, table: pl.DataFrame) -> None:
    """Write a table for people and for programs."""
    for ending, written_as in tables.FORMATS.items():
        storage.put(out, f"tables/{name}.{ending}", written_as(table))


if __name__ == "__main__":
    tolerate_lost_output()
    sys.exit(main())
