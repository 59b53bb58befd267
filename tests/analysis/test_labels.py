import polars as pl
import pytest

from analysis.labels import end_labels, spread


def test_labels_that_are_far_apart_stay():
    assert spread([0.2, 0.5, 0.9], 0.1) == pytest.approx([0.2, 0.5, 0.9])


def test_labels_that_collide_move_apart_around_their_middle():
    assert spread([0.5, 0.52, 0.9], 0.1) == pytest.approx([0.46, 0.56, 0.9])
    assert spread([0.5, 0.52, 0.6], 0.1) == pytest.approx([0.44, 0.54, 0.64])


def test_labels_stay_above_the_axis_and_in_order():
    moved = spread([0.0, 0.0, 0.01, 0.02], 0.1)
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
    labelled = end_labels(data, "eps", "attack", "{0:g}/{0:g}")
    assert labelled["_label"].to_list() == [None, "0/0", None, "60/60"]
    assert labelled["_label_y"].to_list() == [None, 0.5, None, 0.2]
