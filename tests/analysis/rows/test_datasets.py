import pytest

from analysis.rows import datasets
from rotgrid.spec.datasets import DATA

from made_up import DIGEST, OWN_DATA, frame, study


def test_the_paper_is_about_data_that_there_are():
    assert set(datasets.PAPERS) <= set(DATA)


def test_shapes_are_those_of_the_data_set_and_unknown_of_what_was_not_read():
    assert datasets.shape_of("mnist") == DATA["mnist"].shape
    assert datasets.shape_of(OWN_DATA, DIGEST.format(1)).classes == 3
    assert datasets.shape_of(OWN_DATA, "f" * 16) is None
    assert datasets.shape_of("of-another-version") is None


def test_deviations_are_means_over_channels_of_what_is_known():
    small = {"train_rotations": (0,), "seeds": (0,), "eps": (), "adversaries": ("none",)}
    rows = frame(study(**small) + study(data=OWN_DATA, **small))
    assert datasets.deviations(rows) == {"mnist5k": pytest.approx(0.3081), OWN_DATA: 0.25}
