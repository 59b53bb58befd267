import numpy as np
import pytest
from scipy.io import savemat

from rotgrid.make_data.affnist import read_affnist


def save(path, n, seed):
    """A file in affNIST's form: each column an image row by row; the label of an image is its
    first pixel, and its second is the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, 40, 40), np.uint8)
    images[:, 0, 0] = labels = np.arange(n) % 10
    images[:, 0, 1] = seed
    struct = {
        "affine_cell": np.zeros((1, n)),
        "image": images.reshape(n, 1600).T,
        "label_int": labels[None].astype(np.uint8),
    }
    savemat(path, {"affNISTdata": struct})
    return images


@pytest.fixture
def folder(tmp_path):
    save(tmp_path / "just_centered" / "training_and_validation.mat", 24, 100)
    for number in (1, 2):
        save(tmp_path / f"transformed/test_batches/{number}.mat", 10, number)
        save(
            tmp_path / f"transformed/training_and_validation_batches/{number}.mat", 12, 50 + number
        )
    return tmp_path


def sources(parts):
    return {part: images[:, 0, 0, 1].tolist() for part, (images, _) in parts.items()}


def test_training_is_centred_and_the_last_sixth_is_for_validation(folder):
    parts = read_affnist(folder, 2)
    assert sources(parts) == {"train": [100] * 20, "val": [100] * 4, "test": [1] * 10 + [2] * 10}
    for images, labels in parts.values():
        assert images.shape[1:] == (1, 40, 40)
        assert np.array_equal(images[:, 0, 0, 0], labels)
    assert parts["val"][1].tolist() == [0, 1, 2, 3]


def test_images_are_row_by_row(folder):
    images = save(folder / "transformed/test_batches/1.mat", 10, 1)
    assert np.array_equal(read_affnist(folder, 1)["test"][0][:, 0], images)


def test_transformed_digits_serve_for_training_where_only_they_are_there(folder):
    parts = read_affnist(folder / "transformed", 2)
    assert sources(parts)["train"] == [51] * 10 + [52] * 10
    assert sources(parts)["val"] == [51] * 2 + [52] * 2


@pytest.mark.parametrize(
    ("batches", "harm", "message"),
    [
        (0, None, "--batches: 0 is not 1 to 32"),
        (33, None, "--batches: 33 is not 1 to 32"),
        (3, None, "test_batches/3.mat: not found; --batches asks for 3"),
        (1, "transformed/test_batches/1.mat", "test_batches/1.mat: is no file of affNIST"),
        (
            1,
            "just_centered/training_and_validation.mat",
            "training_and_validation.mat: is no file of affNIST",
        ),
    ],
)
def test_what_is_wrong_is_named(folder, batches, harm, message):
    if harm:
        (folder / harm).write_bytes(b"<html>404</html>" * 20)
    with pytest.raises(ValueError, match=message):
        read_affnist(folder, batches)


def test_other_structures_are_refused(folder):
    path = folder / "transformed/test_batches/1.mat"
    savemat(path, {"other": np.zeros(3)})
    with pytest.raises(ValueError, match=r"is no file of affNIST"):
        read_affnist(folder, 1)
    struct = {"image": np.zeros((784, 3), np.uint8), "label_int": np.zeros((1, 3), np.uint8)}
    savemat(path, {"affNISTdata": struct})
    with pytest.raises(ValueError, match=r"image is uint8 \(784, 3\) with 3 labels"):
        read_affnist(folder, 1)


def test_missing_folders_are_named(folder, tmp_path):
    with pytest.raises(ValueError, match=r"none: has neither just_centered/training_and_validat"):
        read_affnist(tmp_path / "none", 1)
    with pytest.raises(ValueError, match=r"has no transformed/test_batches/1.mat"):
        read_affnist(folder / "just_centered", 1)
