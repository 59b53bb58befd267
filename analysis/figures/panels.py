"""Whole panels, and the figures that are put together from them. No data is aggregated here."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl
from polars import selectors

from analysis.figures import captions, layers, scales, theme, tooltips
from analysis.rows.notes import Note
from analysis.rows.phrases import capitalised
from analysis.rows.selection import CannotShow

MOST_ROWS = 2_000
NOTES = "notes"
"""Where a chart's specification has what the report says about it elsewhere."""
TEST_X = "Test rotation x (uniform in [-x, x])"
ENLARGED = "y axis fitted to the data"
"""The subtitle of panels of which a part of the axis is drawn larger."""


def panel(
    marks: Sequence[alt.Chart],
    title: str,
    only: Mapping[str, Any],
    *,
    subtitle: Sequence[str] = (),
    width: float = theme.WIDTH,
    height: float = theme.HEIGHT,
) -> alt.LayerChart:
    """The layers as a panel that draws the rows whose columns have the given value, or one of the
    given list."""
    heading = alt.TitleParams(title, subtitle=list(subtitle) or alt.Undefined)
    filters = [
        alt.FilterTransform(filter=alt.FieldOneOfPredicate(column, oneOf=values))
        for column, values in listed(only).items()
    ]
    return alt.LayerChart(
        layer=list(marks),
        width=width,
        height=height,
        title=heading,
        transform=filters or alt.Undefined,
    )


def within(data: pl.DataFrame, only: Mapping[str, Any]) -> pl.DataFrame:
    """The rows that a panel with the same `only` draws."""
    return data.filter(*(pl.col(column).is_in(values) for column, values in listed(only).items()))


def listed(only: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Every value as a list of values."""
    return {k: v if isinstance(v, list) else [v] for k, v in only.items()}


def against_rotation(
    name: str,
    data: pl.DataFrame,
    look: Mapping[str, Any],
    *,
    only: Mapping[str, Any] | None = None,
    title: str = TEST_X,
    zoom: bool = False,
    width: int = theme.WIDTH,
    about: Sequence[str] = (),
) -> alt.LayerChart:
    """Accuracy against rotation: the part of the figure's data that `data` and `only` select."""
    shown = within(data, only or {})
    most = float(shown["test_rotation"].max())  # type: ignore[arg-type]
    series = ("attack", "eps", "eps_unit", "augmentation")
    told = ["model", "variant", "test_rotation", *(c for c in series if c in data.columns)]
    x = scales.rotation_x("test_rotation", most, title, width)
    marks = layers.accuracy_lines(shown, x, look, told, most=None if zoom else 1.0)
    subtitle = [*about, *([ENLARGED] if zoom else [])]
    chart = panel(marks, name, only or {}, subtitle=subtitle, width=width)
    return chart.transform_filter(alt.FieldLTEPredicate(field="test_rotation", lte=most))


def against_size(
    name: str, data: pl.DataFrame, look: Mapping[str, Any], only: Mapping[str, Any]
) -> alt.LayerChart:
    """Accuracy against the number of training images, on a log axis."""
    x = scales.measured_x("train_size", data["train_size"], "Training images", log=True)
    told = ["model", "variant", "train_size", "train_rotation", "test_rotation"]
    marks = layers.accuracy_lines(within(data, only), x, look, told, most=None)
    return panel(marks, name, only, subtitle=[ENLARGED])


def embeddable(data: pl.DataFrame) -> pl.DataFrame:
    """The rows with what is said at their marks, if a page may hold so many; null for numbers that
    JSON does not have.

    Raises:
        CannotShow: they are too many; aggregate more.
    """
    if data.height > MOST_ROWS:
        raise CannotShow(
            f"{data.height} rows are more than the {MOST_ROWS} that a figure may hold"
        )
    floats = selectors.float()
    return tooltips.with_texts(data.with_columns(pl.when(floats.is_finite()).then(floats)))


def titled(
    question: str,
    lines: Sequence[str],
    panels: Sequence[alt.LayerChart],
    data: pl.DataFrame | None,
    *,
    columns: int = 3,
    selectable: bool = True,
    shared: str = "",
    notes: Sequence[str] = (),
) -> alt.ConcatChart:
    """The panels in rows of `columns` over one frame, or each over its own, titled and configured.
    If `selectable`, models can be chosen in the legend. All panels have the same axes `shared`:
    `x`, `y` or `xy`. `notes` are what the report says elsewhere about the figure.

    Raises:
        CannotShow: a frame is too large to be embedded in a page; aggregate more.
    """
    first, *others = panels
    if selectable:
        first = first.add_params(layers.legend_selection())
    width = sum(panel.width + 60 for panel in panels[:columns]) + 60
    heading = captions.heading(question, lines, max(width, 640))
    about = {"title": heading, "description": " ".join([question, *filter(None, lines)])}
    about["usermeta"] = {NOTES: [capitalised(line) for line in notes if line]}
    chart = alt.concat(
        first, *others, columns=columns, spacing=theme.GAP, config=theme.config(), **about
    )
    chart.resolve = alt.Resolve(scale=dict.fromkeys(shared, "shared"))
    if data is not None:
        chart.data = data
    for owner in (chart, *chart.concat):
        if isinstance(owner.data, pl.DataFrame):
            owner.data = embeddable(owner.data)
    return chart


def figure(
    question: str,
    rows: pl.DataFrame,
    notes: Sequence[Note],
    panels: Sequence[alt.LayerChart],
    data: pl.DataFrame | None,
    *,
    legend: str = captions.LINES,
    attacks: str | None = None,
    columns: int = 3,
    selectable: bool = True,
    shared: str = "",
) -> alt.ConcatChart:
    """The panels, `titled`, with a caption of two lines: how many networks fail checks (first, so
    that it is whole where a line is shortened) and what marks mean (`legend` and notes that are
    keys); how many seeds, images and which attacks. Other notes say how
    networks were trained and attacked (`attacks`, if not in the usual words), what was chosen, and
    which checks fail."""
    outlined = any(layers.has_outlines(panel) for panel in panels)
    keys = [note for note in notes if isinstance(note, captions.Key)]
    failing = captions.failing(rows, outlined=outlined)
    models = models_drawn(rows, data, *(panel.data for panel in panels))
    about = [
        captions.sample(rows),
        captions.attacks(rows) if attacks is None else attacks,
        captions.summed_up([note for note in notes if note not in keys], models),
        captions.flagged(rows, outlined=outlined),
    ]
    return titled(
        question,
        [" ".join(filter(None, [failing, legend, *keys])), captions.measured(rows)],
        panels,
        data,
        columns=columns,
        selectable=selectable,
        shared=shared,
        notes=about,
    )


def models_drawn(rows: pl.DataFrame, *frames: object) -> set[str]:
    """The models in the frames of a figure, or those of its rows if none is by model."""
    tables = [frame for frame in frames if isinstance(frame, pl.DataFrame)]
    named = [table["model"] for table in tables if "model" in table.columns]
    return set().union(*named) if named else set(rows["model"])
