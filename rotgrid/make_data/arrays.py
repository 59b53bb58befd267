"""Data from `.npy` files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotgrid.make_data.convert import Labelled, as_images, as_labels
from rotgrid.spec.archive_checks import PARTS

KINDS = ("images", "labels")


def read_arrays(paths: Mapping[str, Path | None]) -> dict[str, Labelled]:
    """The parts that `.npy` files hold."""
    wanted = [part for part in PARTS if part != "val" or any(paths[f"val_{k}"] for k in KINDS)]
    parts = {}
    for part in wanted:
        images, labels = (required(paths, f"{part}_{kind}") for kind in KINDS)
        parts[part] = (
            as_images(read_npy(images), str(images)),
            as_labels(read_npy(labels), str(labels)),
        )
        if (n := len(parts[part][0])) != (m := len(parts[part][1])):
            raise ValueError(f"{labels}: {m:,} labels for the {n:,} images of {images}")
    return parts


def required(paths: Mapping[str, Path | None], key: str) -> Path:
    """The path of an argument that must be given."""
    if (path := paths[key]) is None:
        raise ValueError(f"--{key.replace('_', '-')}: is missing")
    return path


def read_npy(path: Path) -> NDArray[Any]:
    """One array of a `.npy` file; never a pickled one."""
    try:
        array = np.load(path, allow_pickle=False)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: is no .npy file of numbers ({error})") from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path}: is an .npz file; give .npy files of one array each")
    return array
