"""The numbers behind a figure as text: frame -> Markdown, CSV or HTML."""

import html
from collections.abc import Callable

import altair as alt
import polars as pl

from analysis import theme


def of(chart: alt.ConcatChart) -> pl.DataFrame | None:
    """The aggregated frame that a figure draws, without what serves only the drawing; None if the
    figure only joins others."""
    if not isinstance(chart.data, pl.DataFrame):
        return None
    return chart.data.select(c for c in chart.data.columns if not c.startswith("_"))


def csv(table: pl.DataFrame) -> str:
    """Comma-separated, with full precision; accuracies are shares between 0 and 1."""
    return table.write_csv()


def markdown(table: pl.DataFrame) -> str:
    """A Markdown table for people: accuracies in percent with two decimals."""
    lines = ["| " + " | ".join(_header(name) for name in table.columns) + " |"]
    right = [dtype.is_numeric() for dtype in table.dtypes]
    lines.append("|" + "|".join("---:" if number else "---" for number in right) + "|")
    lines += ["| " + " | ".join(cells) + " |" for cells in _cells(table, _escape_pipe)]
    return "\n".join(lines) + "\n"


def as_html(table: pl.DataFrame) -> str:
    """A table element; the titles of its columns are spelled out in their tooltips."""
    titles = {name: html.escape(theme.title(name)) for name in table.columns}
    heads = "".join(
        f'<th scope="col" title="{title}">{html.escape(_header(name))}</th>'
        for name, title in titles.items()
    )
    rows = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>\n"
        for cells in _cells(table, html.escape)
    )
    return f"<table><thead><tr>{heads}</tr></thead>\n<tbody>{rows}</tbody></table>"


def _header(name: str) -> str:
    return f"{name} (%)" if theme.is_share(name) else name


def _cells(table: pl.DataFrame, escape: Callable[[str], str]) -> list[list[str]]:
    return [
        [escape(_cell(name, value)) for name, value in zip(table.columns, row, strict=True)]
        for row in table.iter_rows()
    ]


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{100 * value:.2f}" if theme.is_share(name) else f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _escape_pipe(text: str) -> str:
    return text.replace("|", "\\|")
