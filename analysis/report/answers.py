"""What the grid itself asks, on the page: its headline, its effects, its leaderboard."""

import html
import re
from collections.abc import Mapping
from typing import NamedTuple

import polars as pl

from analysis.question.answer import Answer, answer
from analysis.question.leaderboard import Leaderboard, leaderboard
from analysis.report import tables
from analysis.report.elements import folded, wide
from analysis.rows.loading import Loaded

MEANING = (
    "Each row compares networks and tests that differ in one field only, averaged over the "
    "settings of all else in which both were measured; seeds are the same and, within a data set, "
    "images are paired. The interval is of one comparison by itself; p, and with it the verdict, "
    "is adjusted for all effects (Holm). Described: fewer than three seeds, so that it holds for "
    "these networks only. Mixed: some settings speak for it, some against."
)


class Asked(NamedTuple):
    """What a grid asks, as far as its rows answer."""

    answer: Answer | None
    board: Leaderboard | None


NOTHING = Asked(None, None)


def of(loaded: Loaded) -> Asked:
    """From all that was loaded."""
    return Asked(answer(loaded.rows), leaderboard(loaded.rows, loaded.training))


def tables_of(asked: Asked) -> Mapping[str, pl.DataFrame]:
    """The tables that are written, by name."""
    found = {"effects": asked.answer.every} if asked.answer else {}
    return found | ({"leaderboard": asked.board.table} if asked.board else {})


def in_short(effects: pl.DataFrame) -> pl.DataFrame:
    """The effects with both ends of the interval in one column, and p in three decimals."""
    low, high, p = pl.col("lower"), pl.col("upper"), pl.col("p")
    small = pl.when(p < 0.001).then(pl.lit("< 0.001")).otherwise(p.round(3).cast(pl.String))
    ends = [(100 * end).round(1).cast(pl.String) for end in (low, high)]
    interval = pl.format("[{}, {}]", *ends).alias("95% interval")
    return effects.select(
        "field",
        "compared",
        "difference",
        interval,
        "outcome",
        "verdict",
        small.alias("p"),
        "settings",
        "n",
        "seeds",
    )


def headlines(asked: Asked, of_claims: str) -> str:
    """The grid's own headline, or else that of the claims; below it the latter."""
    if asked.answer is None:
        return f'<p class="headline">{of_claims}</p>' if of_claims else ""
    below = f"<p>{of_claims}</p>" if of_claims else ""
    return f'<p class="headline">{marked(asked.answer.headline)}</p>{below}'


def shows(asked: Asked) -> dict[str, str]:
    """The section that the page begins with: title and content."""
    found = {}
    if asked.answer:
        lines = "".join(f"<li>{marked(line)}</li>" for line in asked.answer.lines)
        shown, every = (
            wide(name, tables.as_html(table))
            for name, table in (
                ("effects", in_short(asked.answer.table)),
                ("all effects", in_short(asked.answer.every)),
            )
        )
        more = folded(f"All effects and interactions ({asked.answer.every.height})", every)
        meaning = f'<p class="muted">{MEANING}</p>'
        files = tables.links("effects")
        found["what this grid shows"] = f"<ul>{lines}</ul>{shown}{more}{files}{meaning}"
    return found


def ranks(asked: Asked) -> dict[str, str]:
    """The section of the leaderboard: title and content."""
    found = {}
    if asked.board:
        table = wide("leaderboard", tables.as_html(asked.board.table))
        words = f"<p>{html.escape(asked.board.words)}</p>"
        found["leaderboard"] = words + table + tables.links("leaderboard")
    return found


def marked(text: str) -> str:
    """Text as HTML, with names in backticks as code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(text))
