import hashlib
import io
import pickle
import tarfile

import numpy as np
import pytest

from rotgrid import data
from rotgrid.data import DataError, cifar10
from rotgrid.spec.datasets import DATA

SIZES = {"train": 11, "val": 4, "test": 3}
LENGTHS = (3, 3, 3, 3, 3, 3)


@pytest.fixture
def content(monkeypatch):
    """Random images and labels in the official order."""
    monkeypatch.setitem(DATA, "cifar10", DATA["cifar10"]._replace(**SIZES))
    rng = np.random.default_rng(0)
    n = sum(LENGTHS)
    return rng.integers(0, 256, (n, 3, 32, 32), np.uint8), rng.integers(0, 10, n)


def batches(content):
    images, labels = content
    stops = np.cumsum(LENGTHS)
    for stop, n in zip(stops, LENGTHS, strict=True):
        yield images[stop - n : stop], labels[stop - n : stop]


def binary(content):
    """Files of the binary version: records of a label and 3,072 pixels."""
    return {
        name: np.column_stack([labels.astype(np.uint8), images.reshape(len(images), -1)]).tobytes()
        for name, (images, labels) in zip(cifar10.BINARY.checksums, batches(content), strict=True)
    }


def python(content):
    """Files of the Python version: pickles of protocol 2 with keys of bytes."""
    return {
        name: pickle.dumps(
            {b"data": images.reshape(len(images), -1), b"labels": labels.tolist()}, protocol=2
        )
        for name, (images, labels) in zip(cifar10.PYTHON.checksums, batches(content), strict=True)
    }


def tar(files):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as writer:
        for name, text in {"readme.html": b"", **files}.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(text)
            writer.addfile(member, io.BytesIO(text))
    return file.getvalue()


def trust(monkeypatch, form, files):
    """Let these files be the official ones."""
    checksums = {}
    for name, text in files.items():
        algorithm = form.checksums[name].partition(":")[0]
        checksums[name] = f"{algorithm}:{hashlib.new(algorithm, text).hexdigest()}"
    which = "BINARY" if form is cifar10.BINARY else "PYTHON"
    monkeypatch.setattr(cifar10, which, form._replace(checksums=checksums))


@pytest.fixture
def archive(content, monkeypatch):
    whole = tar(binary(content))
    monkeypatch.setattr(cifar10, "ARCHIVE_SHA256", hashlib.sha256(whole).hexdigest())
    return whole


def assert_split(dataset, content):
    images, labels = content
    start = 0
    for part, n in SIZES.items():
        stop = start + n
        assert np.array_equal(getattr(dataset, f"{part}_images"), images[start:stop]), part
        assert np.array_equal(getattr(dataset, f"{part}_labels"), labels[start:stop]), part
        start = stop
    assert dataset.shape == DATA["cifar10"].shape


def put(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_bytes(text)


@pytest.mark.parametrize("below", ["", "cifar10"])
def test_the_archive_is_split_by_index(root, content, archive, below):
    put(root / below, {cifar10.ARCHIVE: archive})
    assert_split(data.load("cifar10"), content)


@pytest.mark.parametrize("below", ["", "cifar10"])
@pytest.mark.parametrize(("which", "written"), [("BINARY", binary), ("PYTHON", python)])
def test_extracted_folders_serve_as_well(root, content, monkeypatch, below, which, written):
    form = getattr(cifar10, which)
    files = written(content)
    trust(monkeypatch, form, files)
    put(root / below / form.name, files)
    assert_split(data.load("cifar10"), content)


def test_download(served, cache, content, archive, monkeypatch):
    folder, address = served
    put(folder, {cifar10.ARCHIVE: archive})
    monkeypatch.setattr(cifar10, "MIRRORS", (f"{address}absent/", address))
    assert_split(data.load("cifar10"), content)
    assert (cache / "cifar10" / cifar10.ARCHIVE).is_file()


class Trap:
    """Runs code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_with_a_wrong_checksum_is_never_opened(root, content, tmp_path):
    trap = pickle.dumps(Trap(tmp_path / "sprung"))
    put(root / cifar10.PYTHON.name, {**python(content), "data_batch_1": trap})
    with pytest.raises(DataError, match=r"data_batch_1: corrupt: .*MD5"):
        data.load("cifar10")
    assert not (tmp_path / "sprung").exists()


def test_a_missing_batch_is_named(root, content, monkeypatch):
    files = python(content)
    trust(monkeypatch, cifar10.PYTHON, files)
    del files["test_batch"]
    put(root / cifar10.PYTHON.name, files)
    with pytest.raises(DataError, match="cifar-10-batches-py/test_batch: cannot be read"):
        data.load("cifar10")


def test_another_archive_is_refused(root, archive):
    put(root, {cifar10.ARCHIVE: archive[:-1]})
    with pytest.raises(DataError, match=r"binary.tar.gz: corrupt: .*SHA256.*replace it"):
        data.load("cifar10")


@pytest.mark.parametrize("whole", [b"no archive", tar({})])
def test_a_trusted_archive_of_another_form_is_refused(root, monkeypatch, whole):
    monkeypatch.setattr(cifar10, "ARCHIVE_SHA256", hashlib.sha256(whole).hexdigest())
    put(root, {cifar10.ARCHIVE: whole})
    with pytest.raises(DataError, match="is not the archive of CIFAR-10"):
        data.load("cifar10")


def test_missing_files_are_said_with_their_places(root):
    with pytest.raises(DataError, match="not found; it belongs to cifar10") as error:
        data.load("cifar10")
    assert f"{root / 'cifar10'}, {root}" in str(error.value)
    assert "unset ROTGRID_DATA to download CIFAR-10" in str(error.value)
