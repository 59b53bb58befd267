"""Accuracy against any number that a grid varies; colours, dashes and panels for all else."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from analysis.figures import captions, layers, panels, scales, theme, thinning
from analysis.figures.strengths import eps_axis
from analysis.question.axes import Axes, axes, label
from analysis.question.fields import said
from analysis.rows import vocabulary
from analysis.rows.phrases import listed
from analysis.stats.summary import summary

WIDTH, HEIGHT = 250, 190
MOST_COLUMNS = 4
LOG = ("train_size", "batch_size", "learning_rate", "train_steps")
"""Numbers on a log axis."""
BANDS = "mean over seeds, band: 95% interval"


def against(rows: pl.DataFrame) -> alt.ConcatChart:
    """Accuracy against the number with the most values."""
    return figure_of(axes(rows))


def against_other(rows: pl.DataFrame) -> alt.ConcatChart:
    """Accuracy against the number with the second most values."""
    return figure_of(axes(rows, 1))


def figure_of(shown: Axes) -> alt.ConcatChart:
    """A panel for each combination of what neither x, colour nor dash shows."""
    kinds = [*shown.lines, "variant"]
    kept, fewer = thinning.thinned_to_fit(shown.rows, shown.x, list(dict.fromkeys(kinds)))
    conditions = list(dict.fromkeys(["model", "variant", *shown.lines, shown.x]))
    data = with_panels(summary(kept, conditions), shown.panels)
    look = encodings(data, shown)
    names = data["_panel"].unique(maintain_order=True).to_list()
    tips = [*conditions, "accuracy", "lower", "upper", "seeds", "n"][:8]
    drawn = [panel(data, name, shown, look, tips) for name in names]
    outlined = any(layers.has_outlines(one) for one in drawn)
    return panels.titled(
        question(shown),
        [encoded(shown), captions.measured(kept), captions.flagged(kept, outlined=outlined)],
        drawn,
        data,
        columns=columns(data, shown.panels),
        selectable=shown.colour == "model",
        notes=[captions.sample(kept), captions.attacks(kept), *shown.notes, *map(str, fewer)],
    )


def with_panels(data: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Adds the title of the panel of each row, in the order of the panels."""
    titles = [label(row, tuple(names)) for row in data.iter_rows(named=True)]
    known = vocabulary.in_order(data["attack"], vocabulary.ATTACKS) if "attack" in names else []
    attacks = known[::-1]  # the strongest first
    order = [pl.col(n).cast(pl.Enum(attacks)) if n == "attack" else pl.col(n) for n in names]
    return data.with_columns(pl.Series("_panel", titles, pl.String)).sort(order or "model")


def columns(data: pl.DataFrame, names: Sequence[str]) -> int:
    """How many panels stand side by side: the values of the last field, if so many fit."""
    count = data[names[-1]].n_unique() if len(names) > 1 else data["_panel"].n_unique()
    return max(1, min(int(count), MOST_COLUMNS))


def encodings(data: pl.DataFrame, shown: Axes) -> dict[str, Any]:
    """Colours and dashes."""
    if shown.colour == "model":
        look = layers.model_encodings(data["model"])
    else:
        values = data[shown.colour].unique(maintain_order=True).sort().to_list()
        look = {"color": layers.palette(shown.colour, {v: said(shown.colour, v) for v in values})}
    if shown.dash:
        values = data[shown.dash].unique().sort(descending=shown.dash == "adversary").to_list()
        look["strokeDash"] = layers.dash_encoding(
            shown.dash, {v: f"{shown.dash} {said(shown.dash, v)}" for v in values}
        )
    return look


def panel(
    data: pl.DataFrame, name: str, shown: Axes, look: dict[str, Any], tips: Sequence[str]
) -> alt.LayerChart:
    """The lines of one panel, on axes that all panels share."""
    marks = layers.accuracy_lines(
        data.filter(_panel=name), x_axis(data, shown), scales.FROM_0_TO_1, look, tips
    )
    return panels.panel(marks, name, {"_panel": name}, width=WIDTH, height=HEIGHT)


def x_axis(data: pl.DataFrame, shown: Axes) -> alt.X:
    """The axis of the number, with ticks at measured values."""
    x, values = shown.x, sorted(set(data[shown.x]))
    if x == "eps":
        unit, threat = shown.rows.select("eps_unit", "threat").row(0)
        return eps_axis(data.with_columns(eps_unit=pl.lit(unit), threat=pl.lit(threat)))
    if x.endswith("rotation"):
        return scales.rotation_x(x, float(values[-1]), theme.title(x).split(" (")[0], WIDTH)
    if x in LOG and values[0] > 0:
        return scales.log_x(x, values, f"{theme.title(x)} (log axis)")
    domain = dict(domain=[values[0], values[-1]], nice=False)
    axis = dict(values=scales.thinned(values), format="~g", grid=False, labelFlush=False)
    return alt.X(f"{x}:Q", title=theme.title(x), scale=domain, axis=axis)


def question(shown: Axes) -> str:
    """What the figure shows, in words."""
    by = [name for name in shown.lines if shown.rows[name].n_unique() > 1]
    others = f", by {listed([name.replace('_', ' ') for name in by])}" if by else ""
    return f"Accuracy against {shown.x.replace('_', ' ')}{others}"


def encoded(shown: Axes) -> str:
    """What is drawn: a line's meaning, and what colours, dashes and panels stand for."""
    parts = [("colour", [shown.colour]), ("dash", [shown.dash] if shown.dash else [])]
    parts.append(("panels", list(shown.panels)))
    words = [
        f"{what}: {listed(names)}"
        for what, names in parts
        if any(shown.rows[name].n_unique() > 1 for name in names)
    ]
    return f"Line: {'; '.join([BANDS, *words])}."
