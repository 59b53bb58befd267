import random

import polars as pl
import pytest

from analysis.rows import flags
from rotgrid.evaluation import gradient_masking
from rotgrid.spec import Probe, Trial
from rotgrid.spec.overfitting import first_overfitted_epoch

from made_up import checks, epochs, frame, row, table_of

TRIAL = Trial(model="gcnn", data="mnist5k", recipe="fast")
TRAINED = Trial(model="gcnn", data="mnist5k", recipe="fast", adversary="fgsm")
PGD = Probe(attack="pgd", eps=0.1, n_images=1_000)
TRANSFER = Probe(attack="transfer", source="stdcnn", eps=0.1, n_images=1_000)
NOTHING = {"diagnostics": table_of("diagnostics", []), "training": table_of("training", [])}


def surviving(probe, *broken, trial=TRIAL):
    """A row of 1,000 images of which these are broken."""
    bits = sum(1 << (999 - image) for image in range(1_000) if image not in broken)
    return row(trial, probe, n_correct=1_000 - len(broken), correct=bits.to_bytes(125))


def transferred(*rows):
    return flags.transferred(frame(list(rows))).rows()


def test_images_that_only_another_network_breaks_are_counted():
    pgd = surviving(PGD, 0, 1)
    assert transferred(pgd, surviving(TRANSFER, 1, 2, 3)) == []
    assert transferred(pgd, surviving(TRANSFER, 1, 2, 3, 999)) == [
        (TRIAL.key(), "transfer", 0.003, 0.002)
    ]


def test_what_any_pgd_breaks_is_not_held_against_it():
    rows = [surviving(TRANSFER, 1, 2, 3, 4, 5), surviving(PGD, 1, 2)]
    assert len(transferred(*rows)) == 1
    stronger = PGD.model_copy(update={"restarts": 10, "loss": "margin"})
    assert transferred(*rows, surviving(stronger, 3, 4)) == []
    for other in ({"label_rule": "predicted"}, {"clip": "none"}, {"mode": "train"}):
        unusual = PGD.model_copy(update={"restarts": 10, **other})
        assert len(transferred(*rows, surviving(unusual, 3, 4))) == 1


@pytest.mark.parametrize(
    "other",
    [{"eps": 0.2}, {"eps_unit": "normalised"}, {"test_rotation": 30.0}, {"test_translation": 1.0}],
)
def test_only_the_same_images_and_ball_are_compared(other):
    pgd = surviving(PGD.model_copy(update=other))
    assert transferred(pgd, surviving(TRANSFER, *range(10))) == []


def test_rows_without_bits_are_not_compared():
    pgd = {**surviving(PGD), "correct": None}
    assert transferred(pgd, surviving(TRANSFER, *range(10))) == []


def overfitted(robust, clean=None):
    rows = table_of("training", epochs(TRAINED, robust, clean))
    return flags.overfitted(rows)["value"].to_list()


def test_catastrophic_overfitting_is_a_loss_of_more_than_half():
    assert overfitted([20, 60, 80, 41, 40]) == []
    (lost,) = overfitted([20, 60, 80, 36, 70])
    assert lost == pytest.approx(1 - 36 / 80)
    assert overfitted([20, 29, 1]) == []  # nothing was there to lose
    assert overfitted([60, 80, 10], clean=[95, 95, 10]) == []  # all is lost: a collapse
    assert overfitted([None, None]) == []


def test_the_rule_is_that_of_the_training():
    draw = random.Random(0)
    for _ in range(300):
        robust, clean = ([10 * draw.randrange(11) for _ in range(5)] for _ in "ab")
        rows = epochs(TRAINED, robust, clean)
        assert bool(overfitted(robust, clean)) == (first_overfitted_epoch(rows) is not None)


def test_epochs_are_ordered_and_trials_kept_apart():
    rows = epochs(TRAINED, [80, 30])[::-1] + epochs(TRIAL, [80, 79])
    found = flags.overfitted(table_of("training", rows))
    assert found.rows() == [(TRAINED.key(), "overfitting", 0.625, 0.5)]


def test_failed_has_the_largest_value_of_each_check_that_is_not_passed():
    measured = checks(TRIAL, repeat=0.5, float64=0.01) + checks(TRIAL, repeat=0.7)
    measured += checks(TRIAL, zero_gradient=float("nan"))
    rows = frame([surviving(PGD), surviving(TRANSFER, *range(10))])
    diagnostics = table_of("diagnostics", measured)
    found = flags.failed(rows, diagnostics, NOTHING["training"])
    assert found["check"].to_list() == ["repeat", "transfer", "zero-gradient"]
    assert found["value"].to_list()[:2] == [0.7, 0.01]
    assert found["value"].is_nan().to_list() == [False, False, True]


def test_flags_are_joined_empty_or_null():
    passed = Trial(model="stdcnn", data="mnist5k", recipe="fast")
    unknown = Trial(model="hnet", data="mnist5k", recipe="fast")
    trials = [TRAINED, passed, unknown, TRIAL]
    rows = frame([surviving(Probe(test_rotation=0.0), trial=trial) for trial in trials])
    measured = checks(TRIAL, repeat=0.5, margin_not_ce=0.1, float64=0.0) + checks(passed, repeat=0)
    diagnostics = table_of("diagnostics", measured)
    failed = flags.failed(rows, diagnostics, table_of("training", epochs(TRAINED, [80, 1])))
    found = flags.flagged(rows.drop("flags"), failed, diagnostics)
    assert found["trial"].to_list() == rows["trial"].to_list()
    assert found["flags"].to_list() == ["overfitting", "", None, "margin-not-ce, repeat"]


def rows_against(attack, *failing, **columns):
    """`flags` and `cautions` of a row under this attack, of a network that fails these checks."""
    rows = frame([surviving(Probe(attack=attack, eps=0.1, n_images=1_000))])
    rows = rows.with_columns(**{name: pl.lit(value) for name, value in columns.items()})
    failed = pl.DataFrame(
        [(TRIAL.key(), check, 1.0, 0.1) for check in failing], schema=flags.FAILED, orient="row"
    )
    found = flags.against_rows(rows, failed, table_of("diagnostics", checks(TRIAL, repeat=0.0)))
    return found.row(0)


@pytest.mark.parametrize(
    ("check", "attacks"),
    [
        ("twice-the-restarts", {"pgd"}),
        ("margin-not-ce", {"pgd"}),
        ("twice-the-steps", {"fmn"}),
        ("square-not-gradients", {"fgsm", "pgd", "fmn", "fmn-pgd", "strong"}),
        ("transfer", {"fgsm", "pgd", "fmn", "fmn-pgd", "strong"}),
        ("of-another-version", {"fgsm", "pgd", "fmn", "fmn-pgd", "strong"}),
        ("repeat", {"fgsm", "pgd", "fmn", "fmn-pgd", "strong", "square", "noise"}),
    ],
)
def test_a_check_speaks_against_the_attack_that_is_too_weak_or_all_that_follow_gradients(
    check, attacks
):
    for attack in ("fgsm", "pgd", "fmn", "fmn-pgd", "strong", "square", "noise"):
        against = check if attack in attacks else ""
        assert rows_against(attack, check) == (against, "")
    assert rows_against("none", check, eps=0.0) == ("", "")


@pytest.mark.parametrize("column", ["no_gradient", "square_only"])
def test_strong_is_kept_with_a_caution_where_it_spent_all_of_squares_budget(column):
    failing = "large-eps", "twice-the-restarts"
    assert rows_against("strong", *failing, **{column: 3}) == ("", "large-eps")
    assert rows_against("strong", *failing, **{column: 0}) == ("large-eps", "")
    assert rows_against("pgd", *failing, **{column: 3}) == (", ".join(failing), "")
    assert rows_against("strong", "repeat", **{column: 3}) == ("repeat", "")


@pytest.mark.parametrize("check", ["float64", "zero-gradient"])
def test_strong_is_kept_with_a_caution_where_only_the_cross_entropy_has_no_gradient(check):
    assert rows_against("strong", check, no_gradient=0) == ("", check)
    assert rows_against("strong", check, no_gradient=None) == (check, "")  # it did not look
    assert rows_against("strong", check, "large-eps", no_gradient=0) == ("large-eps", check)
    for attack in ("fgsm", "pgd", "fmn", "fmn-pgd"):
        assert rows_against(attack, check, no_gradient=0) == (check, "")


def test_rows_of_networks_that_were_never_checked_have_null():
    nothing = pl.DataFrame(schema=flags.FAILED)
    found = flags.against_rows(frame([surviving(PGD)]), nothing, NOTHING["diagnostics"])
    assert found.row(0) == (None, None)


def test_every_check_has_a_meaning():
    assert flags.MEANINGS.keys() == {*gradient_masking.CHECKS, "transfer", "overfitting"}


def test_what_is_not_to_be_believed_is_said_by_attack():
    failing = ["margin-not-ce", "twice-the-restarts", "twice-the-steps"]
    words = "PGD (margin-not-ce, twice-the-restarts) and FMN (twice-the-steps)"
    assert flags.attacks_not_believed(failing) == words


def test_nothing_fails_where_nothing_was_measured():
    assert flags.failed(frame([]), **NOTHING).is_empty()
    assert flags.failed(frame([]), **NOTHING).schema == pl.Schema(flags.FAILED)
