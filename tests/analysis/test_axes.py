import polars as pl
import pytest

from analysis import axes


@pytest.mark.parametrize(
    ("values", "upper", "domain"),
    [
        ([0.72, 0.99], 1.0, (0.7, 1.0, 0.05)),
        ([0.981, 0.995], 1.0, (0.98, 1.0, 0.01)),
        ([0.0, 0.37], 0.0, (0.0, 0.4, 0.1)),
        ([0.0, 1.0], 0.0, (0.0, 1.0, 0.2)),
        ([1.0, 1.0], 1.0, (0.99, 1.0, 0.01)),
        ([0.0, 0.0], 0.0, (0.0, 0.01, 0.01)),
    ],
)
def test_domains_hold_the_data_and_end_on_ticks(values, upper, domain):
    found = axes.domain_of(pl.DataFrame({"accuracy": values}), "accuracy", upper=upper)
    assert found == domain
    assert found.ticks()[0] == found.lower
    assert found.ticks()[-1] == pytest.approx(found.upper)


def test_a_rotation_axis_shows_degrees_at_readable_distances():
    axis = axes.rotation_x("test_rotation", 180, "x", 300).to_dict()
    assert axis["scale"]["domain"] == [0, 180]
    assert axis["axis"]["values"] == [0, 30, 60, 90, 120, 150, 180]
    narrow = axes.rotation_x("test_rotation", 180, "x", 200).to_dict()
    assert narrow["axis"]["values"] == [0, 60, 120, 180]


def test_eps_ticks_are_thinned_to_what_fits():
    assert axes.thinned([0, 0.025, 0.05, 0.1, 0.3]) == [0, 0.05, 0.1, 0.3]
