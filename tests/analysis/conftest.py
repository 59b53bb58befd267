"""Frames of made-up results: a full study, and one that has only begun."""

import polars as pl
import pytest

from made_up import frame, study


@pytest.fixture(scope="session")
def full() -> pl.DataFrame:
    """All that the figures ask for, but the doubled and halved pair."""
    capsules = study((("capsnet", "table"),), train_rotations=(0,), adversaries=("none",), eps=())
    return frame(study() + capsules)


@pytest.fixture(scope="session")
def sparse() -> pl.DataFrame:
    """One seed, no eps 0.3, no adversarial training, FGSM and PGD on fewer images."""
    return frame(
        study(
            train_rotations=(0, 60),
            adversaries=("none",),
            seeds=(0,),
            test_rotations=(0, 40, 60),
            eps=(0.05, 0.15),
            n_images=200,
        )
    )
