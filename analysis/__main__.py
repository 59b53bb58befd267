"""`python -m analysis RESULTS [RESULTS ...] --out DIR`: report, figures and tables as files."""

import argparse
import os
import sys
from collections.abc import Sequence

import polars as pl
import vl_convert

from analysis import claims, tables, worst
from analysis.figures import FIGURES, Figure
from analysis.load import Loaded, NoResults, read
from analysis.report import Drawn, report
from analysis.selection import NotMeasured
from rotgrid import storage

PPI = 150
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
    loaded = read(*locations, whole=WHOLE)
    if loaded.rows.is_empty():
        raise NoResults("\n".join(["there are no results to draw", *loaded.problems]))
    drawn, missing = drawings(loaded)
    outcomes = claims.judge(loaded.rows)
    for line in [*loaded.problems, *(f"{name} not drawn: {why}" for name, why in missing.items())]:
        print(line, file=sys.stderr)
    try:
        worst_case = worst.worst_case(loaded.rows)
        put_table(out, "worst_case", worst_case.rows)
    except NotMeasured:
        worst_case = None
    for name, figure in drawn.items():
        put_figure(out, name, figure)
    storage.put(out, "claims.json", claims.as_json(outcomes).encode())
    storage.put(out, "claims.md", claims.as_markdown(outcomes).encode())
    page = report(drawn, missing, loaded, worst_case, outcomes)
    storage.put(out, "report.html", page.encode())
    return os.path.join(out, "report.html") if "://" not in out else f"{out}/report.html"


def put_figure(out: str, name: str, figure: Drawn) -> None:
    """Write a figure as vectors, for print and as pixels, and its numbers."""
    storage.put(out, f"figures/{name}.svg", figure.svg.encode())
    storage.put(out, f"figures/{name}.pdf", vl_convert.svg_to_pdf(figure.svg))
    storage.put(out, f"figures/{name}.png", vl_convert.svg_to_png(figure.svg, ppi=PPI))
    if figure.table is not None:
        put_table(out, name, figure.table)


def put_table(out: str, name: str, table: pl.DataFrame) -> None:
    """Write a table for people and for programs."""
    storage.put(out, f"tables/{name}.md", tables.markdown(table).encode())
    storage.put(out, f"tables/{name}.csv", tables.csv(table).encode())
    storage.put(out, f"tables/{name}.tex", tables.latex(table).encode())


def drawings(loaded: Loaded) -> tuple[dict[str, Drawn], dict[str, str]]:
    """Every figure that the rows allow, and for every other one what it needs."""
    drawn, missing = {}, {}
    for name, figure in FIGURES.items():
        try:
            drawn[name] = drawing(figure, loaded)
        except (NotMeasured, ValueError) as error:  # ValueError: too many or mixed rows
            missing[name] = str(error)
    return drawn, missing


def drawing(figure: Figure, loaded: Loaded) -> Drawn:
    """One figure in all forms; it is laid out once, and PDF and PNG are made of that."""
    chart = figure.draw(loaded.rows, *(getattr(loaded, table) for table in figure.needs))
    spec = chart.to_dict()
    return Drawn(figure.heading, spec, vl_convert.vegalite_to_svg(spec), tables.of(chart))


if __name__ == "__main__":
    sys.exit(main())
