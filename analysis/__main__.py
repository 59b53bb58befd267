"""`python -m analysis RESULTS [RESULTS ...] --out DIR`: report, figures and tables as files."""

import argparse
import os
import sys
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple

import altair as alt
import polars as pl
import vl_convert

from analysis.claims import reads, records, verdicts
from analysis.figures import duplicates
from analysis.figures.registry import COLUMNS, FIGURES, Figure, number
from analysis.report import answers, gallery, pictures, tables, worst
from analysis.report.drawn import Drawn
from analysis.report.page import NOT_DRAWN, report
from analysis.report.reads import WANTED
from analysis.rows.loading import Loaded, NoResults, gather
from analysis.rows.selection import CannotShow, Comparable, NotMeasured
from rotgrid.console import tolerate_lost_output
from rotgrid.results import storage


class NotWritable(storage.StoreError):
    """The report cannot be written where it should be."""


class Drawings(NamedTuple):
    """Every figure that could be drawn, and why the others could not."""

    drawn: dict[str, Drawn]
    missing: dict[str, str]
    failed: list[str]
    """Those of the missing whose own code failed; stderr has the traceback."""


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
    """Write `report.html`, `claims.json`, `claims.md`, `figures/` and `tables/` of the results to
    `out`; the report's path. If `printed`, figures are written as PDF and PNG, too.

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
        bundle = pool.submit(vl_convert.javascript_bundle)  # type: ignore[call-arg]
        drawn, missing, failed = drawings(loaded, pool)
        copies = pictures.printed(pool, [one.svg for one in drawn.values()]) if printed else ()
        of_claims = loaded.rows.lazy().filter(reads.READS).select(verdicts.COLUMNS)
        outcomes = verdicts.judge(of_claims.collect())
        images, damaged = gallery.read(locations)
        loaded.problems.extend(damaged)
        for line in loaded.problems:
            print(line, file=sys.stderr)
        worst_case = worst_rotations(loaded)
        if worst_case:
            put_table(out, "worst_case", worst_case.rows)
        storage.put(out, "claims.json", records.as_json(outcomes).encode())
        storage.put(out, "claims.md", records.as_markdown(outcomes).encode())
        asked = answers.of(loaded)
        for name, table in answers.tables_of(asked).items():
            put_table(out, name, table)
        script = bundle.result()
        page = report(drawn, missing, loaded, worst_case, outcomes, script, images, asked)
        for name, figure in drawn.items():
            put_figure(out, name, figure)
        for name, (pdf, png) in zip(drawn, copies, strict=False):
            storage.put(out, f"figures/{name}.pdf", pdf)
            storage.put(out, f"figures/{name}.png", png)
        storage.put(out, "report.html", page.encode())
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


def put_figure(out: str, name: str, figure: Drawn) -> None:
    """Write a figure and its numbers."""
    storage.put(out, f"figures/{name}.svg", figure.svg.encode())
    if figure.table is not None:
        put_table(out, name, figure.table)


def put_table(out: str, name: str, table: pl.DataFrame) -> None:
    """Write a table for people and for programs."""
    storage.put(out, f"tables/{name}.md", tables.markdown(table).encode())
    storage.put(out, f"tables/{name}.csv", tables.csv(table).encode())
    storage.put(out, f"tables/{name}.tex", tables.latex(table).encode())


def drawings(loaded: Loaded, pool: Executor, figures: Mapping[str, Figure] = FIGURES) -> Drawings:
    """Every figure that the rows allow, and for every other one what it needs.

    Each is laid out once, in the pool, while the next is prepared. One that fails does not stop
    the others.
    """
    asked: dict[str, tuple[dict[str, Any], Future[str], pl.DataFrame | None]] = {}
    found = Drawings({}, {}, [])
    for name, figure in figures.items():
        try:
            chart = drawn_of(figure, loaded)
            spec = chart.to_dict(validate=False)  # which takes longest; the tests do it
            require_new(name, spec, {other: one for other, (one, *_) in asked.items()})
            svg = pool.submit(vl_convert.vegalite_to_svg, spec)
            asked[name] = spec, svg, tables.of(chart)
        except (NotMeasured, CannotShow) as error:
            found.missing[name] = str(error)
        except Exception as error:
            gave_up(found, name, error)
    for name, (spec, svg, table) in asked.items():
        try:
            found.drawn[name] = Drawn(
                number(name) or spec["title"]["text"], spec, svg.result(), table
            )
        except Exception as error:
            gave_up(found, name, error)
    return found


def require_new(
    name: str, spec: Mapping[str, Any], earlier: Mapping[str, Mapping[str, Any]]
) -> None:
    """Refuse a figure that is the same picture as an earlier one; unless it is of the paper, also
    one that is a part of it.

    Raises:
        NotMeasured: it is.
    """
    if other := duplicates.shown_by(spec, earlier, part=not name.startswith("figure")):
        raise NotMeasured(f"needs more than {other} shows")


def drawn_of(figure: Figure, loaded: Loaded) -> alt.ConcatChart:
    """The figure, of those rows that it reads."""
    rows = loaded.rows.lazy().filter(*figure.reads).select(COLUMNS)  # lazily: only these columns
    return figure.draw(rows.collect(), *(getattr(loaded, table) for table in figure.needs))


def gave_up(found: Drawings, name: str, error: Exception) -> None:
    """Say that the code of a figure failed: where to the user, what in the report."""
    traceback.print_exception(error)
    found.failed.append(name)
    found.missing[name] = f"its code failed: {type(error).__name__}: {error}"


if __name__ == "__main__":
    tolerate_lost_output()
    sys.exit(main())
