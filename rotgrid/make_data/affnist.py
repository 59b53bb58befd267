"""affNIST: MNIST on 40 x 40 pixels, and the same under random affine maps (T. Tieleman).

Its files are MATLAB's: a struct `affNISTdata` with `image`, uint8 (1600, n), a column an image
row by row, and `label_int`, (1, n). The transformed sets come in 32 files, each with one map of
every image.
"""

from pathlib import Path

import numpy as np

from rotgrid.make_data.convert import Labelled

SIDE = 40
FILES = 32
HELD_OUT = 6
"""The last of so many parts of a training file is for validation: the last 10,000 of 60,000."""
CENTRED, TRANSFORMED = ("just_centered", ""), ("transformed", "")
TRAINING_BATCHES = "training_and_validation_batches"


def read_affnist(folder: Path, batches: int) -> dict[str, Labelled]:
    """Training and validation on centred digits, or on transformed ones where only those are
    there; testing on transformed ones.

    Args:
        folder: has the unpacked files of affNIST's folder `32x`, in `just_centered` and
            `transformed` as there, or directly.
        batches: how many of the 32 transformed files to take, from the first.

    Raises:
        ValueError: a file is missing or not affNIST's.
    """
    if not 1 <= batches <= FILES:
        raise ValueError(f"--batches: {batches} is not 1 to {FILES}")
    training = [held_out(read_mat(path)) for path in training_files(folder, batches)]
    parts = {
        "train": joined([train for train, _ in training]),
        "val": joined([val for _, val in training]),
        "test": joined([read_mat(path) for path in test_files(folder, batches)]),
    }
    if not all(len(labels) for _, labels in parts.values()):
        raise ValueError(f"{folder}: too few images")
    return parts


def training_files(folder: Path, batches: int) -> list[Path]:
    """The files to train and validate on."""
    if path := first(folder, CENTRED, "training_and_validation.mat"):
        return [path]
    if found := batch_files(folder, TRAINING_BATCHES, batches):
        return found
    raise ValueError(
        f"{folder}: has neither just_centered/training_and_validation.mat nor "
        f"transformed/{TRAINING_BATCHES}/1.mat of affNIST, unpacked"
    )


def test_files(folder: Path, batches: int) -> list[Path]:
    """The transformed files to test on."""
    if found := batch_files(folder, "test_batches", batches):
        return found
    raise ValueError(f"{folder}: has no transformed/test_batches/1.mat of affNIST, unpacked")


def batch_files(folder: Path, name: str, batches: int) -> list[Path]:
    """The first files of a folder of batches, or none if there is no such folder."""
    if not (start := first(folder, TRANSFORMED, f"{name}/1.mat")):
        return []
    files = [start.with_name(f"{number}.mat") for number in range(1, batches + 1)]
    if missing := [path for path in files if not path.is_file()]:
        raise ValueError(f"{missing[0]}: not found; --batches asks for {batches}")
    return files


def first(folder: Path, below: tuple[str, ...], name: str) -> Path | None:
    """The first such file that there is."""
    return next((path for sub in below if (path := folder / sub / name).is_file()), None)


def held_out(content: Labelled) -> tuple[Labelled, Labelled]:
    """What of a file is for training, and what is for validation."""
    images, labels = content
    stop = len(labels) - len(labels) // HELD_OUT
    return (images[:stop], labels[:stop]), (images[stop:], labels[stop:])


def joined(parts: list[Labelled]) -> Labelled:
    """The content of several files."""
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def read_mat(path: Path) -> Labelled:
    """Images (n, 1, 40, 40) and labels (n,) of one file."""
    from scipy.io import loadmat

    try:
        content = loadmat(path, variable_names=["affNISTdata"])["affNISTdata"][0, 0]
        images, labels = content["image"], content["label_int"].ravel()
    except (KeyError, IndexError, ValueError, TypeError, NotImplementedError, OSError) as error:
        raise ValueError(f"{path}: is no file of affNIST ({error})") from error
    if images.dtype != np.uint8 or images.shape != (SIDE**2, len(labels)):
        raise ValueError(
            f"{path}: image is {images.dtype} {images.shape} with {len(labels)} labels; "
            f"expected uint8 ({SIDE**2}, n)"
        )
    return images.T.reshape(-1, 1, SIDE, SIDE), labels.astype(np.int64)
