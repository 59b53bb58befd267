import hashlib
import io
import zipfile

import numpy as np
import pytest

from rotgrid import data
from rotgrid.data import DataError, mnist_rot
from rotgrid.spec.datasets import DATA

SIZES = {"train": 12, "val": 4, "test": 9}


def amat(images, labels):
    """Text as in the official files: a line of pixels in [0, 1] and the label, as floats."""
    rows = np.column_stack([images.reshape(len(images), -1) / 255, labels])
    file = io.StringIO()
    np.savetxt(file, rows, fmt="%.8e", delimiter=" ", newline=" \n")
    return file.getvalue()


@pytest.fixture
def content(monkeypatch):
    """Random images and labels of both files."""
    monkeypatch.setitem(DATA, "mnist-rot", DATA["mnist-rot"]._replace(**SIZES))
    rng = np.random.default_rng(0)
    n = sum(SIZES.values())
    return rng.integers(0, 256, (n, 28, 28)), rng.integers(0, 10, n)


@pytest.fixture
def archive(content, monkeypatch):
    """The bytes of an archive whose checksums are the right ones, its files in a folder."""
    images, labels = content
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as writer:
        for member, part in zip(mnist_rot.MEMBERS, (slice(16), slice(16, None)), strict=True):
            writer.writestr(f"folder/{member}", amat(images[part], labels[part]))
    trust(monkeypatch, file.getvalue())
    return file.getvalue()


def trust(monkeypatch, content):
    sums = tuple(f"{name}:{hashlib.new(name, content).hexdigest()}" for name in ("md5", "sha1"))
    monkeypatch.setattr(mnist_rot, "CHECKSUMS", sums)


def assert_split(dataset, content):
    images, labels = content
    start = 0
    for part, n in SIZES.items():
        stop = start + n
        assert np.array_equal(getattr(dataset, f"{part}_images")[:, 0], images[start:stop]), part
        assert np.array_equal(getattr(dataset, f"{part}_labels"), labels[start:stop]), part
        start = stop
    assert dataset.shape == DATA["mnist-rot"].shape


@pytest.mark.parametrize("below", ["", "mnist-rot"])
def test_the_archive_is_split_by_index(root, cache, content, archive, below):
    (root / below).mkdir(exist_ok=True)
    (root / below / mnist_rot.ARCHIVE).write_bytes(archive)
    assert_split(data.load("mnist-rot"), content)


def test_text_is_parsed_once(root, cache, content, archive, monkeypatch):
    (root / mnist_rot.ARCHIVE).write_bytes(archive)
    data.load("mnist-rot")
    monkeypatch.setattr(mnist_rot, "parse_archive", None)
    assert_split(data.load("mnist-rot"), content)


def test_a_damaged_cache_is_written_again(root, cache, content, archive):
    (root / mnist_rot.ARCHIVE).write_bytes(archive)
    data.load("mnist-rot")
    (parsed,) = (cache / "mnist-rot").iterdir()
    whole = parsed.read_bytes()
    parsed.write_bytes(whole[: len(whole) // 2])
    assert_split(data.load("mnist-rot"), content)
    assert parsed.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_no_error(root, cache, content, archive):
    (root / mnist_rot.ARCHIVE).write_bytes(archive)
    cache.parent.write_text("in the way")
    assert_split(data.load("mnist-rot"), content)


def test_download(served, cache, content, archive, monkeypatch):
    folder, address = served
    (folder / mnist_rot.ARCHIVE).write_bytes(archive)
    monkeypatch.setattr(mnist_rot, "MIRRORS", (f"{address}absent/", address))
    assert_split(data.load("mnist-rot"), content)
    assert (cache / "mnist-rot" / mnist_rot.ARCHIVE).read_bytes() == archive


def test_another_archive_is_refused(root, cache, archive):
    (root / mnist_rot.ARCHIVE).write_bytes(archive + b" ")
    with pytest.raises(DataError, match=r"mnist_rotation_new.zip: corrupt: .*MD5.*replace it"):
        data.load("mnist-rot")


@pytest.mark.parametrize("text", ["0 1 2", "x " * 785, "0 1\n0\n"])
def test_a_trusted_archive_of_another_form_is_refused(root, cache, content, monkeypatch, text):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as writer:
        writer.writestr(mnist_rot.MEMBERS[0], text)
    trust(monkeypatch, file.getvalue())
    (root / mnist_rot.ARCHIVE).write_bytes(file.getvalue())
    with pytest.raises(DataError, match="is not the archive of MNIST-rot"):
        data.load("mnist-rot")


def test_a_missing_archive_is_said_with_its_places(root):
    with pytest.raises(DataError, match=r"mnist_rotation_new.zip: not found.*mnist-rot") as error:
        data.load("mnist-rot")
    assert str(root / "mnist-rot") in str(error.value)
