"""`python -m analysis RESULTS [RESULTS ...] --out DIR`: report, figures and tables as files."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor

import polars as pl
import vl_convert

from analysis import claims, pictures, star, tables, worst
from analysis.figures import COLUMNS, FIGURES, Figure
from analysis.load import Loaded, NoResults, gather
from analysis.report import Drawn, report
from analysis.selection import NotMeasured
from rotgrid import storage

WHOLE = 1_000_000
"""Of more rows the outcomes of single images, which need most of the memory, are not kept."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw what can be drawn; 0 if there was anything, 2 if not or on wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m analysis", description=__doc__)
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="a folder or URI of results")
    parser.add_argument("--out", metavar="DIR", help="where to write (default: RESULTS/report)")
    options = parser.parse_args(arguments)
    out = options.out or default_out(options.results)
    if out is None:
        parser.error("--out is needed unless there is one RESULTS, a local folder")
    try:
        print(draw(options.results, out))
    except NoResults as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def default_out(locations: Sequence[str]) -> str | None:
    """`RESULTS/report`, if there is one RESULTS and it is local."""
    if len(locations) != 1 or "://" in locations[0]:
        return None
    return os.path.join(locations[0], "report")


def draw(locations: Sequence[str], out: str) -> str:
    """Write `report.html`, `claims.json`, `claims.md`, `figures/` and `tables/` of the results to
    `out`; the report's path.

    Problems, and figures that could not be drawn, go to stderr and into the report.

    Raises:
        NoResults: there is not one valid row.
    """
    loaded = gather(*locations, whole=WHOLE)
    if not star.height(loaded.rows):
        raise NoResults("\n".join(["there are no results to draw", *loaded.problems]))
    with pictures.beside() as pool:
        bundle = pool.submit(vl_convert.javascript_bundle)  # type: ignore[call-arg]
        drawn, missing = drawings(loaded, pool)
        printed = pictures.printed(pool, [figure.svg for figure in drawn.values()])
        outcomes = claims.judge(star.outcomes(loaded.rows))
        for line in [*loaded.problems, *(f"{n} not drawn: {why}" for n, why in missing.items())]:
            print(line, file=sys.stderr)
        try:
            worst_case = worst.worst_case(star.narrow(loaded.rows, worst.READS))
            put_table(out, "worst_case", worst_case.rows)
        except NotMeasured:
            worst_case = None
        storage.put(out, "claims.json", claims.as_json(outcomes).encode())
        storage.put(out, "claims.md", claims.as_markdown(outcomes).encode())
        page = report(drawn, missing, loaded, worst_case, outcomes, bundle.result())
        for (name, figure), (pdf, png) in zip(drawn.items(), printed, strict=True):
            put_figure(out, name, figure, pdf, png)
        storage.put(out, "report.html", page.encode())
    return os.path.join(out, "report.html") if "://" not in out else f"{out}/report.html"


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
