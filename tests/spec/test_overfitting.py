import pytest

from rotgrid.spec.overfitting import first_overfitted_epoch, watched_images

from stored_rows import of_accuracies


@pytest.mark.parametrize(
    ("train_size", "n_validation", "expected"),
    [
        (55_000, 5_000, 1_000),
        (10_000, 5_000, 250),
        (3_500, 500, 100),
        (10, 500, 100),
        (10, 50, 50),
    ],
)
def test_the_watch_stays_cheap(train_size, n_validation, expected):
    assert watched_images(train_size, n_validation) == expected


@pytest.mark.parametrize(
    ("pairs", "epoch"),
    [
        ([], None),
        ([(0.9, 0.6), (0.95, 0.7), (0.97, 0.72)], None),  # as it should be
        ([(0.9, 0.6), (0.95, 0.7), (0.98, 0.0), (0.98, 0.0)], 3),  # all lost at once
        ([(0.9, 0.6), (0.95, 0.5), (0.96, 0.4), (0.97, 0.29)], 4),  # and by and by
        ([(0.9, 0.6), (0.95, 0.3), (0.96, 0.3)], None),  # half of the best is not yet lost
        ([(0.9, 0.29), (0.95, 0.0)], None),  # never robust
        ([(0.9, 0.30), (0.95, 0.14)], 2),
        ([(0.9, 0.6), (0.1, 0.1), (0.1, 0.1)], None),  # collapsed to one class
        ([(0.9, 0.6), (0.1, 0.1), (0.97, 0.0)], 3),  # and recovered for clean images only
        ([(0.9, 0.6), (0.98, 0.0), (0.96, 0.6)], 2),  # the first counts
    ],
)
def test_catastrophic_overfitting_is_found(pairs, epoch):
    assert first_overfitted_epoch(of_accuracies(pairs)) == epoch


def test_without_an_adversary_nothing_overfits():
    rows = of_accuracies([(0.9, 0.6), (0.98, 0.0)])
    unwatched = {"val_robust_n": None, "val_robust_n_correct": None}
    assert first_overfitted_epoch([row | unwatched for row in rows]) is None
