"""The elements that the page is made of, as HTML."""

import html
import json
from collections.abc import Iterable
from pathlib import Path

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data:"
)
"""Nothing may be loaded: the browser refuses what the page does not ask for anyway."""


def file(name: str) -> str:
    """A file of this package: template, style or script."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def anchor(title: str) -> str:
    """The id of a section."""
    return title.replace(" ", "-")


def section(title: str, content: str) -> str:
    """A section with its title, linked to by `anchor`."""
    name = anchor(title)
    return (
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">'
        f"{html.escape(title.capitalize())}</h2>\n{content}\n</section>"
    )


def folded(summary: str, content: str) -> str:
    """What unfolds on request."""
    return f"<details><summary>{html.escape(summary)}</summary>{content}</details>"


def wide(name: str, content: str) -> str:
    """A table that scrolls, also by keyboard."""
    words = html.escape(name, quote=True)
    return f'<div class="wide" role="region" aria-label="{words}" tabindex="0">{content}</div>'


def files(what: str, paths: Iterable[str]) -> str:
    """Links to the same content in other formats, in files beside the page."""
    links = (f'<a href="{path}" download>{path.rpartition(".")[2].upper()}</a>' for path in paths)
    return f'<p class="files">{what} as a file: {", ".join(links)}</p>'


def bullets(lines: Iterable[str]) -> str:
    """Lines of text as a list."""
    return "<ul>" + "\n".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"


def as_json(value: object) -> str:
    """JSON that cannot end the script element around it."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def script(*parts: str) -> str:
    """A module with this content."""
    text = "\n".join(parts).replace("</script", "<\\/script")
    return f'<script type="module">{text}</script>'
