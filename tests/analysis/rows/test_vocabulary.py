from analysis.rows import vocabulary
from rotgrid.spec.adversaries import ADVERSARIES
from rotgrid.spec.attacks import ATTACKS
from rotgrid.spec.datasets import DATA
from rotgrid.spec.models import MODELS
from rotgrid.spec.vocabulary import EpsUnit


def test_models_come_in_the_fixed_order_and_unknown_ones_last():
    models = ["zeta", "capsnet", "gcnn", "alpha", "stdcnn", "gcnn"]
    assert vocabulary.in_order(models) == ["stdcnn", "gcnn", "capsnet", "alpha", "zeta"]


def test_every_word_of_the_grid_language_has_a_label():
    assert set(DATA) <= set(vocabulary.DATA)
    assert set(ATTACKS) <= set(vocabulary.ATTACKS)
    assert set(MODELS) <= set(vocabulary.LABELS)
    assert set(ADVERSARIES) <= set(vocabulary.ADVERSARIES)
    assert set(EpsUnit.__args__) <= set(vocabulary.EPS_UNITS)


def test_own_names_are_their_own_labels_and_adversaries_say_what_they_are():
    own = "nets.a:mine"
    assert vocabulary.label(own) == vocabulary.ATTACKS[own] == own
    assert vocabulary.DATA["mine.npz"] == "mine.npz"
    assert vocabulary.ADVERSARIES[own] == f"Trained with {own}"
    assert vocabulary.ADVERSARIES["of-another-version"] == "of-another-version"


def test_the_quickstart_data_are_never_called_mnist():
    assert vocabulary.DATA["mnist5k"] == "MNIST-5k subset (not MNIST test accuracy)"
