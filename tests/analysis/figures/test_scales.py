import polars as pl
import pytest

from analysis.figures import scales


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
    found = scales.domain_of(pl.DataFrame({"accuracy": values}), "accuracy", upper=upper)
    assert found == domain
    assert found.ticks()[0] == found.lower
    assert found.ticks()[-1] == pytest.approx(found.upper)


def test_a_rotation_axis_shows_degrees_at_readable_distances():
    axis = scales.rotation_x("test_rotation", 180, "x", 300).to_dict()
    assert axis["scale"]["domain"] == [0, 180]
    assert axis["axis"]["values"] == [0, 30, 60, 90, 120, 150, 180]
    narrow = scales.rotation_x("test_rotation", 180, "x", 200).to_dict()
    assert narrow["axis"]["values"] == [0, 60, 120, 180]


def test_eps_ticks_are_thinned_to_what_fits():
    assert scales.thinned([0, 0.025, 0.05, 0.1, 0.3]) == [0, 0.05, 0.1, 0.3]


@pytest.mark.parametrize(
    ("values", "domain"),
    [
        ([-0.03, 0.01], (-0.03, 0.03, 0.01)),
        ([0.0, 0.35], (-0.4, 0.4, 0.1)),
        ([0.0], (-0.01, 0.01, 0.01)),
    ],
)
def test_an_axis_of_differences_is_symmetric(values, domain):
    assert scales.about_zero(pl.DataFrame({"d": values}), "d") == pytest.approx(domain)


@pytest.mark.parametrize(
    ("most", "upper"), [(0.173, 0.2), (1.19, 1.2), (37.0, 40.0), (0.0, 0.1), (10, 10)]
)
def test_an_axis_from_zero_ends_on_a_tick(most, upper):
    found = scales.from_zero(pl.DataFrame({"d": [0.0, most]}), "d")
    assert found.lower == 0
    assert found.upper >= most
    assert found.upper == pytest.approx(upper)
    assert found.ticks()[-1] == pytest.approx(found.upper)


@pytest.mark.parametrize(
    ("values", "ends"), [([23, 1_200], (20, 2_000)), ([5, 5], (5, 10)), ([0.013, 0.9], (0.01, 1))]
)
def test_a_log_axis_ends_on_ticks(values, ends):
    assert scales.log_domain(pl.DataFrame({"d": values}), "d")[:2] == pytest.approx(ends)


def test_a_log_axis_has_ticks_that_can_be_written():
    sizes = [500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 40_000, 55_000]
    axis = scales.log_x("train_size", sizes, "x").to_dict()
    assert axis["scale"]["domain"] == [500, 55_000]
    assert (
        axis["axis"]["values"] == [500, 1_000, 2_000, 5_000, 10_000, 20_000, 55_000]
        or axis["axis"]["values"][0] >= 500
    )


@pytest.mark.parametrize("least", [0.0, -1.0])
def test_a_log_axis_says_that_it_needs_positive_values(least):
    data = pl.DataFrame({"seconds": [least, 3.0]})
    with pytest.raises(ValueError, match=f"a log axis cannot show {least:g}, .* seconds"):
        scales.log_domain(data, "seconds")


def test_an_axis_from_zero_without_anything_above_it_is_short():
    found = scales.from_zero(pl.DataFrame({"d": [-2.0, -1.0]}), "d")
    assert found == scales.from_zero(pl.DataFrame({"d": [0.0]}), "d")
