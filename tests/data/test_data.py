import numpy as np
import pytest
import torch

from rotgrid import data, experiment
from rotgrid.data.parts import KEYS
from rotgrid.spec import Probe, Trial
from rotgrid.spec.adversaries import ADVERSARIES
from rotgrid.spec.attacks import ATTACKS
from rotgrid.spec.datasets import DATA


def test_embedded_digits_are_split_and_balanced(digits):
    for part, n in (("train", 3_500), ("val", 500), ("test", 1_000)):
        images, labels = getattr(digits, f"{part}_images"), getattr(digits, f"{part}_labels")
        assert images.shape == (n, 1, 28, 28)
        assert images.dtype == torch.uint8
        assert labels.dtype == torch.int64
        assert torch.bincount(labels).tolist() == [n // 10] * 10
    every = torch.cat([digits.train_images, digits.val_images, digits.test_images]).flatten(1)
    assert len(every.unique(dim=0)) == 5_000


def test_embedded_digits_are_images_of_digits(digits):
    """The nearest class mean is right far more often than chance: images and labels belong."""
    images = data.pixels(digits.train_images).flatten(1)
    means = torch.stack([images[digits.train_labels == c].mean(0) for c in range(10)])
    tested = data.pixels(digits.test_images).flatten(1)
    found = torch.cdist(tested, means).argmin(1)
    assert (found == digits.test_labels).float().mean() > 0.75


def test_unknown_data_are_refused_with_the_choices():
    with pytest.raises(ValueError, match="no data set 'cifar'; choose from mnist5k, mnist"):
        data.load("cifar")


def test_every_entry_has_a_reader_and_one_number_a_channel():
    assert data.READERS.keys() == DATA.keys()
    for entry in DATA.values():
        assert len(entry.shape.mean) == len(entry.shape.std) == entry.shape.channels
        assert entry.label


def test_what_is_provided_needs_no_file_here(provided):
    """Workers have own files only as the driver hands them over."""
    data.provide("mine.npz", {**provided, "shape": DATA["cifar10"].shape})
    assert data.load("mine.npz").shape == DATA["cifar10"].shape
    assert data.load("mine.npz").name == "mine.npz"


@pytest.mark.parametrize("n", [10, 37, 500, 3_499])
def test_subsets_are_stratified(digits, n):
    chosen = data.subset(digits.train_labels, n)
    assert len(chosen) == len(chosen.unique()) == n
    counts = torch.bincount(digits.train_labels[chosen], minlength=10)
    assert counts.max() - counts.min() <= 1


def test_subsets_nest(digits):
    sets = [set(data.subset(digits.train_labels, n).tolist()) for n in (10, 100, 101, 3_500)]
    assert sets[0] < sets[1] < sets[2] < sets[3]
    assert torch.equal(data.subset(digits.train_labels, 3_500), torch.arange(3_500))


def test_subsets_of_unbalanced_labels_keep_the_shares():
    labels = torch.tensor([0] * 900 + [1] * 100)
    counts = torch.bincount(labels[data.subset(labels, 100)])
    assert counts.tolist() == [90, 10]


def test_pixels_are_floats_in_the_unit_interval(digits):
    images = data.pixels(digits.test_images)
    assert images.dtype == torch.float32
    assert (images.amin(), images.amax()) == (0, 1)


def test_data_move_to_a_device_together(digits):
    moved = digits.to("meta")
    assert {moved.train_images.device.type, moved.test_labels.device.type} == {"meta"}
    assert moved.name == "mnist5k"


@pytest.fixture
def provided():
    """The digits as another process shares them: read-only, which torch does not know."""
    arrays = data.arrays(data.load("mnist5k"))
    for key in KEYS:
        arrays[key] = arrays[key].copy()
        arrays[key].flags.writeable = False
    experiment.dataset_on.cache_clear()
    data.provide("mnist5k", arrays)
    yield arrays
    data._provided.clear()
    experiment.dataset_on.cache_clear()


def test_what_is_provided_is_not_copied(provided):
    loaded = data.arrays(experiment.dataset_on("mnist5k", torch.device("cpu")))
    assert loaded.keys() == provided.keys() == {"shape", *KEYS}
    assert loaded["shape"] == DATA["mnist5k"].shape
    for key in KEYS:
        assert loaded[key].ctypes.data == provided[key].ctypes.data


def test_a_process_holds_one_data_set(provided):
    data.provide("mnist", {**provided})
    assert [*data._provided] == ["mnist"]
    assert data.load("mnist5k").train_images.data_ptr() != provided["train_images"].ctypes.data
    experiment.dataset_on("mnist5k", torch.device("cpu"))
    experiment.dataset_on("mnist", torch.device("cpu"))
    assert experiment.dataset_on.cache_info().currsize == 1


@pytest.mark.parametrize("how", [*tuple(ADVERSARIES), "probes"])
def test_nothing_writes_into_a_data_set(provided, tmp_path, how):
    """Training with each adversary, and all measurements: the memory is shared by processes."""
    trial = Trial(
        model="stdcnn",
        data="mnist5k",
        recipe="fast",
        train_size=20,
        epochs=1,
        train_rotation=30,
        adversary="none" if how == "probes" else how,
    )
    probes = [probe_of(attack) for attack in ATTACKS] if how == "probes" else []
    experiment.run(trial, probes, tmp_path)
    digits = data.load("mnist5k")
    assert digits.train_images.data_ptr() == provided["train_images"].ctypes.data
    data._provided.clear()
    original = data.arrays(data.load("mnist5k"))
    for key in KEYS:
        assert np.array_equal(original[key], provided[key]), key


def probe_of(attack):
    shifted = {"test_translation": 2.0} if "translation" in attack else {}
    turned = {} if attack == "translation-grid" else {"test_rotation": 30.0}
    source = {"source": "stdcnn"} if attack == "transfer" else {}
    return Probe(attack=attack, n_images=10, eps=0.1, **shifted, **turned, **source)
