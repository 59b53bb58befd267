import altair as alt
import pytest

from analysis.figures import scales


def test_a_rotation_axis_shows_degrees_at_readable_distances():
    axis = scales.rotation_x("test_rotation", 180, "x", 300).to_dict()
    assert axis["scale"]["domain"] == [0, 180]
    assert axis["axis"]["values"] == [0, 30, 60, 90, 120, 150, 180]
    narrow = scales.rotation_x("test_rotation", 180, "x", 200).to_dict()
    assert narrow["axis"]["values"] == [0, 60, 120, 180]


@pytest.mark.parametrize("log", [False, True])
def test_an_axis_of_measured_numbers_has_a_tick_at_each(log):
    axis = scales.measured_x("train_size", [10_000, 500, 500, 2_000], "Images", log=log).to_dict()
    assert axis["axis"]["values"] == [500, 2_000, 10_000]
    assert axis["axis"]["labelOverlap"]
    assert axis["scale"]["domain"] == [500, 10_000]
    assert (axis["scale"].get("type") == "log") == axis["title"].endswith("log axis") == log


def test_accuracies_go_from_0_to_100_percent_unless_they_are_enlarged():
    whole = scales.share(alt.Y, "accuracy", "Accuracy", most=1.0).to_dict()
    assert whole["scale"]["domain"] == [0, 1]
    enlarged = scales.share(alt.Y, "accuracy", "Accuracy").to_dict()
    assert "domain" not in enlarged["scale"]
    assert enlarged["scale"]["zero"] is False


@pytest.mark.parametrize("scale", [scales.amount, scales.points])
def test_amounts_and_differences_have_a_0(scale):
    assert scale(alt.X, "error", "Error").to_dict()["scale"]["zero"] is True
