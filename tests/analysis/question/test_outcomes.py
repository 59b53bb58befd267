import polars as pl
import pytest

from analysis.question.fields import with_fields
from analysis.question.outcomes import headline, outcomes, usual_protocol
from rotgrid.spec import Probe, Trial

from made_up import DIGEST, OWN_ATTACK, frame, row, study

TRIAL = Trial(model="gcnn", data="mnist5k")


def fields_of(*probes):
    return with_fields(frame([row(TRIAL, probe) for probe in probes]))


def test_the_headline_is_of_the_strongest_attack_at_the_usual_eps():
    attacks = [Probe(attack=a, eps=e) for a in ("noise", "fgsm", "pgd") for e in (0.05, 0.1, 0.3)]
    assert headline(fields_of(Probe(), *attacks)) == ("pgd", 0.1, "linf")
    strong = Probe(attack="strong", eps=0.1)
    assert headline(fields_of(*attacks, strong)) == ("strong", 0.1, "linf")
    assert headline(fields_of(Probe(attack="fgsm", eps=0.3))) == ("fgsm", 0.3, "linf")
    assert headline(fields_of(Probe())) is None
    assert headline(fields_of(Probe(), Probe(attack="noise", eps=0.1))) is None


def test_threat_models_are_never_mixed():
    near = [Probe(attack="pgd", eps=eps) for eps in (0.05, 0.1)]
    far = [Probe(attack="pgd", eps=eps, threat="l2") for eps in (0.1, 1.0)]
    both = fields_of(Probe(), *near, *far)
    assert both["threat"].to_list() == ["linf"] * 3
    found = headline(fields_of(Probe(), *near[:1], *far))
    assert found == ("pgd", 1.0, "l2")
    assert found.words == "under PGD at eps 1 (L2)"
    words = [one.words for one in outcomes(fields_of(Probe(), *far))]
    assert words[-2:] == ["under PGD (L2)", "at eps 1 (L2)"]


def test_an_own_attack_counts_if_it_leaves_less():
    def with_own(n_correct):
        own = row(
            TRIAL,
            Probe(attack=OWN_ATTACK, eps=0.1, attack_digest=DIGEST.format(1)),
            n_correct=n_correct,
        )
        return headline(with_fields(frame([row(TRIAL, Probe(attack="pgd", eps=0.1)), own]))).attack

    assert with_own(0) == OWN_ATTACK
    assert with_own(990) == "pgd"


def test_an_attack_on_few_of_the_networks_is_no_headline():
    trials = [TRIAL.model_copy(update={"seed": seed}) for seed in range(3)]
    rows = [row(trial, Probe(attack="pgd", eps=0.1)) for trial in trials]
    rows.append(row(TRIAL, Probe(attack="strong", eps=0.1)))
    assert headline(with_fields(frame(rows))).attack == "pgd"


def test_outcomes_are_robust_and_clean_and_what_tests_vary():
    found = outcomes(with_fields(frame(study(seeds=(0,)))))
    words = [one.words for one in found]
    assert words == [
        "under PGD at eps 0.1",
        "under PGD at eps 0.1 (tested at the range of training)",
        "without attack",
        "without attack (tested at the range of training)",
        "under PGD",
        "at eps 0.1",
    ]
    assert set(found[-1].rows["attack"]) == {"none", "fgsm", "pgd"}
    assert [one.words for one in outcomes(fields_of(Probe()))][:1] == ["without attack"]


def test_of_an_attack_the_most_frequent_protocol_counts():
    steps = [Probe(attack="pgd", eps=e, steps=s) for e, s in ((0.1, 20), (0.2, 20), (0.1, 5))]
    assert set(usual_protocol(fields_of(Probe(), *steps))["steps"]) == {0, 20}
    assert isinstance(usual_protocol(fields_of(Probe())), pl.DataFrame)


@pytest.mark.parametrize(
    ("usual", "other"),
    [
        ({"clip": "pixel"}, {"clip": "normalised"}),
        ({"clip": "none"}, {"clip": "normalised"}),
        ({"loss": "ce", "label_rule": "true"}, {"loss": "margin", "label_rule": "predicted"}),
        ({"steps": 40}, {"steps": 5}),
    ],
)
def test_of_protocols_that_are_as_frequent_the_usual_one_counts(usual, other):
    fields = fields_of(*(Probe(attack="pgd", eps=0.1, **each) for each in (usual, other)))
    assert usual_protocol(fields).select(*usual).rows() == [tuple(usual.values())]
