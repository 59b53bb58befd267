import numpy as np
import pytest

from rotgrid import data
from rotgrid.data import DataError
from rotgrid.spec import extensions
from rotgrid.spec.archives import KEYS, describe


@pytest.fixture
def content():
    rng = np.random.default_rng(0)
    found = {}
    for part, n in (("train", 12), ("val", 4), ("test", 5)):
        found[f"{part}_images"] = rng.integers(0, 256, (n, 3, 8, 8), np.uint8)
        found[f"{part}_labels"] = np.arange(n, dtype=np.int16) % 4
    return found


@pytest.mark.parametrize("form", ["colour", "grey", "column-major"])
def test_an_own_file_is_loaded_as_it_is(root, content, form):
    if form == "grey":
        content = {k: a[:, 0] if a.ndim == 4 else a for k, a in content.items()}
    if form == "column-major":
        content = {k: np.asfortranarray(a) for k, a in content.items()}
    np.savez(root / "mine.npz", **content)
    loaded = data.load("mine.npz")
    assert loaded.shape == describe(root / "mine.npz").shape
    for key in KEYS:
        found = getattr(loaded, key).numpy()
        assert found.flags.c_contiguous
        assert np.array_equal(found.reshape(content[key].shape), content[key])
    assert loaded.train_images.ndim == 4
    assert loaded.train_labels.numpy().dtype == np.int64


def test_an_own_file_is_found_beside_the_grid(tmp_path, monkeypatch, content):
    monkeypatch.setattr(extensions, "FOLDERS", [tmp_path / "grids"])
    (tmp_path / "grids").mkdir()
    np.savez(tmp_path / "grids" / "mine.npz", **content)
    assert len(data.load("mine.npz").train_images) == 12


def test_a_missing_file_says_where_it_was_looked_for(root):
    with pytest.raises(DataError, match=r"mine.npz: no such file in .*data make"):
        data.load("mine.npz")


def test_a_wrong_file_is_an_error_of_the_data(root, content):
    np.savez(root / "mine.npz", **{**content, "val_images": content["val_images"] / 255})
    with pytest.raises(DataError, match=r"mine.npz: val_images: is float64"):
        data.load("mine.npz")
