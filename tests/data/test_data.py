import gzip
import hashlib
import http.server
import threading

import numpy as np
import pytest
import torch

from rotgrid import data, experiment
from rotgrid.data import DataError
from rotgrid.spec import Probe, Trial
from rotgrid.spec.adversaries import ADVERSARIES
from rotgrid.spec.attacks import ATTACKS


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


def test_damage_to_the_embedded_digits_is_an_error(tmp_path, monkeypatch):
    broken = tmp_path / "mnist5k.npz"
    broken.write_bytes(data.EMBEDDED.read_bytes()[:-1])
    monkeypatch.setattr(data, "EMBEDDED", broken)
    with pytest.raises(DataError, match=r"mnist5k.npz: corrupt: .* reinstall"):
        data.load("mnist5k")


def test_unknown_data_are_refused_with_the_choices():
    with pytest.raises(ValueError, match="no data set 'cifar'; choose from mnist5k, mnist"):
        data.load("cifar")


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def mnist_files(tmp_path, monkeypatch):
    """Four small files of MNIST's form, each image filled by its index, with their own hashes."""
    monkeypatch.setitem(data.DATA, "mnist", data.DATA["mnist"]._replace(train=20, val=5, test=10))
    files = {}
    for part, n, first in (("train", 25, 0), ("t10k", 10, 100)):
        values = np.arange(first, first + n)
        files[f"{part}-images-idx3-ubyte"] = idx(np.tile(values[:, None, None], (1, 28, 28)))
        files[f"{part}-labels-idx1-ubyte"] = idx(values % 10)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(data, "SHA256", hashes)
    packed = {name: gzip.compress(content) for name, content in files.items()}
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in packed.items()}
    monkeypatch.setattr(data, "GZIP_MD5", md5)
    folder = tmp_path / "mnist"
    folder.mkdir()
    for name, content in packed.items():
        (folder / f"{name}.gz").write_bytes(content)
    return folder


def assert_split(dataset):
    assert dataset.val_images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert dataset.train_images[:, 0, 0, 0].tolist() == list(range(5, 25))
    assert dataset.test_images[:, 0, 0, 0].tolist() == list(range(100, 110))
    assert dataset.test_labels.tolist() == list(range(10))


def test_mnist_from_a_folder_is_split_by_index(mnist_files, monkeypatch):
    monkeypatch.setenv("ROTGRID_DATA", str(mnist_files))
    assert_split(data.load("mnist"))


def test_plain_files_serve_as_well(mnist_files, monkeypatch):
    for path in list(mnist_files.iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    monkeypatch.setenv("ROTGRID_DATA", str(mnist_files))
    assert_split(data.load("mnist"))


DAMAGE = {
    "truncated": lambda content: content[: len(content) // 2],
    "corrupt": lambda content: gzip.compress(gzip.decompress(content)[:-1] + b"x"),
    "empty": lambda content: b"",
    "not gzip": lambda content: b"<html>404</html>",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_errors_that_name_them(mnist_files, monkeypatch, damage):
    path = mnist_files / "train-images-idx3-ubyte.gz"
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    monkeypatch.setenv("ROTGRID_DATA", str(mnist_files))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: (truncated|corrupt)"):
        data.load("mnist")


def test_missing_files_are_errors_that_name_them(mnist_files, monkeypatch):
    (mnist_files / "t10k-labels-idx1-ubyte.gz").unlink()
    monkeypatch.setenv("ROTGRID_DATA", str(mnist_files))
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte: not found"):
        data.load("mnist")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def mirror(mnist_files, tmp_path, monkeypatch):
    """A mirror on this machine, and an empty cache."""
    import functools

    handler = functools.partial(Quiet, directory=str(mnist_files))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.delenv("ROTGRID_DATA", raising=False)
    monkeypatch.setattr(data.pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_download_goes_on_to_the_second_mirror_and_is_cached(mirror, monkeypatch):
    monkeypatch.setattr(data, "MIRRORS", (f"{mirror}absent/", mirror))
    assert_split(data.load("mnist"))
    monkeypatch.setattr(data, "MIRRORS", ())
    with pytest.raises(DataError):
        data.load("mnist")
    monkeypatch.setattr(data, "MIRRORS", (f"{mirror}absent/",))
    assert_split(data.load("mnist"))


def test_a_mirror_that_serves_damage_is_refused(mirror, mnist_files, monkeypatch):
    (mnist_files / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"no digits"))
    monkeypatch.setattr(data, "MIRRORS", (mirror,))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte: cannot be downloaded; set ROT"):
        data.load("mnist")


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
    arrays = {name: array.copy() for name, array in data.arrays(data.load("mnist5k")).items()}
    for array in arrays.values():
        array.flags.writeable = False
    experiment.dataset_on.cache_clear()
    data.provide("mnist5k", arrays)
    yield arrays
    data._provided.clear()
    experiment.dataset_on.cache_clear()


def test_what_is_provided_is_not_copied(provided):
    loaded = data.arrays(experiment.dataset_on("mnist5k", torch.device("cpu")))
    assert loaded.keys() == provided.keys()
    for name, array in provided.items():
        assert loaded[name].ctypes.data == array.ctypes.data


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
    for name, array in data.arrays(data.load("mnist5k")).items():
        assert np.array_equal(array, provided[name]), name


def probe_of(attack):
    shifted = {"test_translation": 2.0} if "translation" in attack else {}
    turned = {} if attack == "translation-grid" else {"test_rotation": 30.0}
    source = {"source": "stdcnn"} if attack == "transfer" else {}
    return Probe(attack=attack, n_images=10, eps=0.1, **shifted, **turned, **source)
