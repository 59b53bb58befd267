"""The numbers behind a figure: frame -> CSV, Parquet, Markdown, LaTeX or HTML."""

import functools
import html
import io
import re
from collections.abc import Callable, Iterator, Sequence

import altair as alt
import polars as pl

from analysis.figures import theme
from analysis.report.elements import files

LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "°": r"$^{\circ}$",
}
"""What LaTeX needs to print these characters."""
MARKUP = re.compile(r"[\\|<>&*`\[\]~]|(?<!\w)_|_(?!\w)")
"""What Markdown would not print as it is."""


def of(chart: alt.ConcatChart) -> pl.DataFrame | None:
    """The aggregated frame that a figure draws, without what serves only the drawing; None if the
    figure only joins others."""
    if not isinstance(chart.data, pl.DataFrame):
        return None
    return chart.data.select(c for c in chart.data.columns if not c.startswith("_"))


def csv(table: pl.DataFrame) -> str:
    """Comma-separated, with full precision; accuracies are shares between 0 and 1."""
    return table.write_csv()


def parquet(table: pl.DataFrame) -> bytes:
    """A Parquet file, with full precision and types."""
    file = io.BytesIO()
    table.write_parquet(file)
    return file.getvalue()


def markdown(table: pl.DataFrame) -> str:
    """A Markdown table for people: accuracies in percent with two decimals."""
    lines = ["| " + " | ".join(_header(name) for name in table.columns) + " |"]
    right = [dtype.is_numeric() for dtype in table.dtypes]
    lines.append("|" + "|".join("---:" if number else "---" for number in right) + "|")
    lines += ["| " + " | ".join(cells) + " |" for cells in _cells(table, _escape_markdown)]
    return "\n".join(lines) + "\n"


def latex(table: pl.DataFrame) -> str:
    """A LaTeX tabular with the rules of booktabs, and the numbers of `markdown`."""
    numeric = [dtype.is_numeric() for dtype in table.dtypes]
    columns = "".join("r" if number else "l" for number in numeric)
    head = [_escape_latex(_header(name)) for name in table.columns]
    body = [
        [_minus(cell) if number else cell for cell, number in zip(cells, numeric, strict=True)]
        for cells in _cells(table, _escape_latex)
    ]
    lines = [r"\toprule", _latex_row(head), r"\midrule", *map(_latex_row, body), r"\bottomrule"]
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            rf"\begin{{tabular}}{{{columns}}}",
            *lines,
            "\\end{tabular}\n",
        ]
    )


FORMATS: dict[str, Callable[[pl.DataFrame], bytes]] = {
    "csv": lambda table: csv(table).encode(),
    "parquet": parquet,
    "md": lambda table: markdown(table).encode(),
    "tex": lambda table: latex(table).encode(),
}
"""The files that a table is written as, by their ending."""


def links(name: str) -> str:
    """Links to these files of a table, which are beside the page."""
    return files("This table", [f"tables/{name}.{ending}" for ending in FORMATS])


def as_html(table: pl.DataFrame) -> str:
    """A table element; the titles of its columns are spelled out in their tooltips."""
    titles = {name: html.escape(theme.title(name)) for name in table.columns}
    heads = "".join(
        f'<th scope="col" title="{title}">{_breakable(html.escape(_header(name)))}</th>'
        for name, title in titles.items()
    )
    starts = ['<td class="number">' if dtype.is_numeric() else "<td>" for dtype in table.dtypes]
    rows = "".join(
        "<tr>" + "".join(map("{}{}</td>".format, starts, cells)) + "</tr>\n"
        for cells in _cells(table, html.escape)
    )
    return f"<table><thead><tr>{heads}</tr></thead>\n<tbody>{rows}</tbody></table>"


def _breakable(text: str) -> str:
    """The text with places where a narrow column may break it."""
    return text.replace("_", "_<wbr>")


def _header(name: str) -> str:
    return f"{name} (%)" if theme.is_share(name) else name


def _cells(table: pl.DataFrame, escape: Callable[[str], str]) -> Iterator[tuple[str, ...]]:
    """The cells of each row; of long tables every value of a column is written once."""
    columns = []
    for column in table:
        share = theme.is_share(column.name)
        written = functools.cache(lambda value, share=share: escape(_cell(value, share)))
        columns.append([written(value) for value in column])
    return zip(*columns, strict=True)


def _cell(value: object, share: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{100 * value:.2f}" if share else f"{value + 0.0:g}"  # no -0
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _escape_markdown(text: str) -> str:
    return MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def _escape_latex(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _minus(number: str) -> str:
    """A minus sign where there was a hyphen."""
    return f"$-${number[1:]}" if number.startswith("-") else number
