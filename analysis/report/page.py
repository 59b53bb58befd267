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

from analysis.claims.verdicts import Outcome
from analysis.figures import layers, theme
from analysis.report import claims_table, methods, tables, template, worst
from analysis.rows import vocabulary
from analysis.rows.loading import Loaded
from analysis.rows.overview import Overview
from analysis.rows.selection import Comparable
from rotgrid import __version__

CLICK = "mrk"
"""The name of the selection that a click on a mark makes."""
NOT_DRAWN = "figures that could not be drawn"
"""The section that says why."""


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
    outcomes: Sequence[Outcome] = (),
    bundle: str = "",
) -> str:
    """The page. `missing` says for each figure that could not be drawn what it needs; `bundle` is
    the script that draws the others alive, Vega's own."""
    first = dict(list(drawn.items())[:1])
    sections = [_figure(name, figure) for name, figure in first.items()]
    if outcomes:
        sections.append(_section("claims", _claims(outcomes, drawn)))
    sections += [_figure(name, figure) for name, figure in drawn.items() if name not in first]
    about = _about(missing, loaded, worst_case)
    sections += [_section(title, content) for title, content in about.items()]
    links = [(name, figure.heading) for name, figure in first.items()]
    links += [("claims", "Claims")] if outcomes else []
    links += [(name, figure.heading) for name, figure in drawn.items() if name not in first]
    links += [(_anchor(title), title.capitalize()) for title in about]
    title = "rotgrid: " + (", ".join(loaded.grids) or "report")
    return template.HTML.format(
        policy=template.POLICY,
        style=template.STYLE,
        title=html.escape(title),
        header=_header(loaded.overview, links, outcomes),
        pick=_buttons(drawn.values()) if drawn else "",
        body="\n".join(sections),
        scripts=_scripts(drawn.values(), bundle) if drawn else "",
    )


def _about(
    missing: Mapping[str, str], loaded: Loaded, worst_case: Comparable | None
) -> dict[str, str]:
    """What follows the figures: title and content."""
    about = {"worst case over turns": _worst_case(worst_case)} if worst_case else {}
    about["checks"] = _checks(loaded)
    about["method"] = _list(methods.notes(loaded.overview))
    if missing:
        lines = [f"{name}: {reason}" for name, reason in missing.items()]
        about[NOT_DRAWN] = _list(lines)
    if loaded.problems:
        about["problems"] = _list(loaded.problems)
    about["provenance"] = _provenance(loaded.overview, loaded.grids)
    return about


def _header(whole: Overview, links: Iterable[tuple[str, str]], outcomes: Sequence[Outcome]) -> str:
    notices = "".join(
        f'<p class="notice" role="note">{html.escape(line[0].upper() + line[1:])}.</p>'
        for line in methods.notices(whole)
    )
    counts = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(number)}</dd></div>"
        for number, name in methods.counts(whole)
    )
    nav = "\n".join(f'<a href="#{name}">{html.escape(title)}</a>' for name, title in links)
    question = "Does robustness to rotations cost robustness to adversarial pixels?"
    headline = (
        f'<p class="headline">{html.escape(claims_table.headline(outcomes))}</p>'
        if outcomes
        else ""
    )
    return (
        f'<p class="muted">{question}</p>{headline}{notices}<dl class="counts">{counts}</dl>'
        f'<nav aria-label="Contents">{nav}</nav>'
    )


def _claims(outcomes: Sequence[Outcome], drawn: Mapping[str, Drawn]) -> str:
    """The table of claims; those that were not measured are folded away."""
    wide = {n: _wide(n, table) for n, table in claims_table.tables(outcomes, drawn.keys()).items()}
    return "\n".join(
        table if name == "claims" else _folded(name.capitalize(), table)
        for name, table in wide.items()
    )


def _folded(summary: str, content: str) -> str:
    return f"<details><summary>{html.escape(summary)}</summary>{content}</details>"


def _figure(name: str, figure: Drawn) -> str:
    words = html.escape(figure.spec["description"], quote=True)
    picture = base64.b64encode(figure.svg.encode()).decode()
    table = ""
    if figure.table is not None:
        content = _wide(figure.heading, tables.as_html(figure.table))
        table = _folded(f"Table ({figure.table.height} rows)", content)
    return f"""<section id="{name}" aria-labelledby="{name}-title">
<h2 id="{name}-title">{html.escape(figure.heading)}</h2>
<figure data-models="{html.escape(json.dumps(_models(figure.spec)))}">
<div class="live" role="group" aria-label="{words}"></div>
<div class="still"><img alt="{words}" src="data:image/svg+xml;base64,{picture}"></div>
<script type="application/json">{_json(figure.spec)}</script>
</figure>
{table}
</section>"""


def _models(spec: Mapping[str, Any]) -> list[str]:
    """The models that a figure shows."""
    data = spec.get("datasets", {}).values()
    return vocabulary.in_order(row["model"] for rows in data for row in rows if row.get("model"))


def _buttons(drawn: Iterable[Drawn]) -> str:
    """What a click on a legend or a mark does, for keyboards; and a way back that always works."""
    buttons = "".join(
        f'<button type="button" aria-pressed="false" value="{html.escape(model)}">'
        f"{html.escape(label)}</button>"
        for model, label in _labels(drawn).items()
    )
    return (
        '<div class="pick" role="group" aria-label="Highlight a model in all figures">'
        f'<span class="muted">Highlight:</span>{buttons}'
        '<button type="button" value="">Show all</button><output></output></div>'
    )


def _labels(drawn: Iterable[Drawn]) -> dict[str, str]:
    """What the models of all figures are called."""
    models = vocabulary.in_order(model for figure in drawn for model in _models(figure.spec))
    return {model: vocabulary.label(model) for model in models}


def _wide(name: str, content: str) -> str:
    """A table that scrolls, also by keyboard."""
    words = html.escape(name, quote=True)
    return f'<div class="wide" role="region" aria-label="{words}" tabindex="0">{content}</div>'


def _worst_case(worst_case: Comparable) -> str:
    table, notes = (
        tables.as_html(worst_case.rows),
        " ".join([worst.WORDS, *map(str, worst_case.notes)]),
    )
    return f"<p>{html.escape(notes)}</p>{_wide('worst case', table)}"


def _checks(loaded: Loaded) -> str:
    """How many networks were checked, and what they fail."""
    failed, words = methods.failed(loaded), f"<p>{html.escape(methods.checked(loaded))}</p>"
    return words + (_wide("failed checks", tables.as_html(failed)) if len(failed) else "")


def _provenance(whole: Overview, grids: Sequence[str]) -> str:
    versions = (
        f"Drawn by rotgrid {__version__}, polars {pl.__version__}, altair {alt.__version__}, "
        f"vl-convert {version('vl-convert-python')}. Grids: {', '.join(grids) or 'unknown'}."
    )
    table = tables.as_html(methods.provenance(whole))
    words = f"{versions} {methods.codes(whole)}"
    return f"<p>{html.escape(words)}</p>{_wide('provenance', table)}"


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


def _scripts(drawn: Iterable[Drawn], bundle: str) -> str:
    constants = {
        "COLOURS": theme.DARK,
        "VIRIDIS": theme.VIRIDIS,
        "LEGEND": layers.LEGEND,
        "CLICK": CLICK,
        "LABELS": _labels(drawn),
    }
    lines = "\n".join(f"const {name} = {_json(value)};" for name, value in constants.items())
    # The bundle needs a script of its own: its minified names would collide with ours.
    return (
        f'<script type="module">{_inline(bundle)}</script>\n'
        f'<script type="module">{lines}\n{template.SCRIPT}</script>'
    )


def _json(value: object) -> str:
    """JSON that cannot end the script element around it."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _inline(script: str) -> str:
    return script.replace("</script", "<\\/script")
