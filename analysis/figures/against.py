"""Accuracy against any number or words that a grid varies; colours, dashes and panels for all
else."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from analysis.figures import captions, layers, panels, scales, theme, thinning
from analysis.figures.strengths import eps_axis
from analysis.question import fields
from analysis.question.axes import NUMBERS, Axes, axes, categories, label
from analysis.question.fields import said
from analysis.rows import vocabulary
from analysis.rows.notes import Note
from analysis.rows.phrases import capitalised, listed
from analysis.stats.summary import summary

WIDTH, HEIGHT = 250, 190
MOST_COLUMNS = 4
LOG = ("train_size", "batch_size", "learning_rate", "train_steps")
"""Numbers on a log axis."""
LINE, POINT = (
    f"{mark}: mean over seeds, {around}: 95% interval"
    for mark, around in (("Line", "band"), ("Point", "bar"))
)
ROW = 16
"""Pixels of a point with its bar, and of the gap to the next words."""


def against(rows: pl.DataFrame) -> alt.ConcatChart:
    """Accuracy against the number with the most values."""
    return figure_of(axes(rows))


def against_other(rows: pl.DataFrame) -> alt.ConcatChart:
    """Accuracy against the number with the second most values."""
    return figure_of(axes(rows, 1))


def by_category(rows: pl.DataFrame) -> alt.ConcatChart:
    """Accuracy by words, where no number varies."""
    return figure_of(categories(rows))


def figure_of(shown: Axes) -> alt.ConcatChart:
    """A panel for each combination of what neither x, colour nor dash shows."""
    kinds = [*shown.lines, "variant"]
    kept = shown.rows
    fewer: list[Note] = []
    if shown.x in NUMBERS:
        kept, fewer = thinning.thinned_to_fit(kept, shown.x, list(dict.fromkeys(kinds)))
    conditions = list(dict.fromkeys(["model", "variant", *shown.lines, shown.x]))
    data = with_panels(summary(kept, conditions), shown.panels)
    look = encodings(data, shown)
    names = data["_panel"].unique(maintain_order=True).to_list()
    drawn = [panel(data, name, shown, look, conditions) for name in names]
    outlined = any(layers.has_outlines(one) for one in drawn)
    failing = captions.failing(kept, outlined=outlined)
    return panels.titled(
        question(shown),
        [f"{failing} {encoded(shown)}".strip(), captions.measured(kept)],
        drawn,
        data,
        columns=columns(data, shown.panels),
        selectable=shown.colour == "model",
        notes=[
            captions.sample(kept),
            captions.attacks(kept),
            *shown.notes,
            *map(str, fewer),
            captions.flagged(kept, outlined=outlined),
        ],
    )


def with_panels(data: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Adds the title of the panel of each row, in the order of the panels."""
    titles = [capitalised(label(row, tuple(names))) for row in data.iter_rows(named=True)]
    known = vocabulary.in_order(data["attack"], vocabulary.ATTACKS) if "attack" in names else []
    attacks = known[::-1]  # the strongest first
    order = [pl.col(n).cast(pl.Enum(attacks)) if n == "attack" else pl.col(n) for n in names]
    return data.with_columns(pl.Series("_panel", titles, pl.String)).sort(
        order or "model", maintain_order=True
    )


def columns(data: pl.DataFrame, names: Sequence[str]) -> int:
    """How many panels stand side by side: the values of the last field, if so many fit."""
    count = data[names[-1]].n_unique() if len(names) > 1 else data["_panel"].n_unique()
    return max(1, min(int(count), MOST_COLUMNS))


def encodings(data: pl.DataFrame, shown: Axes) -> dict[str, Any]:
    """Colours and dashes."""
    if shown.colour == "model":
        look = layers.model_encodings(data["model"])
    elif data.schema[shown.colour].is_numeric():
        title = theme.title(shown.colour).partition(" (")[0]
        look = layers.shades(shown.colour, data[shown.colour], title)
    else:
        look = layers.palette(shown.colour, named(data, shown.colour))
    if shown.dash:
        words = {v: f"{shown.dash} {name}" for v, name in named(data, shown.dash).items()}
        look["strokeDash"] = layers.dash_encoding(shown.dash, words)
    return look


def named(data: pl.DataFrame, field: str) -> dict[str, str]:
    """The values of a field in their order, and what readers call them."""
    of_models = field == "model"  # here without their variants
    values = vocabulary.in_order(data[field]) if of_models else fields.values(data, field)
    return {value: said(field, value) for value in values}


def panel(
    data: pl.DataFrame, name: str, shown: Axes, look: dict[str, Any], told: Sequence[str]
) -> alt.LayerChart:
    """The lines or points of one panel, on axes that all panels share."""
    only = {"_panel": name}
    if shown.x in NUMBERS:
        marks = layers.accuracy_lines(data, x_axis(data, shown), look, told)
        return panels.panel(marks, name, only, width=WIDTH, height=HEIGHT)
    places = 1
    if shown.colour != shown.x:
        places = data[shown.colour].n_unique()
        order = list(named(data, shown.colour))
        offset = alt.YOffset(f"{shown.colour}:N", scale=dict(domain=order))
        look = look | {"yOffset": offset}
    marks = layers.accuracy_dots(data, words_axis(data, shown.x), look, told)
    height = ROW * (places + 1) * data[shown.x].n_unique()
    return panels.panel(marks, name, only, width=WIDTH, height=height)


def words_axis(data: pl.DataFrame, field: str) -> alt.Y:
    """The axis of words, in the order in which readers know them."""
    names = named(data, field)
    return alt.Y(
        f"{field}:N",
        title=theme.title(field),
        scale=dict(domain=list(names)),
        axis=dict(labelExpr=theme.labels(names), labelLimit=layers.LABEL_WIDTH, grid=False),
    )


def x_axis(data: pl.DataFrame, shown: Axes) -> alt.X:
    """The axis of the number, with ticks at measured values."""
    x, values = shown.x, sorted(set(data[shown.x]))
    if x == "eps":
        unit, threat = shown.rows.select("eps_unit", "threat").row(0)
        return eps_axis(data.with_columns(eps_unit=pl.lit(unit), threat=pl.lit(threat)))
    if x.endswith("rotation"):
        return scales.rotation_x(x, float(values[-1]), theme.title(x).split(" (")[0], WIDTH)
    if x in LOG and values[0] > 0:
        return scales.measured_x(x, values, theme.title(x), log=True)
    return scales.measured_x(x, values, theme.title(x))


def question(shown: Axes) -> str:
    """What the figure shows, in words."""
    by = [name for name in shown.lines if shown.rows[name].n_unique() > 1]
    others = f", by {spoken(by)}" if by else ""
    if shown.x not in NUMBERS:
        eps = max(shown.rows["eps"])
        words = spoken(list(dict.fromkeys([shown.x, *by])))
        at_eps = f" at eps {eps:g}{captions.ball(shown.rows)}" if eps else ""
        return f"Accuracy by {words}{at_eps}"
    return f"Accuracy against {spoken([shown.x])}{others}"


def spoken(names: Sequence[str]) -> str:
    """The names of fields in a sentence."""
    return listed([name.replace("_", " ") for name in names])


def encoded(shown: Axes) -> str:
    """What is drawn: a line's meaning, and what colours, dashes and panels stand for."""
    parts = [("colour", [shown.colour]), ("dash", [shown.dash] if shown.dash else [])]
    parts.append(("panels", list(shown.panels)))
    words = [
        f"{what}: {spoken(names)}"
        for what, names in parts
        if any(shown.rows[name].n_unique() > 1 for name in names)
    ]
    return f"{'; '.join([LINE if shown.x in NUMBERS else POINT, *words])}."
