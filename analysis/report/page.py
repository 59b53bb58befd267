"""One HTML file that holds everything: figures, tables, pictures, methods, provenance, problems.

It loads nothing from anywhere, and links to nothing but the files that are written beside it.
"""

import html
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version

import altair as alt
import polars as pl

from analysis.claims.verdicts import Outcome
from analysis.figures import layers, theme
from analysis.figures.registry import OF_ANY_GRID
from analysis.report import answers, claims_table, gallery, methods, tables, worst
from analysis.report.drawn import Drawn, contents, figure, labels
from analysis.report.elements import (
    POLICY,
    anchor,
    as_json,
    bullets,
    file,
    files,
    folded,
    script,
    section,
    wide,
)
from analysis.rows.loading import Loaded
from analysis.rows.overview import Overview
from analysis.rows.progress import in_words
from analysis.rows.selection import Comparable
from rotgrid import __version__

QUESTION = "Does robustness to rotations cost robustness to adversarial pixels?"
CLICK = "mrk"
"""The name of the selection that a click on a mark makes."""
NOT_DRAWN = "figures that could not be drawn"
"""The section that says why."""
INDEX = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url=report.html">
<title>rotgrid: report</title>
<a href="report.html">The report</a>
</html>
"""
"""The page that a web server shows for the folder: it leads to the report."""


def report(
    drawn: Mapping[str, Drawn],
    missing: Mapping[str, str],
    loaded: Loaded,
    worst_case: Comparable | None = None,
    outcomes: Sequence[Outcome] = (),
    bundle: str = "",
    pictures: gallery.Gallery | None = None,
    asked: answers.Asked = answers.NOTHING,
) -> str:
    """The page. `missing` says for each figure that could not be drawn what it needs; `bundle` is
    the script that draws the others alive, Vega's own; `pictures` are of images, and `asked` is
    what the grid itself asks."""
    first = {name: one for name, one in drawn.items() if name in OF_ANY_GRID}
    first = first or dict(list(drawn.items())[:1])
    others = {name: one for name, one in drawn.items() if name not in first}
    about = {"gallery": gallery.content(pictures)} if pictures and pictures.pages else {}
    about |= _about(missing, loaded, worst_case, drawn)
    own, ranks = answers.shows(asked), answers.ranks(asked)
    claims = {"claims": _claims(outcomes, drawn)} if outcomes else {}
    title = "rotgrid: " + (", ".join(loaded.grids) or "report")
    return file("template.html").format(
        policy=POLICY,
        style=file("style.css"),
        title=html.escape(title),
        header=_header(loaded, outcomes, asked),
        contents=_contents(
            [
                *_titles(own),
                *contents(first),
                *_titles(ranks),
                *_titles(claims),
                *contents(others),
                *_titles(about),
            ]
        ),
        pick=_buttons(drawn.values()) if drawn else "",
        body="\n".join(
            [
                *_sections(own),
                *_figures(first),
                *_sections(ranks),
                *_sections(claims),
                *_figures(others),
                *_sections(about),
            ]
        ),
        scripts=_scripts(drawn.values(), bundle),
    )


def _figures(drawn: Mapping[str, Drawn]) -> Iterable[str]:
    return [figure(name, one) for name, one in drawn.items()]


def _sections(parts: Mapping[str, str]) -> Iterable[str]:
    return [section(title, content) for title, content in parts.items()]


def _titles(parts: Iterable[str]) -> list[tuple[str, str]]:
    """The ids of sections, and their titles."""
    return [(anchor(title), title.capitalize()) for title in parts]


def _contents(links: Iterable[tuple[str, str]]) -> str:
    """Links to all sections, as items of a list."""
    return "\n".join(
        f'<li><a href="#{name}">{html.escape(title)}</a></li>' for name, title in links
    )


def _about(
    missing: Mapping[str, str],
    loaded: Loaded,
    worst_case: Comparable | None,
    drawn: Mapping[str, Drawn],
) -> dict[str, str]:
    """What follows the figures: title and content."""
    about = {"worst case over rotations": _worst_case(worst_case)} if worst_case else {}
    about["checks"] = _checks(loaded)
    notes = [f"{one.question} {one.number} {one.notes}" for one in drawn.values() if one.notes]
    of_figures = folded(f"Notes on {len(notes)} figures", bullets(notes)) if notes else ""
    about["method"] = bullets(methods.notes(loaded.overview)) + of_figures
    if missing:
        lines = [f"{name}: {reason}" for name, reason in missing.items()]
        about[NOT_DRAWN] = folded(f"{len(lines)}, and what each needs", bullets(lines))
    if loaded.problems:
        about["problems"] = bullets(loaded.problems)
    about["provenance"] = _provenance(loaded.overview, loaded.grids)
    return about


def _header(loaded: Loaded, outcomes: Sequence[Outcome], asked: answers.Asked) -> str:
    whole, progress = loaded.overview, html.escape(in_words(loaded.progress))
    notices = "".join(
        f'<p class="notice" role="note">{html.escape(line[0].upper() + line[1:])}.</p>'
        for line in methods.notices(whole)
    )
    counts = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(number)}</dd></div>"
        for number, name in methods.counts(whole)
    )
    counted = html.escape(claims_table.headline(outcomes)) if outcomes else ""
    of_claims = f"{QUESTION} {claims_table.tradeoff(outcomes)} {counted}" if outcomes else ""
    headline = answers.headlines(asked, of_claims)
    return f'{headline}{notices}<p class="muted">{progress}</p><dl class="counts">{counts}</dl>'


def _claims(outcomes: Sequence[Outcome], drawn: Mapping[str, Drawn]) -> str:
    """The table of claims; those that were not measured are folded away."""
    found = claims_table.tables(outcomes, drawn.keys())
    boxes = {name: wide(name, table) for name, table in found.items()}
    parts = [
        box if name == "claims" else folded(name.capitalize(), box) for name, box in boxes.items()
    ]
    return "\n".join([*parts, files("All claims", ["claims.json", "claims.md"])])


def _buttons(drawn: Iterable[Drawn]) -> str:
    """What a click on a legend or a mark does, for keyboards; and a way back that always works."""
    buttons = "".join(
        f'<button type="button" aria-pressed="false" value="{html.escape(model)}">'
        f"{html.escape(label)}</button>"
        for model, label in labels(drawn).items()
    )
    return (
        '<div class="pick" role="group" aria-label="Highlight a model in all figures">'
        f'<span class="muted">Highlight:</span>{buttons}'
        '<button type="button" value="">Show all</button><output></output></div>'
    )


def _worst_case(worst_case: Comparable) -> str:
    table, notes = (
        tables.as_html(worst_case.rows),
        " ".join([worst.WORDS, *map(str, worst_case.notes)]),
    )
    shown = wide("worst case", table) + tables.links("worst_case")
    return f"<p>{html.escape(notes)}</p>{shown}"


def _checks(loaded: Loaded) -> str:
    """How many networks were checked, and what they fail."""
    failed, words = methods.failed(loaded), f"<p>{html.escape(methods.checked(loaded))}</p>"
    return words + (wide("failed checks", tables.as_html(failed)) if len(failed) else "")


def _provenance(whole: Overview, grids: Sequence[str]) -> str:
    versions = (
        f"Drawn by rotgrid {__version__}, polars {pl.__version__}, altair {alt.__version__}, "
        f"vl-convert {version('vl-convert-python')}. Grids: {', '.join(grids) or 'unknown'}."
    )
    table = tables.as_html(methods.provenance(whole))
    words = f"{versions} {methods.codes(whole)}"
    return f"<p>{html.escape(words)}</p>{wide('provenance', table)}"


def _scripts(drawn: Iterable[Drawn], bundle: str) -> str:
    """Vega's script, and ours. Vega's needs an element of its own: its minified names would
    collide with ours."""
    constants = {
        "COLOURS": theme.DARK,
        "VIRIDIS": theme.VIRIDIS,
        "LEGEND": layers.LEGEND,
        "CLICK": CLICK,
        "LABELS": labels(drawn),
    }
    lines = [f"const {name} = {as_json(value)};" for name, value in constants.items()]
    vega = [script(bundle)] if bundle else []
    return "\n".join([*vega, script(*lines, file("script.js"))])
