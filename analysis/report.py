"""One HTML file that holds everything: figures, tables, methods, provenance, problems.

It loads nothing from anywhere. Figures are alive where scripts run, and pictures elsewhere and in
print.
"""

import base64
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

import altair as alt
import polars as pl
import vl_convert

from analysis import methods, page, panels, tables, theme, worst
from analysis.load import Loaded
from analysis.selection import Comparable
from rotgrid import __version__


class Drawn(NamedTuple):
    """A figure in the forms that the report needs."""

    heading: str
    spec: dict[str, Any]
    svg: str
    table: pl.DataFrame | None


def report(
    drawn: Mapping[str, Drawn],
    missing: Mapping[str, str],
    loaded: Loaded,
    worst_case: Comparable | None = None,
) -> str:
    """The page. `missing` says for each figure that could not be drawn what it needs."""
    rows, problems, grids = loaded.rows, loaded.problems, loaded.grids
    about = {"worst case over turns": _worst_case(worst_case)} if worst_case else {}
    if missing:
        lines = [f"{name}: {reason}" for name, reason in missing.items()]
        about["figures that could not be drawn"] = _list(lines)
    about["checks"] = _checks(loaded)
    about["method"] = _list(methods.notes(rows))
    about["provenance"] = _provenance(rows, grids)
    if problems:
        about["problems"] = _list(problems)
    sections = [_figure(name, figure) for name, figure in drawn.items()]
    sections += [_section(title, content) for title, content in about.items()]
    links = [(name, figure.heading) for name, figure in drawn.items()]
    links += [(_anchor(title), title.capitalize()) for title in about]
    title = "rotgrid: " + (", ".join(grids) or "report")
    return page.HTML.format(
        policy=page.POLICY,
        style=page.STYLE,
        title=html.escape(title),
        header=_header(rows, links),
        body="\n".join(sections),
        scripts=_scripts() if drawn else "",
    )


def _header(rows: pl.DataFrame, links: Iterable[tuple[str, str]]) -> str:
    notices = "".join(
        f'<p class="notice" role="note">{html.escape(line[0].upper() + line[1:])}.</p>'
        for line in methods.notices(rows)
    )
    counts = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(number)}</dd></div>"
        for number, name in methods.counts(rows)
    )
    nav = "\n".join(f'<a href="#{name}">{html.escape(title)}</a>' for name, title in links)
    question = "Does robustness to rotations cost robustness to adversarial pixels?"
    return (
        f'<p class="muted">{question}</p>{notices}<dl class="counts">{counts}</dl>'
        f'<nav aria-label="Contents">{nav}</nav>'
    )


def _figure(name: str, figure: Drawn) -> str:
    words = html.escape(figure.spec["description"], quote=True)
    picture = base64.b64encode(figure.svg.encode()).decode()
    table = ""
    if figure.table is not None:
        table = (
            f"<details><summary>Table ({figure.table.height} rows)</summary>"
            f'<div class="wide">{tables.as_html(figure.table)}</div></details>'
        )
    return f"""<section id="{name}" aria-labelledby="{name}-title">
<h2 id="{name}-title">{html.escape(figure.heading)}</h2>
<figure>
{_buttons(figure.spec)}
<div class="live" role="group" aria-label="{words}"></div>
<div class="still"><img alt="{words}" src="data:image/svg+xml;base64,{picture}"></div>
<script type="application/json">{_json(figure.spec)}</script>
</figure>
{table}
</section>"""


def _buttons(spec: Mapping[str, Any]) -> str:
    """What a click on the legend does, for keyboards; and a way back that always works."""
    if not any(param["name"] == panels.LEGEND for param in spec.get("params", [])):
        return ""
    models = theme.in_order(
        row["model"] for rows in spec["datasets"].values() for row in rows if "model" in row
    )
    buttons = "".join(
        f'<button type="button" aria-pressed="false" value="{html.escape(model)}">'
        f"{html.escape(theme.look(model).label)}</button>"
        for model in models
    )
    return (
        f'<div class="pick" role="group" aria-label="Highlight a model">'
        f'<span class="muted">Highlight:</span>{buttons}'
        f'<button type="button" value="">Show all</button></div>'
    )


def _worst_case(worst_case: Comparable) -> str:
    table, notes = tables.as_html(worst_case.rows), " ".join([worst.WORDS, *worst_case.notes])
    return f'<p>{html.escape(notes)}</p><div class="wide">{table}</div>'


def _checks(loaded: Loaded) -> str:
    """How many networks were checked, and what they fail."""
    failed, words = methods.failed(loaded), f"<p>{html.escape(methods.checked(loaded))}</p>"
    return words + (f'<div class="wide">{tables.as_html(failed)}</div>' if len(failed) else "")


def _provenance(rows: pl.DataFrame, grids: Sequence[str]) -> str:
    versions = (
        f"Drawn by rotgrid {__version__}, polars {pl.__version__}, altair {alt.__version__}, "
        f"vl-convert {version('vl-convert-python')}. Grids: {', '.join(grids) or 'unknown'}."
    )
    table = tables.as_html(methods.provenance(rows))
    return f'<p>{html.escape(versions)}</p><div class="wide">{table}</div>'


def _section(title: str, content: str) -> str:
    name = _anchor(title)
    return (
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">'
        f"{html.escape(title.capitalize())}</h2>\n{content}\n</section>"
    )


def _anchor(title: str) -> str:
    return title.replace(" ", "-")


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "\n".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"


def _scripts() -> str:
    constants = {
        "COLOURS": theme.DARK,
        "VIRIDIS": theme.VIRIDIS,
        "LEGEND": panels.LEGEND,
    }
    lines = "\n".join(f"const {name} = {_json(value)};" for name, value in constants.items())
    # The bundle needs a script of its own: its minified names would collide with ours.
    return (
        f'<script type="module">{_inline(vl_convert.javascript_bundle())}</script>\n'  # type: ignore[call-arg]
        f'<script type="module">{lines}{page.SCRIPT}</script>'
    )


def _json(value: object) -> str:
    """JSON that cannot end the script element around it."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _inline(script: str) -> str:
    return script.replace("</script", "<\\/script")
