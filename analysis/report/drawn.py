"""A figure on the page: alive where scripts run, a picture elsewhere and in print."""

import html
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import polars as pl

from analysis.figures.panels import NOTES
from analysis.report import tables
from analysis.report.elements import as_json, folded, wide
from analysis.rows import vocabulary

UNSEEN = re.compile(r' (?:aria-[a-z]+|role|class|pointer-events)="[^"]*"| opacity="1"')
"""Attributes without which a picture looks the same; it has words of its own."""
QUOTED = re.compile(r'="([^"\']*)"')
DECIMALS = re.compile(r"(\d\.\d\d)\d+")


class Drawn(NamedTuple):
    """A figure in the forms that the report needs."""

    heading: str
    """Its number in the paper, as `Figure 4`, or a few words."""
    spec: dict[str, Any]
    svg: str
    table: pl.DataFrame | None

    @property
    def number(self) -> str:
        """Its number in the paper, or nothing."""
        return self.heading if self.heading.startswith("Figure ") else ""

    @property
    def question(self) -> str:
        """What it answers."""
        return str(self.spec["title"]["text"])

    @property
    def caption(self) -> str:
        """What is drawn, of which rows."""
        return " ".join(self.spec["title"].get("subtitle", []))

    @property
    def notes(self) -> str:
        """How its networks were trained and attacked, and what was chosen."""
        return " ".join(self.spec.get("usermeta", {}).get(NOTES, []))

    @property
    def models(self) -> list[str]:
        """The models that it shows."""
        data = self.spec.get("datasets", {}).values()
        named = (row["model"] for rows in data for row in rows if row.get("model"))
        return vocabulary.in_order(named)


def figure(name: str, drawn: Drawn) -> str:
    """Its section."""
    words = html.escape(drawn.spec["description"], quote=True)
    number = f'<span class="number">{html.escape(drawn.number)}</span>' if drawn.number else ""
    return f"""<section id="{name}" aria-labelledby="{name}-title">
<h2 id="{name}-title">{html.escape(drawn.question)}{number}</h2>
<figure data-models="{html.escape(json.dumps(drawn.models))}">
<div class="live" role="group" aria-label="{words}"></div>
<div class="still"><img alt="{words}" src="{as_uri(drawn.svg)}"></div>
<figcaption>{html.escape(drawn.caption)}</figcaption>
<script type="application/json">{as_json(drawn.spec)}</script>
</figure>
{table(name, drawn)}
</section>"""


def table(name: str, drawn: Drawn) -> str:
    """The numbers behind a figure, folded, if it has any of its own."""
    if drawn.table is None:
        return ""
    content = wide(drawn.heading, tables.as_html(drawn.table))
    return folded(f"Table ({drawn.table.height} rows)", content + tables.links(name))


def as_uri(svg: str) -> str:
    """A picture as the value of an attribute: as text, a third as long as the file in base64."""
    short = QUOTED.sub(r"='\1'", UNSEEN.sub("", svg))
    short = DECIMALS.sub(r"\1", short).replace("\n", " ")
    text = short.replace("%", "%25").replace("#", "%23")
    return "data:image/svg+xml;charset=utf-8," + text.replace("&", "&amp;").replace('"', "&quot;")


def labels(drawn: Iterable[Drawn]) -> dict[str, str]:
    """What the models of all figures are called."""
    models = vocabulary.in_order(model for figure in drawn for model in figure.models)
    return {model: vocabulary.label(model) for model in models}


def contents(drawn: Mapping[str, Drawn]) -> list[tuple[str, str]]:
    """The id of each figure, and what a table of contents calls it: by what it shows."""
    names = {name: f"{one.question} ({one.number})" for name, one in drawn.items() if one.number}
    return [(name, names.get(name, one.heading)) for name, one in drawn.items()]
