import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra import numpy as arrays_of

from rotgrid import data
from rotgrid.data import DataError, mnist
from rotgrid.spec.archives import moments
from rotgrid.spec.datasets import DATA

LAYOUTS = {"mnist": "MNIST/raw", "fashion-mnist": "FashionMNIST/raw"}


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    return header + array.astype(np.uint8).tobytes()


@given(arrays_of.arrays(np.uint8, arrays_of.array_shapes(max_dims=4)))
def test_idx_files_hold_what_was_written(array):
    assert np.array_equal(mnist.parse_idx(idx(array)), array)


def packed_files(name, monkeypatch):
    """Four small gzipped files of that set, each image filled by its index; their hashes are the
    right ones."""
    monkeypatch.setitem(DATA, name, DATA[name]._replace(train=20, val=5, test=10))
    plain = {}
    for part, n, first in (("train", 25, 0), ("t10k", 10, 100)):
        values = np.arange(first, first + n) + 10 * (name != "mnist")
        plain[f"{part}-images-idx3-ubyte"] = idx(np.tile(values[:, None, None], (1, 28, 28)))
        plain[f"{part}-labels-idx1-ubyte"] = idx(values % 10)
    packed = {f"{file}.gz": gzip.compress(content) for file, content in plain.items()}
    source = mnist.IDX[name]._replace(
        sha256={file: hashlib.sha256(content).hexdigest() for file, content in plain.items()},
        gzip_md5={file: hashlib.md5(packed[f"{file}.gz"]).hexdigest() for file in plain},
    )
    monkeypatch.setitem(mnist.IDX, name, source)
    return packed


def write(files, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def unpack(folder):
    for path in list(folder.glob("*.gz")):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()


def assert_split(dataset, first=0):
    assert dataset.val_images[:, 0, 0, 0].tolist() == [first + i for i in range(5)]
    assert dataset.train_images[:, 0, 0, 0].tolist() == [first + i for i in range(5, 25)]
    assert dataset.test_images[:, 0, 0, 0].tolist() == [first + i for i in range(100, 110)]
    assert dataset.test_labels.tolist() == list(range(10))
    assert dataset.shape == DATA[dataset.name].shape


@pytest.mark.parametrize("name", mnist.IDX)
@pytest.mark.parametrize("layout", ["flat", "by name", "torchvision"])
@pytest.mark.parametrize("packed", [True, False])
def test_every_layout_is_split_by_index(root, monkeypatch, name, layout, packed):
    folder = root / {"flat": "", "by name": name, "torchvision": LAYOUTS[name]}[layout]
    write(packed_files(name, monkeypatch), folder)
    if not packed:
        unpack(folder)
    assert_split(data.load(name), 0 if name == "mnist" else 10)


@pytest.mark.parametrize("flat", mnist.IDX)
def test_files_of_both_sets_are_told_apart_by_their_content(root, monkeypatch, flat):
    for name in mnist.IDX:
        write(packed_files(name, monkeypatch), root / ("" if name == flat else name))
    assert_split(data.load("mnist"))
    assert_split(data.load("fashion-mnist"), 10)


@pytest.mark.parametrize("folder", ["", "mnist", "MNIST/raw"])
def test_a_folder_of_the_other_set_is_said_to_be_one(root, monkeypatch, folder):
    packed_files("mnist", monkeypatch)
    write(packed_files("fashion-mnist", monkeypatch), root / folder)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz is Fashion-MNIST's"):
        data.load("mnist")


DAMAGE = {
    "truncated": lambda content: content[: len(content) // 2],
    "corrupt": lambda content: gzip.compress(gzip.decompress(content)[:-1] + b"x"),
    "empty": lambda content: b"",
    "not gzip": lambda content: b"<html>404</html>",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_errors_that_name_them(root, monkeypatch, damage):
    write(packed_files("mnist", monkeypatch), root)
    path = root / "train-images-idx3-ubyte.gz"
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: (truncated|corrupt)"):
        data.load("mnist")


def test_missing_files_are_errors_that_name_them_and_all_places(root, monkeypatch):
    write(packed_files("mnist", monkeypatch), root)
    (root / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte \(or .gz\): not found") as error:
        data.load("mnist")
    for place in (root / "mnist", root / "MNIST/raw", root):
        assert f"{place}" in str(error.value)
    assert "unset ROTGRID_DATA to download MNIST" in str(error.value)


def test_download_goes_on_to_the_second_mirror_and_is_cached(served, cache, monkeypatch):
    folder, address = served
    for name in mnist.IDX:
        write(packed_files(name, monkeypatch), folder / name)

    def mirrors(*below):
        for name, source in mnist.IDX.items():
            places = tuple(f"{address}{place or name}/" for place in below)
            monkeypatch.setitem(mnist.IDX, name, source._replace(mirrors=places))

    def load():
        assert_split(data.load("mnist"))
        assert_split(data.load("fashion-mnist"), 10)

    mirrors("absent", "")
    load()
    assert {path.name for path in cache.iterdir()} == set(mnist.IDX)
    mirrors()
    with pytest.raises(DataError):
        load()
    mirrors("absent")
    load()


def test_a_mirror_that_serves_damage_is_refused(served, monkeypatch):
    folder, address = served
    write(packed_files("mnist", monkeypatch), folder)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"no digits"))
    monkeypatch.setitem(mnist.IDX, "mnist", mnist.IDX["mnist"]._replace(mirrors=(address,)))
    with pytest.raises(DataError, match=r"idx3-ubyte.gz: cannot be downloaded; set ROTGRID_DATA"):
        data.load("mnist")


def test_damage_to_the_embedded_digits_is_an_error(tmp_path, monkeypatch):
    broken = tmp_path / "mnist5k.npz"
    broken.write_bytes(mnist.EMBEDDED.read_bytes()[:-1])
    monkeypatch.setattr(mnist, "EMBEDDED", broken)
    with pytest.raises(DataError, match=r"mnist5k.npz: corrupt: .* reinstall"):
        data.load("mnist5k")


@pytest.fixture
def fashion(monkeypatch):
    """The real Fashion-MNIST: from the folder of MNIST or the one beside it, or downloaded."""
    given_root = Path(os.environ.get("ROTGRID_DATA", ""))
    places = [given_root, given_root.parent]
    real = next((p for p in places if (p / "fashion-mnist").is_dir()), None)
    if real:
        monkeypatch.setenv("ROTGRID_DATA", str(real))
    return data.load("fashion-mnist")


@pytest.mark.real_data
def test_the_real_fashion_mnist(fashion):
    for part, n in (("train", 55_000), ("val", 5_000), ("test", 10_000)):
        images, labels = getattr(fashion, f"{part}_images"), getattr(fashion, f"{part}_labels")
        assert images.shape == (n, 1, 28, 28)
        assert torch.bincount(labels).min() > 0.09 * n
    assert torch.bincount(fashion.test_labels).tolist() == [1_000] * 10
    whole = torch.cat([fashion.val_images, fashion.train_images]).numpy()
    (mean,), (std,) = moments(whole)
    assert (round(mean, 4), round(std, 4)) == (fashion.shape.mean[0], fashion.shape.std[0])
