import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from rotgrid import __main__ as verbs
from rotgrid import data
from rotgrid.spec import extensions
from rotgrid.spec.archives import describe, digest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(extensions, "FOLDERS", [])
    return tmp_path


def save_arrays(**counts):
    """`.npy` files of channels-last floats, and the words that name them."""
    words = []
    rng = np.random.default_rng(0)
    for part, n in counts.items():
        np.save(f"{part}_x.npy", rng.random((n, 8, 8, 3)))
        np.save(f"{part}_y.npy", np.arange(n) % 4)
        words += [f"--{part}-images", f"{part}_x.npy", f"--{part}-labels", f"{part}_y.npy"]
    return words


def make(*words):
    return verbs.main(["data", "make", "mine.npz", *words])


def test_arrays_become_a_file_that_a_grid_can_name(here, capsys):
    assert make(*save_arrays(train=40, test=12)) == 0
    out = capsys.readouterr().out
    assert "mine.npz: train 36, val 4, test 12 images of 3 x 8 x 8, 4 classes" in out
    assert f"SHA-256 begins with {digest('mine.npz')}\n" in out
    assert "in a grid:  data: mine.npz\n" in out
    loaded = data.load("mine.npz")
    assert loaded.shape == describe("mine.npz").shape
    pixels = np.load("test_x.npy").transpose(0, 3, 1, 2)
    assert np.abs(loaded.test_images.numpy() / 255 - pixels).max() <= 0.5 / 255 + 1e-12


def test_validation_arrays_and_sizes(here, capsys):
    assert make(*save_arrays(train=40, test=12, val=8)) == 0
    assert "train 40, val 8, test 12" in capsys.readouterr().out
    assert make(*save_arrays(train=40, test=12), "--val-size", "20") == 0
    assert "train 20, val 20, test 12" in capsys.readouterr().out


def test_a_folder_of_images(here, capsys):
    for part in ("train", "test"):
        for name in ("no", "yes"):
            Path("pictures", part, name).mkdir(parents=True)
            for value in range(10):
                path = Path("pictures", part, name, f"{value}.png")
                Image.new("RGB", (12, 10), (value, 20, 30)).save(path)
    noise = np.random.default_rng(0).integers(0, 256, (10, 12, 3), np.uint8)
    Image.fromarray(noise).save("pictures/train/no/0.png")
    assert make("--folder", "pictures", "--size", "6", "--grey") == 0
    out = capsys.readouterr().out
    assert "train 18, val 2, test 20 images of 1 x 6 x 6, 2 classes" in out
    assert "classes: 0 no, 1 yes" in out


def test_affnist(here, capsys):
    Path("test_batches").mkdir()
    rng = np.random.default_rng(0)
    for path, n in (("training_and_validation.mat", 60), ("test_batches/1.mat", 20)):
        images = rng.integers(0, 256, (1600, n), np.uint8)
        labels = (np.arange(n) % 10)[None].astype(np.uint8)
        savemat(path, {"affNISTdata": {"image": images, "label_int": labels}})
    assert make("--affnist", ".") == 0
    assert "train 50, val 10, test 20 images of 1 x 40 x 40" in capsys.readouterr().out
    assert make("--affnist", ".", "--batches", "0") == 2
    assert "--batches: 0 is not 1 to 32" in capsys.readouterr().err


WRONG = {
    "nothing": ([], "give one of arrays, --folder, --affnist"),
    "two sources": (["--folder", ".", "--affnist", "."], "give one of"),
    "no labels": (["--train-images", "x.npy"], "--train-labels: is missing"),
    "size of arrays": (["--train-images", "x.npy", "--size", "3"], "--size: goes with --folder"),
    "grey affnist": (["--affnist", ".", "--grey"], "--grey: goes with --folder only"),
    "batches of a folder": (["--folder", ".", "--batches", "2"], "--batches: goes with --affnist"),
    "size of none": (["--folder", ".", "--size", "-1"], "--size: -1 is not above 0"),
    "no folder": (["--folder", "none"], "none: has no folder test or train"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_words_are_exit_2_and_write_nothing(here, capsys, case):
    words, message = WRONG[case]
    assert make(*words) == 2
    said = capsys.readouterr().err
    assert f"mine.npz: not written: {message}" in said
    assert not Path("mine.npz").exists()


def test_wrong_arrays_are_exit_2(here, capsys):
    words = save_arrays(train=40, test=12)

    def refused(message):
        assert make(*words) == 2
        assert message in capsys.readouterr().err

    np.save("test_y.npy", np.arange(11) % 4)
    refused("test_y.npy: 11 labels for the 12 images of test_x.npy")
    np.save("test_y.npy", np.array([None] * 12), allow_pickle=True)
    refused("test_y.npy: is no .npy file of numbers")
    Path("test_y.npy").unlink()
    refused("test_y.npy: cannot be read: No such file")
    np.savez("test_y.npz", a=np.arange(12))
    Path("test_y.npz").rename("test_y.npy")
    refused("test_y.npy: is an .npz file")


def test_usage(here, capsys):
    for words in (["data"], ["data", "make"], ["data", "make", "mine.npy"]):
        with pytest.raises(SystemExit, match="2"):
            verbs.main(words)
    with pytest.raises(SystemExit, match="0"):
        verbs.main(["data", "make", "--help"])
    assert "--train-images" in capsys.readouterr().out


def test_it_loads_nothing_heavy():
    code = (
        "import rotgrid.make_data.__main__, sys; print({'torch', 'ray', 'scipy'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "set()\n"
