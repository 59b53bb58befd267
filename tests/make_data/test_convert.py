import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from rotgrid.make_data.convert import as_images, as_labels, with_validation, write
from rotgrid.spec.archives import describe, digest, moments

BYTES = arrays_of.arrays(
    np.uint8, st.tuples(st.integers(1, 5), st.sampled_from([1, 3]), st.just(7), st.just(7))
)


@given(BYTES)
def test_every_form_of_the_same_images_is_the_same(images):
    forms = [
        images,
        images.astype(np.int64),
        images.astype(np.float32) / 255,
        images / 255,
        images.transpose(0, 2, 3, 1),
        (images / 255).transpose(0, 2, 3, 1),
        *([images[:, 0]] if images.shape[1] == 1 else []),
    ]
    for form in forms:
        found = as_images(form, "x")
        assert found.dtype == np.uint8
        assert found.flags.c_contiguous
        assert np.array_equal(found, images)


@given(arrays_of.arrays(np.float64, (2, 3, 3), elements=st.floats(0, 1)))
def test_floats_move_by_half_a_level_at_most(images):
    assert np.abs(as_images(images, "x")[:, 0] / 255 - images).max() <= 0.5 / 255 + 1e-12


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((2, 3, 4)), r"x: has the shape \(2, 3, 4\)"),
        (np.ones((2, 9)), r"x: has the shape \(2, 9\)"),
        (np.ones((0, 3, 3)), r"x: has the shape \(0, 3, 3\)"),
        (np.full((2, 3, 3), 255.0), r"x: float64 from 255 to 255; expected floats in \[0, 1\]"),
        (np.full((2, 3, 3), -1), "x: int64 from -1 to -1"),
        (np.full((2, 3, 3), 256), "x: int64 from 256 to 256"),
        (np.full((2, 3, 3), np.nan), "x: float64 from nan to nan"),
        (np.ones((2, 3, 3), bool), "x: is bool; expected whole numbers or floats"),
    ],
)
def test_what_is_no_images_is_refused(array, message):
    with pytest.raises(ValueError, match=message):
        as_images(array, "x")


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_labels_of_every_kind_are_the_same(dtype):
    for shape in ((4,), (4, 1)):
        found = as_labels(np.arange(4, dtype=dtype).reshape(shape), "y")
        assert found.dtype == np.int64
        assert found.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("array", [np.eye(3), np.array([0.5, 1]), np.array(["a", "b"])])
def test_what_is_no_labels_is_refused(array):
    with pytest.raises(ValueError, match=r"y: .*expected whole numbers"):
        as_labels(array, "y")


def labelled(n, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, 1, 4, 4), np.uint8)
    return images, np.arange(n) % classes


@given(n=st.integers(10, 60), share=st.floats(0.05, 0.5))
def test_validation_images_leave_training_and_are_stratified(n, share):
    images, labels = labelled(n)
    size = max(1, int(n * share))
    parts = with_validation({"train": (images, labels), "test": labelled(5)}, size)
    assert list(parts) == ["train", "val", "test"]
    assert [len(parts[part][1]) for part in parts] == [n - size, size, 5]
    counts = np.bincount(parts["val"][1], minlength=3)
    assert counts.max() - counts.min() <= 1
    rows = {part: {row.tobytes() for row in parts[part][0]} for part in ("train", "val")}
    assert not rows["train"] & rows["val"]
    assert rows["train"] | rows["val"] == {row.tobytes() for row in images}


def test_a_tenth_is_for_validation_unless_told_otherwise():
    parts = with_validation({"train": labelled(90), "test": labelled(5)}, None)
    assert len(parts["val"][1]) == 9
    given_part = {**parts, "val": labelled(7)}
    assert with_validation(given_part, None)["val"] is given_part["val"]
    with pytest.raises(ValueError, match=r"there are validation images already"):
        with_validation(given_part, 5)
    for size in (0, 90, -1):
        with pytest.raises(ValueError, match=f"--val-size: {size} of 90"):
            with_validation({"train": labelled(90), "test": labelled(5)}, size)


def three_parts(seed=0):
    return {part: labelled(n, seed=seed) for part, n in (("train", 12), ("val", 3), ("test", 6))}


def test_equal_content_is_an_equal_file(tmp_path):
    digests = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write(three_parts(seed), tmp_path / f"{name}.npz")
        digests.append(digest(tmp_path / f"{name}.npz"))
    assert digests[0] == digests[1] != digests[2]


def test_what_is_written_is_described_with_its_moments(tmp_path):
    found = write(three_parts(), tmp_path / "a.npz")
    again = describe(tmp_path / "a.npz")
    assert again.shape == found.shape
    assert (again.train, again.val, again.test) == (12, 3, 6)
    assert (again.shape.mean, again.shape.std) == moments(three_parts()["train"][0])


def test_wrong_content_leaves_the_old_file_and_no_other(tmp_path):
    out = tmp_path / "a.npz"
    out.write_bytes(b"old")
    parts = three_parts()
    parts["val"] = (np.zeros((3, 1, 5, 5), np.uint8), parts["val"][1])
    with pytest.raises(ValueError, match=r"^val_images: its images are 1 x 5 x 5, those of train"):
        write(parts, out)
    assert out.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [out]
    with pytest.raises(ValueError, match=r"none/a.npz: cannot be written: No such file"):
        write(three_parts(), tmp_path / "none" / "a.npz")
