import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rotgrid import cost
from rotgrid.cost import Estimate, speed
from rotgrid.cost.speed import Speed
from rotgrid.spec import Probe, Trial, sweeps

TRIAL = Trial(model="gcnn", data="mnist", epochs=10)
FIELDS = [
    {"attack": "none"},
    {"attack": "none", "test_rotation": 30.0},
    {"attack": "fgsm"},
    {"attack": "fgsm", "label_rule": "predicted", "test_rotation": 30.0},
    {"attack": "fgsm", "clip": "normalised", "mode": "train"},
    {"attack": "pgd", "n_images": 500},
    {"attack": "pgd", "n_images": 500, "test_translation": 1.0},
    {"attack": "pgd", "loss": "margin", "restarts": 10, "n_images": 2_000},
    {"attack": "strong", "n_images": 500},
    {"attack": "transfer", "source": "hnet", "n_images": 1_000},
    {"attack": "rotation-grid", "test_rotation": 30.0, "n_images": 500},
    {"attack": "spatial-pgd", "test_rotation": 60.0, "n_images": 500},
    {"attack": "equivariance", "test_rotation": 45.0, "n_images": 500},
]
PROBES = list(
    dict.fromkeys(
        Probe(**fields, eps=eps).resolve(TRIAL) for fields in FIELDS for eps in (0.3, 0.1, 0.2)
    )
)


@given(st.lists(st.sampled_from(PROBES), unique=True), st.data())
@settings(deadline=None)
def test_portions_do_not_depend_on_what_is_done(probes, data):
    found = cost.portions(TRIAL, probes)
    assert Counter(itertools.chain(*found)) == Counter(probes)
    done = data.draw(st.integers(0, len(found)))
    left = [probe for probe in probes if probe in itertools.chain(*found[done:])]
    assert cost.portions(TRIAL, data.draw(st.permutations(left))) == found[done:]


@given(st.lists(st.sampled_from(PROBES), unique=True))
@settings(deadline=None)
def test_portions_are_whole_sweeps_in_the_order_of_measuring(probes):
    found = cost.portions(TRIAL, probes)
    kinds = [{sweeps.same_sweep(probe) for probe in portion} for portion in found]
    assert len(set().union(*kinds)) == sum(map(len, kinds))
    for portion in found:
        measured = [
            probe
            for group in sweeps.grouped(portion, sweeps.same_images)
            for sweep in sweeps.grouped(group, sweeps.same_sweep)
            for probe in sweep
        ]
        assert measured == portion


def test_portions_are_worth_a_minute():
    found = cost.portions(TRIAL, PROBES)
    assert len(found) > 2
    for portion in found[:-1]:
        last = sweeps.sweeps(portion)[-1]
        seconds = Speed().measuring(TRIAL, portion)
        assert seconds >= 60 > seconds - Speed().measuring(TRIAL, last)


def test_nothing_to_measure_has_no_portions():
    assert cost.portions(TRIAL, []) == []


def test_the_estimate_counts_training_and_measuring():
    one, two = TRIAL, TRIAL.model_copy(update={"seed": 1})
    todo = {one: PROBES[:5], two: PROBES}
    found = cost.estimate(todo, {two}, Speed())
    assert found.seconds == pytest.approx(
        {
            one: Speed().training(one) + Speed().measuring(one, PROBES[:5]),
            two: Speed().measuring(two, PROBES),
        }
    )
    assert found.source == speed.GUESS
    assert found.factor == pytest.approx(speed.GUESSED)
    assert cost.estimate({}, set(), Speed()) == Estimate({}, (1.0, 1.0), "")


def test_sources_are_named_with_their_shares():
    known, guessed = TRIAL, Trial(model="stdcnn", epochs=10)
    learned = Speed(factors={("gcnn", "table1"): (0.1, 0.1)}, learned=(0.9, 1.5), trials=2)
    found = cost.estimate({known: PROBES, guessed: []}, set(), learned)
    first, second = (each / sum(found.seconds.values()) for each in found.seconds.values())
    assert found.source == f"from 2 trials finished here ({first:.0%}); a guess ({second:.0%})"
    low, high = speed.GUESSED
    assert found.factor == pytest.approx((first * 0.9 + second * low, first * 1.5 + second * high))
