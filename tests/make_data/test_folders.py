import sys

import numpy as np
import pytest
from PIL import Image

from rotgrid.make_data.folders import read_folder


def picture(value, size=6, mode="RGB"):
    """A picture with one corner marked, so that it has an upright."""
    pixels = np.full((size, size), value, np.uint8)
    pixels[0, 0] = 255 - value
    return Image.fromarray(pixels).convert(mode)


@pytest.fixture
def folder(tmp_path):
    """Two classes; the pictures of a part are in the order of their values."""
    for part, values in (("train", (10, 20, 30, 40)), ("test", (50, 60))):
        for index, value in enumerate(values):
            below = tmp_path / "pictures" / part / ("cat", "dog")[index % 2]
            below.mkdir(parents=True, exist_ok=True)
            picture(value).save(below / f"{index}.png")
    return tmp_path / "pictures"


def test_classes_are_folders_in_the_order_of_their_names(folder):
    parts, classes = read_folder(folder, None, grey=False)
    assert classes == "0 cat, 1 dog"
    assert list(parts) == ["train", "test"]
    images, labels = parts["train"]
    assert images.shape == (4, 3, 6, 6)
    assert images[:, 0, 3, 3].tolist() == [10, 30, 20, 40]
    assert labels.tolist() == [0, 0, 1, 1]
    assert parts["test"][1].tolist() == [0, 1]


def test_a_folder_val_is_used(folder):
    (folder / "val" / "dog").mkdir(parents=True)
    picture(70).save(folder / "val" / "dog" / "x.PNG")
    parts, _ = read_folder(folder, None, grey=True)
    assert parts["val"][0][0, 0, 3, 3] == 70
    assert parts["val"][1].tolist() == [1]


def test_grey_is_one_channel_and_images_stay_upright(folder):
    images, _ = read_folder(folder, None, grey=True)[0]["train"]
    assert images.shape == (4, 1, 6, 6)
    assert images[0, 0, 0].tolist() == [245, 10, 10, 10, 10, 10]


def test_size_cuts_the_middle_and_resizes(folder):
    wide = np.zeros((6, 12, 3), np.uint8)
    wide[:, 3:9] = 200
    Image.fromarray(wide).save(folder / "train" / "cat" / "wide.png")
    images, _ = read_folder(folder, 3, grey=False)[0]["train"]
    assert images.shape == (5, 3, 3, 3)
    assert np.all(images[2] == 200)


def test_without_size_all_must_be_square_and_equal(folder):
    for name, size in (("wide", (8, 6)), ("large", (8, 8))):
        path = folder / "train" / "dog" / f"{name}.png"
        Image.new("RGB", size).save(path)
        with pytest.raises(ValueError, match=rf"{name}.png: is \d x \d, .*--size N"):
            read_folder(folder, None, grey=False)
        path.unlink()


def test_a_turned_photograph_is_set_upright(folder):
    path = folder / "train" / "cat" / "9.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    half = np.zeros((8, 8), np.uint8)
    half[:4] = 255
    Image.fromarray(half).save(path, exif=exif, quality=100)
    images, _ = read_folder(folder, 8, grey=True)[0]["train"]
    assert images[2, 0, :, 5:].min() > 200 > 50 > images[2, 0, :, :3].max()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda f: (f / "test").rename(f / "tests"), "has no folder test"),
        (lambda f: (f / "train" / "dog").rename(f / "train" / "wolf"), "test: dog is no class of"),
        (lambda f: (f / "train" / "empty").mkdir(), r"empty: has no image \(\.bmp, "),
        (lambda f: (f / "val").mkdir(), "val: has no folder of a class"),
        (
            lambda f: (f / "train" / "cat" / "a.png").write_bytes(b"<html>"),
            "a.png: is no image that can be read",
        ),
        (
            lambda f: Image.new("I;16", (6, 6)).save(f / "train" / "cat" / "a.png"),
            "a.png: has more than 8 bits a pixel",
        ),
    ],
)
def test_what_is_wrong_is_named(folder, harm, message):
    harm(folder)
    with pytest.raises(ValueError, match=message):
        read_folder(folder, None, grey=False)


def test_a_truncated_image_is_named(folder):
    path = folder / "train" / "cat" / "0.png"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"0.png: is no image that can be read"):
        read_folder(folder, None, grey=False)


def test_without_pillow_it_says_what_to_install(folder, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "PIL"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ValueError, match=r"needs Pillow: pip install 'rotgrid\[images\]'"):
        read_folder(folder, None, grey=False)
