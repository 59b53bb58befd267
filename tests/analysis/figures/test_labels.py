import itertools

import numpy as np
import polars as pl
import pytest

from analysis.figures.labels import (
    POINT,
    Axis,
    Box,
    boxed,
    dodged,
    end_labels,
    placed,
    rotation,
    thinned,
)


def test_labels_that_are_far_apart_stay():
    assert dodged([0.2, 0.5, 0.9], 0.1) == pytest.approx([0.2, 0.5, 0.9])


def test_labels_that_collide_move_apart_around_their_middle():
    assert dodged([0.5, 0.52, 0.9], 0.1) == pytest.approx([0.46, 0.56, 0.9])
    assert dodged([0.5, 0.52, 0.6], 0.1) == pytest.approx([0.44, 0.54, 0.64])


def test_labels_stay_above_the_axis_and_in_order():
    moved = dodged([0.0, 0.0, 0.01, 0.02], 0.1)
    assert moved == pytest.approx([0.05, 0.15, 0.25, 0.35])


def test_end_labels_name_the_last_point_of_each_line():
    data = pl.DataFrame(
        {
            "attack": ["pgd"] * 4,
            "train_rotation": [0.0, 0.0, 60.0, 60.0],
            "eps": [0.0, 0.1, 0.0, 0.1],
            "accuracy": [1.0, 0.5, 1.0, 0.2],
        }
    )
    text = rotation("{0:g}/{0:g}".format)
    labelled = end_labels(data, "eps", "accuracy", "train_rotation", text, (0.0, 1.0))
    assert labelled["_label"].to_list() == [None, "0/0", None, "60/60"]
    assert labelled["_label_y"].to_list() == [None, 0.5, None, 0.2]
    one = pl.when(pl.col("train_rotation") > 0).then(text)
    labelled = end_labels(data, "eps", "accuracy", "train_rotation", one, (-1.0, 1.0))
    assert labelled["_label"].to_list() == [None, None, None, "60/60"]
    assert labelled["_label_y"].to_list() == [None, None, None, pytest.approx(0.2)]
    none = end_labels(data, "eps", "accuracy", "train_rotation", pl.lit(None, pl.String), (0, 1))
    assert none["_label_y"].null_count() == none["_label"].null_count() == 4


def boxes_of(points, texts, width=300, height=220):
    return [box for box in boxed(points, texts, width, height) if box]


@pytest.mark.parametrize("seed", range(20))
def test_labels_lie_in_the_panel_and_on_no_label_and_no_point(seed):
    random = np.random.default_rng(seed)
    points = [tuple(p) for p in random.normal((220, 60), (40, 30), (14, 2)).clip(0, (300, 220))]
    found = boxes_of(points, ["±180°"] * 14)
    assert len(found) == 14
    assert all(box.within(300, 220) for box in found)
    assert all(a.overlap(b) == 0 for a, b in itertools.combinations(found, 2))
    around = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    assert all(box.overlap(point) == 0 for box in found for point in around)


def test_a_lone_label_stands_beside_its_point_and_points_without_text_have_none():
    beside, none = boxed([(100, 100), (200, 50)], ["±60°", None], 300, 220)
    assert none is None
    assert beside.left == pytest.approx(100 + POINT)
    assert beside.low == pytest.approx(100 + POINT)


def test_where_nothing_is_free_a_label_still_stands():
    crowd = [(x, y) for x in range(0, 300, 8) for y in range(0, 220, 8)]
    texts = ["±60°"] + [None] * (len(crowd) - 1)
    assert len(boxes_of(crowd, texts)) == 1


def test_placed_labels_have_a_line_to_their_point_only_where_they_stand_apart():
    data = pl.DataFrame(
        {"x": [0.5, 0.5, 0.5, 0.5], "y": [0.5] * 4, "_label": ["abc"] * 4, "panel": ["a"] * 4}
    )
    found = placed(data, Axis("x", 0.0, 1.0, 300), Axis("y", 0.0, 1.0, 220), "panel")
    assert found["_label_x"].null_count() == 0
    assert 0 <= found["_tip_x"].null_count() <= 4
    four = found.select("_label_x", "_label_y").unique()
    assert four.height == 4
    alone = placed(data.head(1), Axis("x", 0.0, 1.0, 300), Axis("y", 0.0, 1.0, 220), "panel")
    assert alone["_tip_x"].to_list() == [None]


@pytest.mark.parametrize("axis", [Axis("x", 0.2, 0.8, 300), Axis("x", 10, 1_000, 300, log=True)])
def test_pixels_and_values_of_an_axis_are_inverse(axis):
    for value in (axis.lower, axis.lower * 1.7, axis.upper):
        assert axis.value(axis.pixels(value)) == pytest.approx(value)
    assert axis.pixels(axis.lower) == pytest.approx(0)
    assert axis.pixels(axis.upper) == pytest.approx(axis.size)


def test_of_many_labels_the_ends_of_the_paths_stay_then_the_widest_then_none():
    def labelled(models):
        rows = itertools.product(range(models), (0.0, 60.0, 180.0))
        data = pl.DataFrame(list(rows), schema=["model", "train_rotation"], orient="row")
        data = data.with_columns(_label=pl.lit("x"), panel=pl.lit("a"))
        kept = thinned(data, "panel", "model").drop_nulls("_label")
        return sorted(set(kept["train_rotation"]))

    assert labelled(4) == [0, 60, 180]
    assert labelled(6) == [0, 180]
    assert labelled(12) == [180]
    assert labelled(20) == []


def test_no_line_crosses_a_label_or_a_point_where_there_is_room():
    points = [(150.0, 100.0 + 13 * index) for index in range(4)]
    texts = ["±180°"] * len(points)
    boxes = boxes_of(points, texts)
    marks = [Box(x - POINT, y - POINT, x + POINT, y + POINT) for x, y in points]
    for at, (point, box) in enumerate(zip(points, boxes, strict=True)):
        others = [other for i, other in enumerate(boxes + marks) if i not in (at, at + len(boxes))]
        (x, y), (to_x, to_y) = point, box.nearest(*point)
        line = [(x + (to_x - x) * i / 50, y + (to_y - y) * i / 50) for i in range(51)]
        assert not any(other.lies_on(line) for other in others)
