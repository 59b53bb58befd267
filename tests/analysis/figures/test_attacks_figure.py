import polars as pl
import pytest

from analysis.rows.selection import NotMeasured

from made_up import OWN_ATTACK, chart, frame, study, words_of

SMALL = {"train_rotations": (0, 60), "adversaries": ("none",), "test_rotations": (0,)}


def test_a_panel_for_every_attack_own_ones_last_and_each_from_eps_0():
    rows = frame(study(attacks=("pgd", OWN_ATTACK, "fgsm"), **SMALL))
    found = chart("attacks", rows)
    titles = [panel.title.text for panel in found.concat]
    assert titles == ["FGSM", "PGD", OWN_ATTACK]
    data = found.data
    assert data.group_by("model", "attack").len()["len"].to_list() == [5] * 6
    clean = data.filter(eps=0)
    assert clean.group_by("model").agg(pl.col("accuracy").n_unique())["accuracy"].to_list() == [
        1,
        1,
    ]


def test_the_range_is_that_of_most_networks_and_said():
    rows = frame(study(**SMALL) + study((("hnet", "fixed"),), (60,), ("none",)))
    words = words_of(chart("attacks", rows).to_dict())
    assert "Trained and tested with rotations in [-60, 60] degrees." in words


def test_turns_and_checks_are_no_attacks_on_pixels(full):
    clean = full.filter(attack="none")
    turned = full.filter(attack="pgd").with_columns(attack=pl.lit("rotation-grid"), eps=0.0)
    with pytest.raises(NotMeasured, match="attack on pixels at eps > 0"):
        chart("attacks", pl.concat([clean, turned]))
