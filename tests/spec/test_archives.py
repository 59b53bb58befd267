import io
import os
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotgrid.spec import archives
from rotgrid.spec.archives import KEYS, describe, digest, moments


def made(channels=3, size=6, classes=4, counts=(12, 4, 5), grey=False):
    rng = np.random.default_rng(0)
    found = {}
    for part, n in zip(("train", "val", "test"), counts, strict=True):
        shape = (n, size, size) if grey else (n, channels, size, size)
        found[f"{part}_images"] = rng.integers(0, 256, shape, np.uint8)
        found[f"{part}_labels"] = np.arange(n) % classes
    return found


@pytest.fixture
def save(tmp_path):
    """Writes a file from what is right and what is changed in it; None leaves a key out."""

    def write(base=None, **changed):
        content = {**(base or made()), **changed}
        np.savez(tmp_path / "mine.npz", **{k: a for k, a in content.items() if a is not None})
        return tmp_path / "mine.npz"

    return write


@given(
    channels=st.integers(1, 4),
    size=st.integers(1, 9),
    classes=st.integers(2, 5),
    extra=st.tuples(*[st.integers(0, 20)] * 3),
    packed=st.booleans(),
)
def test_a_file_is_described_as_numpy_sees_it(
    tmp_path_factory, channels, size, classes, extra, packed
):
    content = made(channels, size, classes, [classes + n for n in extra])
    path = tmp_path_factory.mktemp("own") / "a.npz"
    (np.savez_compressed if packed else np.savez)(path, **content)
    found = describe(path)
    assert (found.train, found.val, found.test) == tuple(classes + n for n in extra)
    assert found.shape[:3] == (channels, size, classes)
    pixels = content["train_images"] / 255
    assert found.shape.mean == pytest.approx(pixels.mean((0, 2, 3)), abs=1e-6)
    assert found.shape.std == pytest.approx(pixels.std((0, 2, 3)), abs=1e-6)
    assert found.label == "a.npz"


@given(st.integers(1, 50), st.integers(1, 3))
def test_moments_do_not_depend_on_the_chunk(n, channels):
    images = np.random.default_rng(n).integers(0, 256, (n, channels, 4, 4), np.uint8)
    whole = moments(images)
    try:
        archives.CHUNK = 7
        assert moments(images) == whole
    finally:
        archives.CHUNK = 1_000


def test_grey_images_may_lack_the_axis_of_channels(save):
    assert describe(save(made(grey=True))).shape[:2] == (1, 6)


@pytest.mark.parametrize("mean", [0.5, [0.5], [0.25, 0.5, 1.0]])
def test_mean_and_deviation_are_taken_as_given(save, mean):
    shape = describe(save(mean=mean, std=mean)).shape
    assert shape.mean == shape.std == tuple(np.broadcast_to(mean, 3).tolist())


def test_one_of_mean_and_deviation_may_be_given(save):
    plain = describe(save()).shape
    shape = describe(save(mean=0.5)).shape
    assert (shape.mean, shape.std) == ((0.5,) * 3, plain.std)


def test_images_are_not_read_where_mean_and_deviation_are_given(save, monkeypatch):
    read, real = [], archives.read_array

    def read_array(archive, key):
        read.append(key)
        return real(archive, key)

    monkeypatch.setattr(archives, "read_array", read_array)
    describe(save(mean=0.5, std=0.2))
    assert {"train_labels", "mean"} <= set(read)
    assert not [key for key in read if "images" in key]


def test_a_file_is_read_once_while_it_does_not_change(save, monkeypatch):
    path = save(mean=0.5, std=0.2)
    first, name = describe(path), digest(path)
    monkeypatch.setattr(archives, "read_headers", None)
    assert describe(path) is first
    assert digest(str(path)) == name
    monkeypatch.undo()
    np.savez(path, **made(classes=3))
    assert describe(path).shape.classes == 3
    assert digest(path) != name


def test_the_digest_is_that_of_the_bytes(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"abc")
    assert digest(tmp_path / "x.npz") == "ba7816bf8f01cfea"  # of FIPS 180-2


IMAGES = made()["train_images"]
WRONG = {
    "no labels": ({"val_labels": None, "test_labels": None}, "lacks the keys val_labels, test_"),
    "floats": ({"train_images": IMAGES / 255}, r"train_images: is float64; expected uint8.*make"),
    "channels last": (
        {"test_images": IMAGES.transpose(0, 2, 3, 1)},
        r"test_images: has the shape \(12, 6, 6, 3\), channels last; .*transpose",
    ),
    "not square": ({"val_images": IMAGES[..., :5]}, "val_images: its images are 6 x 5; .*square"),
    "flat": ({"train_images": IMAGES.reshape(12, -1)}, r"train_images: has the shape \(12, 108\)"),
    "empty": ({"train_images": IMAGES[:0]}, r"train_images: has the shape \(0, 3, 6, 6\)"),
    "two sizes": (
        {"test_images": np.zeros((5, 3, 8, 8), np.uint8)},
        "test_images: its images are 3 x 8 x 8, those of train_images 3 x 6 x 6",
    ),
    "labels too few": (
        {"val_labels": np.arange(3)},
        r"val_labels: has the shape \(3,\); expected \(4,\)",
    ),
    "one-hot": ({"val_labels": np.eye(4, dtype=int)}, r"val_labels: has the shape \(4, 4\)"),
    "labels of text": ({"val_labels": np.array(list("abcd"))}, "val_labels: is <U1; expected int"),
    "float labels": ({"val_labels": np.arange(4.0)}, "val_labels: is float64; expected integers"),
    "negative": ({"val_labels": np.arange(-1, 3)}, "val_labels: -1 is negative"),
    "a gap": (
        {"train_labels": np.array([0, 1, 3] * 4)},
        "train_labels: class 2 of 0 to 3 has no training image",
    ),
    "a class of the test alone": (
        {"test_labels": np.array([0, 1, 2, 3, 10**12])},
        "train_labels: class 4 of 0 to 1000000000000 has no training image",
    ),
    "one class": (
        {f"{part}_labels": made(classes=1)[f"{part}_labels"] for part in ("train", "val", "test")},
        "two classes or more",
    ),
    "objects": (
        {"train_images": np.array([None] * 12)},
        "train_images: holds pickled objects, which are never read",
    ),
    "objects as labels": (
        {"train_labels": np.array([None] * 12)},
        "train_labels: holds pickled objects, which are never read",
    ),
    "mean of bytes": ({"mean": 33.3}, r"mean: is \(33.3, .*parts of 1, not of 255"),
    "mean of two": ({"mean": [0.1, 0.2]}, r"mean: is float64 \(2,\); expected one number, or 3"),
    "mean of objects": ({"mean": np.array([None])}, "mean: is object"),
    "mean not a number": ({"mean": np.nan}, "mean: is"),
    "no deviation": ({"train_images": IMAGES * 0}, "std: is .*constant"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_one_sentence_that_names_file_and_key(save, case):
    changed, message = WRONG[case]
    path = save(**changed)
    with pytest.raises(ValueError, match=message) as error:
        describe(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_nothing_is_unpickled(save, tmp_path):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / "sprung"), "w")

    trap = np.empty((), object)
    trap[()] = Trap()
    for key in (*KEYS, "mean"):
        path = save(**{key: trap})
        with pytest.raises(ValueError, match=key):
            describe(path)
    assert not (tmp_path / "sprung").exists()


def refusal(path):
    """What is said of a file, or nothing if it is described."""
    try:
        describe(path)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("packed", [True, False])
def test_a_truncated_file_is_refused(tmp_path, share, packed):
    path = tmp_path / "mine.npz"
    (np.savez_compressed if packed else np.savez)(path, **made())
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(ValueError, match=r"mine.npz: truncated, or not an \.npz"):
        describe(path)


@given(where=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255), packed=st.booleans())
def test_a_changed_byte_is_no_crash(tmp_path_factory, where, flip, packed):
    path = tmp_path_factory.mktemp("own") / "mine.npz"
    (np.savez_compressed if packed else np.savez)(path, **made())
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= flip
    path.write_bytes(content)
    said = refusal(path)
    assert not said or said.startswith(f"{path}: ")


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "mine.npz"
    for content in (b"", b"<html>404</html>", npy_of(np.zeros(3))):
        path.write_bytes(content)
        assert refusal(path).startswith(f"{path}: ")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train_images.npy", b"no array")
        archive.writestr("readme.txt", b"hello")
    assert refusal(path).startswith(f"{path}: ")
    with pytest.raises(ValueError, match=r"none.npz: cannot be read: No such file"):
        describe(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="cannot be read: Is a directory"):
        describe(tmp_path)


def npy_of(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()
