import numpy as np
import pytest
import torch

from rotgrid import attacks, data, evaluation, models
from rotgrid.data import pixels
from rotgrid.rotation import draw_angles, rotate
from rotgrid.spec import Probe, Trial

TRIAL = Trial(model="stdcnn", data="mnist5k", train_rotation=60)


@pytest.fixture(scope="module")
def net():
    return models.build("stdcnn", seed=3).eval()


def rows(net, digits, *probes, trial=TRIAL):
    resolved = [probe.resolve(trial) for probe in probes]
    return [row for part in evaluation.measure(net, digits, trial, resolved) for row in part]


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
    wide = evaluation.rotated_test_images(digits, TRIAL, Probe(test_rotation=0, n_images=100))
    other = Trial(model="gcnn", data="mnist5k", seed=9)
    again = evaluation.rotated_test_images(digits, other, Probe(test_rotation=0, n_images=100))
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
    expected, _ = evaluation.rotated_test_images(
        digits, TRIAL, Probe(test_rotation=30.0, n_images=50)
    )
    assert torch.equal(seen[0], expected)


def test_interpolation_is_the_trial_s(digits):
    nearest = Trial(model="stdcnn", data="mnist5k", interpolation="nearest")
    probe = Probe(test_rotation=30.0, n_images=20)
    images, _ = evaluation.rotated_test_images(digits, nearest, probe)
    values = set((images * 255).round().flatten().tolist())
    assert values <= set(digits.test_images.float().flatten().tolist())


def test_an_unresolved_probe_is_refused(net, digits):
    with pytest.raises(ValueError, match="resolve"):
        evaluation.rotated_test_images(digits, TRIAL, Probe())


def test_an_equivariance_probe_turns_every_image_by_its_angle(net, digits):
    probe = Probe(attack="equivariance", test_rotation=90, n_images=60)
    clean, row = rows(net, digits, Probe(test_rotation=0, n_images=60), probe)[::-1]
    images = pixels(digits.test_images[data.subset(digits.test_labels, 60)])
    with torch.no_grad():
        same = net(images).argmax(1) == net(images.rot90(1, (-2, -1))).argmax(1)
    assert (bits(row) == same.numpy()).all()
    assert (row["n"], row["n_correct"]) == (60, same.sum())
    assert list(row["layers"]) == [*net.invariants, "logits"]
    assert "layers" not in clean


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
