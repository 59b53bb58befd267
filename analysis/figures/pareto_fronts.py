"""Pareto fronts: the networks that no other exceeds in both robustnesses, architecture by
architecture."""

from typing import Any

import altair as alt
import polars as pl

from analysis.figures import layers, panels, theme, tradeoff
from analysis.figures.tradeoff import Points
from analysis.rows import vocabulary

WIDTH, HEIGHT = 210, 190
LEGEND = (
    "Point: mean over seeds. Solid: Pareto front of the architecture; dashed: of all, grey points."
)


def frontier(rows: pl.DataFrame) -> alt.ConcatChart:
    """Both robustnesses of every network of an architecture, however it was trained, and the
    networks on the Pareto front."""
    points = tradeoff.points_of(rows, tradeoff.all_recipes)
    data = with_fronts(points.data.drop("^_.*$"))
    return panels.figure(
        "Pareto fronts of robustness to rotations and to PGD",
        points.rows,
        [*points.words, *points.notes],
        [panel(points, data, model) for model in vocabulary.in_order(data["model"])],
        data,
        legend=LEGEND,
        selectable=False,
        shared="xy",
    )


def trainings(data: pl.DataFrame) -> dict[str, str]:
    """How networks were trained (recipe and adversary, the key of `_training`), and its words."""
    kinds = data.select("recipe", "adversary").unique().rows()
    order = vocabulary.in_order(data["adversary"], vocabulary.ADVERSARIES)
    kinds.sort(key=lambda kind: (order.index(kind[1]), kind[0]))
    words = {
        f"{recipe} {adversary}": f"{vocabulary.ADVERSARIES[adversary]} (recipe {recipe})"
        for recipe, adversary in kinds
    }
    one = data["recipe"].n_unique() == 1
    return {key: text.rpartition(" (recipe")[0] if one else text for key, text in words.items()}


def with_fronts(data: pl.DataFrame) -> pl.DataFrame:
    """Adds `front` (of its model) and `_front_of_all`: whether no network is as good in one
    robustness and better in the other."""
    sort = ["clean_accuracy", "robust_accuracy"]
    robust = pl.col("robust_accuracy")
    best = robust.cum_max().shift()
    data = data.sort(*sort, descending=True).with_columns(
        front=(robust > best.over("model")).fill_null(True),
        _front_of_all=(robust > best).fill_null(True),
        _training=pl.format("{} {}", "recipe", "adversary"),
    )
    return data.sort("model", "clean_accuracy")


def panel(points: Points, data: pl.DataFrame, model: str) -> alt.LayerChart:
    """One model's networks and their front; faint all others, and the front of all."""
    x, y = tradeoff.both_axes(points)
    own = alt.FieldEqualPredicate(field="model", equal=model)
    base = layers.Layer().encode(x.mean, y.mean)
    front: dict[str, Any] = {"interpolate": "step-before", "strokeWidth": 1.25}
    of_all = base.mark_line(strokeDash=[3, 3], color=theme.MUTED, **front)
    own_front = base.mark_line(color=theme.TEXT, **front).transform_filter(own)
    colour = theme.look(model, data["model"]).colour
    networks = base.mark_point(filled=True, color=colour, opacity=1).encode(
        shape=shapes(data), size=layers.sized(data), tooltip=tradeoff.tips(data)
    )
    marks = [
        base.mark_point(filled=True, size=10, color=theme.MUTED, opacity=0.4),
        of_all.transform_filter("datum._front_of_all"),
        own_front.transform_filter("datum.front"),
        networks.transform_filter(own),
    ]
    return panels.panel(marks, vocabulary.label(model), {}, width=WIDTH, height=HEIGHT)


def shapes(data: pl.DataFrame) -> alt.Shape:
    """A shape per kind of training."""
    kinds = trainings(data)
    legend = dict(
        title=None,
        labelExpr=theme.labels(kinds),
        symbolOpacity=1,
        symbolFillColor=theme.TEXT,
        labelLimit=400,
    )
    scale = dict(domain=list(kinds), range=list(theme.SHAPES[: len(kinds)]))
    return alt.Shape("_training:N", scale=scale, legend=legend)
