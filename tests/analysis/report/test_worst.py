import polars as pl
import pytest
from scipy.stats import binomtest

from analysis.report.worst import worst_case
from analysis.rows.selection import NotMeasured
from rotgrid.spec import Probe, Trial

from made_up import DIGEST, OWN_DATA, frame, row

TRIAL = Trial(model="gcnn", data="mnist5k", train_rotation=180.0)
TURNED = {"test_rotation": 120.0}


def table(*probes, trial=TRIAL):
    return worst_case(frame([row(trial, probe) for probe in probes])).rows


def test_average_worst_and_eight_classes_stand_side_by_side():
    classes = {"class_n": [100] * 10, "class_n_correct": [80] * 6 + [5, 80, 80, 15]}
    counts = {"n": 1_000, "correct": None}
    rows = []
    for seed, clean, worst in ((0, 900, 660), (1, 920, 660)):
        trial = TRIAL.model_copy(update={"seed": seed})
        rows.append(row(trial, Probe(**TURNED), n_correct=clean, **counts))
        tried = Probe(attack="rotation-grid", **TURNED)
        rows.append(row(trial, tried, n_correct=worst, **counts, **classes))
    (found,) = worst_case(frame(rows)).rows.iter_rows(named=True)
    average, worst = (binomtest(k, 1_000).proportion_ci(method="wilson") for k in (910, 660))
    assert found == {
        "model": "gcnn",
        "variant": "table1",
        "adversary": "none",
        "train_rotation": 180.0,
        "attack": "rotation-grid",
        "test_rotation": 120.0,
        "test_translation": 0.0,
        "seeds": 2,
        "average_accuracy": pytest.approx(0.91),
        "average_lower": pytest.approx(average.low),
        "average_upper": pytest.approx(average.high),
        "average_interval": "images of one network",
        "average_n": 1_000,
        "worst_accuracy": pytest.approx(0.66),
        "worst_lower": pytest.approx(worst.low),
        "worst_upper": pytest.approx(worst.high),
        "worst_interval": "images of one network",
        "worst_n": 1_000,
        "eight_accuracy": pytest.approx(0.8),
    }


def test_of_data_that_are_no_digits_no_class_is_left_out():
    trial = Trial(model="gcnn", data=OWN_DATA, data_digest=DIGEST.format(1))
    found = table(Probe(attack="rotation-grid", **TURNED), trial=trial)
    assert found["worst_n"].to_list() == [300]
    assert found["eight_accuracy"].to_list() == [None]


def test_the_average_is_of_the_same_range_and_network_or_empty():
    tried = Probe(attack="worst-of-10", test_rotation=30.0, test_translation=3.0)
    others = [Probe(test_rotation=30.0), Probe(test_translation=3.0)]
    assert table(tried, *others)["average_n"].to_list() == [None]
    same = Probe(test_rotation=30.0, test_translation=3.0)
    assert table(tried, *others, same)["average_n"].to_list() == [1_000]
    trains = same.model_copy(update={"mode": "train"})
    assert table(tried, trains)["average_n"].to_list() == [None]
    assert table(tried, trains, same)["average_accuracy"].equals(
        table(tried, same)["average_accuracy"]
    )
    elsewhere = row(TRIAL.model_copy(update={"seed": 1}), same)
    rows = frame([row(TRIAL, tried), elsewhere])
    assert worst_case(rows).rows["average_n"].to_list() == [None]


@pytest.mark.parametrize(
    ("attack", "same"),
    [("rotation-grid", {"test_rotation": 30.0}), ("translation-grid", {"test_translation": 3.0})],
)
def test_a_range_that_the_attack_does_not_use_is_zero(attack, same):
    both = {"test_rotation": 30.0, "test_translation": 3.0}
    probes = [Probe(attack=attack, **both), Probe(attack=attack, **{"test_rotation": 0.0, **same})]
    clean = [Probe(**{"test_rotation": 0.0, **same}), Probe(**both)]
    (found,) = table(*probes, *clean).iter_rows(named=True)
    assert {name: found[name] for name in both} == {**dict.fromkeys(both, 0.0), **same}
    assert found["average_n"] == 1_000


def test_rows_without_counts_per_class_have_no_accuracy_of_eight():
    rows = frame([row(TRIAL, Probe(attack="rotation-grid", **TURNED), class_n=None)])
    assert worst_case(rows).rows["eight_accuracy"].to_list() == [None]


def test_one_protocol_per_attack_is_shown_and_the_rest_named():
    probes = [Probe(attack="rotation-grid", n_images=n, **TURNED) for n in (100, 1_000)]
    shown, notes = worst_case(frame([row(TRIAL, probe) for probe in probes]))
    assert shown["worst_n"].to_list() == [1_000]
    assert "Left out: 1 row with n_images 100." in str(notes[0])


def test_attacks_on_pixels_and_exact_turns_are_no_worst_cases(full):
    others = [Probe(attack=a, **TURNED) for a in ("spatial-pgd", "equivariance", "diagnostics")]
    rows = pl.concat([full, frame([row(TRIAL, probe) for probe in others])])
    with pytest.raises(NotMeasured, match="needs rows with attack rotation-grid or"):
        worst_case(rows)
