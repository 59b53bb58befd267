import numpy as np
import pytest
import torch

from rotgrid import attacks, data, evaluation, models
from rotgrid.attacks import conventions
from rotgrid.attacks.class_means import means_of
from rotgrid.data import pixels
from rotgrid.evaluation import gradient_masking, settings
from rotgrid.rotation import draw_angles, rotate
from rotgrid.spec import Probe, Trial
from rotgrid.spec.attacks import ATTACKS
from rotgrid.spec.datasets import MNIST_SHAPE

TRIAL = Trial(model="stdcnn", data="mnist5k", train_rotation=60)


@pytest.fixture(scope="module")
def net():
    return models.build("stdcnn", seed=3).eval()


def rows(net, digits, *probes, trial=TRIAL, sources=None):
    resolved = [probe.resolve(trial) for probe in probes]
    found = evaluation.measure(net, digits, trial, resolved, sources)
    return [row for part in found for row in part]


def bits(row):
    return np.unpackbits(np.frombuffer(row["correct"], np.uint8), count=row["n"])


def test_a_clean_probe_counts_what_the_model_gets_right(net, digits):
    (row,) = rows(net, digits, Probe(test_rotation="same"))
    angles = draw_angles(1_000, 60, "test")
    images = rotate(pixels(digits.test_images), angles)
    correct = (net(images).argmax(1) == digits.test_labels).detach().numpy()
    assert (row["n"], row["n_correct"]) == (1_000, correct.sum())
    assert (bits(row) == correct).all()
    assert row["test_rotation"] == 60.0
    assert row["probe"] == Probe(test_rotation=60).resolve(TRIAL).key()


def test_every_probe_has_its_row_whatever_the_order(net, digits):
    probes = [
        Probe(attack=attack, eps=eps, test_rotation=rotation, steps=3, n_images=40)
        for eps in (0.1, 0.0)
        for attack in ("pgd", "none", "noise", "fgsm")
        for rotation in (0, "same")
    ]
    found = rows(net, digits, *probes)
    wanted = {probe.resolve(TRIAL) for probe in probes}
    assert {row["probe"] for row in found} == {probe.key() for probe in wanted}
    assert len(found) == len(wanted)


@pytest.mark.parametrize("attack", [a for a in ATTACKS if len(ATTACKS[a].label_rules) > 1])
def test_the_label_rule_is_a_choice_of_each_such_attack(net, digits, attack):
    """With the true label an attack repairs no errors; the other one breaks the same images."""
    choices = {"attack": attack, "eps": 0.1, "steps": 3, "n_images": 60}
    true, predicted, clean = rows(
        net,
        digits,
        Probe(**choices),
        Probe(**choices, label_rule="predicted"),
        Probe(n_images=60),
    )
    assert (bits(true) <= bits(clean)).all()
    assert (bits(predicted) >= bits(true)).all()


def test_a_probe_measured_alone_equals_one_measured_among_others(net, digits):
    probes = [
        Probe(attack=attack, eps=eps, steps=4, restarts=2, n_images=60, test_rotation=rotation)
        for attack in ("noise", "fgsm", "pgd")
        for eps in (0.02, 0.05)
        for rotation in (0, 30)
    ]
    together = {row["probe"]: row["correct"] for row in rows(net, digits, *probes)}
    for probe in probes:
        (alone,) = rows(net, digits, probe)
        assert alone["correct"] == together[alone["probe"]]


def test_all_models_and_ranges_see_the_same_images(digits):
    """Frozen draws: angles of a range are those of another, scaled; subsets are fixed."""
    wide = evaluation.test_images(digits, TRIAL, Probe(test_rotation=0, n_images=100))
    other = Trial(model="gcnn", data="mnist5k", seed=9)
    again = evaluation.test_images(digits, other, Probe(test_rotation=0, n_images=100))
    assert torch.equal(wide[0], again[0])
    assert torch.bincount(wide[1]).tolist() == [10] * 10


def test_a_subset_is_cut_from_the_whole(net, digits):
    from rotgrid.data import subset

    whole, part = rows(net, digits, Probe(), Probe(n_images=200))
    chosen = subset(digits.test_labels, 200).numpy()
    assert (bits(whole)[chosen] == bits(part)).all()


def test_eps_is_measured_around_the_image_after_rotation(net, digits, monkeypatch):
    seen = []

    def spy(model, images, labels, *, attack, eps_grid, **settings):
        seen.append(images)
        return attacks.sweep(model, images, labels, attack=attack, eps_grid=eps_grid, **settings)

    monkeypatch.setattr(evaluation, "sweep", spy)
    rows(net, digits, Probe(attack="fgsm", eps=0.1, test_rotation=30, n_images=50))
    expected, _ = evaluation.test_images(digits, TRIAL, Probe(test_rotation=30.0, n_images=50))
    assert torch.equal(seen[0], expected)


def test_interpolation_is_the_trial_s(digits):
    nearest = Trial(model="stdcnn", data="mnist5k", interpolation="nearest")
    probe = Probe(test_rotation=30.0, n_images=20)
    images, _ = evaluation.test_images(digits, nearest, probe)
    values = set((images * 255).round().flatten().tolist())
    assert values <= set(digits.test_images.float().flatten().tolist())


def test_an_unresolved_probe_is_refused(net, digits):
    with pytest.raises(ValueError, match="resolve"):
        evaluation.test_images(digits, TRIAL, Probe())


def test_an_equivariance_probe_turns_every_image_by_its_angle(net, digits):
    probe = Probe(attack="equivariance", test_rotation=90, n_images=60)
    clean, row = rows(net, digits, Probe(test_rotation=0, n_images=60), probe)
    images = pixels(digits.test_images[data.subset(digits.test_labels, 60)])
    with torch.no_grad():
        same = net(images).argmax(1) == net(images.rot90(1, (-2, -1))).argmax(1)
    assert (bits(row) == same.numpy()).all()
    assert (row["n"], row["n_correct"]) == (60, same.sum())
    assert list(row["layers"]) == [*net.invariants, "logits"]
    assert "layers" not in clean


SHORT = {"steps": 2, "n_images": 20, "eps": 0.1, "test_rotation": 3.0}


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_attack_has_its_row(net, digits, attack, monkeypatch):
    monkeypatch.setattr(gradient_masking, "QUERIES", 10)
    monkeypatch.setattr(gradient_masking, "DRAWS", 1)
    probe = Probe(attack=attack, source="stdcnn" if attack == "transfer" else "", **SHORT)
    (row,) = rows(net, digits, probe, sources=lambda name: net)
    assert row["probe"] == probe.resolve(TRIAL).key()
    assert row["n"] == 20 == sum(row["class_n"])
    assert row["n_correct"] == bits(row).sum() == sum(row["class_n_correct"])
    assert (row["distances"] is not None) == (attack in ("fmn", "lbfgs"))
    assert ("checks" in row) == (attack == "diagnostics")


def test_rows_say_what_the_searches_noted_at_their_eps(net, digits, caplog):
    common = {"attack": "apgd", "steps": 4, "n_images": 60, "test_rotation": 0}
    found = rows(net, digits, *(Probe(eps=eps, **common) for eps in (0.3, 0.02, 0.01, 0.005)))
    checked = [row["search_checked"] for row in found]
    assert checked[0] == 0 < sum(checked)
    assert {row["search_missed"] for row in found} <= {0, 1}
    assert not caplog.records
    (fgsm,) = rows(net, digits, Probe(attack="fgsm", eps=0.1, n_images=20))
    assert "search_checked" not in fgsm


class Flat(torch.nn.Module):
    """One class for everything, and no gradient."""

    def forward(self, images):
        return torch.eye(10)[[7] * len(images)] + 0 * images.sum()


def test_gradients_that_vanish_are_logged_by_trial_attack_eps_and_count(digits, caplog):
    probes = [Probe(attack="strong", eps=eps, steps=1, n_images=20) for eps in (0.05, 0.01)]
    low, _ = rows(Flat(), digits, *probes)
    sevens = int((digits.test_labels[data.subset(digits.test_labels, 20)] == 7).sum())
    assert (low["no_gradient"], low["square_only"]) == (sevens, 0)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    text = record.getMessage()
    assert f"trial {TRIAL.key()}, attack strong, eps 0.01, 0.05: of 20 images {sevens}" in text


def test_classes_are_counted_apart(net, digits):
    (row,) = rows(net, digits, Probe(n_images=100))
    labels = digits.test_labels[data.subset(digits.test_labels, 100)]
    by_hand = labels[torch.tensor(bits(row)).bool()]
    assert row["class_n"] == [10] * 10
    assert row["class_n_correct"] == [int((by_hand == label).sum()) for label in range(10)]


def test_normalised_eps_is_a_third_of_pixel_eps(net, digits):
    common = {"attack": "fgsm", "n_images": 200}
    unit, pixel = rows(
        net, digits,
        Probe(eps=0.3, eps_unit="normalised", **common), Probe(eps=0.3 * 0.3081, **common),
    )  # fmt: skip
    assert unit["correct"] == pixel["correct"]
    assert unit["eps"] == 0.3


@pytest.mark.parametrize("attack", ["none", "fgsm", "pgd"])
def test_conventions_are_measured_by_plain_loops(net, digits, attack):
    """As `rotgrid.attacks.conventions` does on the same images from the same starts."""
    trial = TRIAL.model_copy(update={"train_translation": 2.0})
    common = {"attack": attack, "steps": 2, "restarts": 2, "n_images": 60}
    ways = [{"mode": "train"}, {"clip": "normalised"}, {"clip": "none", "mode": "train"}]
    probes = [
        Probe(**common, **way, eps=eps).resolve(trial) for way in ways for eps in (0.02, 0.1)
    ]
    found = {row["probe"]: row for row in rows(net, digits, *probes, trial=trial)}
    for probe in probes:
        images, labels = evaluation.test_images(digits, trial, probe)
        starts = {"generator": torch.Generator().manual_seed(settings.ATTACK_SEED)}
        run = {"steps": 2, "restarts": 2, **starts} if attack == "pgd" else {}
        expected = conventions.sweep(
            net, images, labels, attack=attack, eps_grid=[probe.eps], shape=MNIST_SHAPE,
            clip=probe.clip, mode=probe.mode, **run,
        )[0]  # fmt: skip
        row = found[probe.key()]
        assert (bits(row) == expected.numpy()).all()
        assert row["n_correct"] == expected.sum()
        assert (row["clip"], row["mode"]) == (probe.clip, probe.mode)


def test_without_a_convention_none_of_it_runs(net, digits, monkeypatch):
    monkeypatch.setattr(conventions, "sweep", None)
    probes = [Probe(attack=attack, **SHORT) for attack in ("none", "fgsm", "pgd")]
    assert len(rows(net, digits, *probes)) == 3
    with pytest.raises(TypeError):
        rows(net, digits, Probe(mode="train", **SHORT))


def test_no_random_start_means_the_image_itself(net, digits):
    probe = Probe(attack="pgd", eps=0.05, steps=3, restarts=0, n_images=50, test_rotation=0)
    (row,) = rows(net, digits, probe)
    chosen = data.subset(digits.test_labels, 50)
    images, labels = pixels(digits.test_images[chosen]), digits.test_labels[chosen]
    expected = attacks.sweep(net, images, labels, attack="pgd", eps_grid=[0.05], steps=3)[0]
    assert (bits(row) == expected.numpy()).all()


@pytest.mark.parametrize(
    ("attack", "threat", "eps"),
    [("fmn", "linf", (0.001, 0.02)), ("fmn", "l2", (0.1, 1.5)), ("lbfgs", "l2", (0.1, 1.5))],
)
def test_distances_say_where_images_break(net, digits, attack, threat, eps):
    probes = [Probe(attack=attack, threat=threat, eps=one, steps=5, n_images=50) for one in eps]
    near, far = rows(net, digits, *probes)
    assert near["distances"] == far["distances"]
    for row in (near, far):
        assert (bits(row) == (np.array(row["distances"]) > row["eps"] + 1e-6)).all()


class NearestMean(torch.nn.Module):
    """Classifies by the nearest mean image of the training digits."""

    def __init__(self, digits):
        super().__init__()
        self.means = means_of(pixels(digits.train_images), digits.train_labels, 10).flatten(1)

    def forward(self, images):
        return -torch.cdist(images.flatten(1), self.means)


def test_the_worst_over_a_set_is_no_better_than_the_draw_in_it(digits):
    net = NearestMean(digits)
    common = {"n_images": 60, "test_rotation": 20, "test_translation": 2}
    probes = [
        Probe(**common),
        Probe(attack="worst-of-10", **common),
        Probe(attack="rotation-grid", **common),
        Probe(attack="spatial-pgd", eps=0.05, steps=2, **common),
    ]
    found = {row["attack"]: bits(row) for row in rows(net, digits, *probes)}
    average, worst, turns, joint = (found[probe.attack] for probe in probes)
    assert (worst <= average).all()
    assert worst.sum() < average.sum()
    assert (joint <= worst).all()
    assert (joint <= turns).all()


def test_shifted_test_images_are_moved_by_frozen_draws(digits):
    upright = Probe(test_rotation=0, n_images=30)
    still, _ = evaluation.test_images(digits, TRIAL, upright)
    shifted, _ = evaluation.test_images(
        digits, TRIAL, Probe(test_rotation=0, test_translation=3, n_images=30)
    )
    assert not torch.equal(still, shifted)
    mass = shifted.sum((1, 2, 3)) / still.sum((1, 2, 3))
    assert ((mass > 0.9) & (mass < 1.1)).all()


def test_transfer_asks_for_its_source(net, digits):
    probe = Probe(attack="transfer", source="gcnn", **SHORT)
    asked = []
    rows(net, digits, probe, sources=lambda name: asked.append(name) or net)
    assert asked == ["gcnn"]
    with pytest.raises(ValueError, match="needs sources"):
        rows(net, digits, probe)


def test_filters_are_built_once_for_all_probes(digits):
    net = models.build("gcnn", "halved", seed=3)
    calls = []
    build = net.conv1.expand
    net.conv1.expand = lambda: calls.append(1) or build()
    probes = [
        Probe(attack=attack, eps=eps, steps=2, n_images=20, test_rotation=rotation)
        for attack in ("none", "fgsm", "pgd", "equivariance")
        for eps in (0.1, 0.2)
        for rotation in (0, 30)
    ]
    assert len(rows(net, digits, *probes)) == 12
    assert len(calls) == 1
    net(torch.rand(1, 1, 28, 28))
    assert len(calls) == 2
