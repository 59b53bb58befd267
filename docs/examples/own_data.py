"""Data of one's own: coloured shapes on noise, 3 x 24 x 24, four classes, drawn by numpy.

    python own_data.py            writes shapes.npz and shapes-made.npz into the current folder

`shapes.npz` is written by numpy, with the keys that docs/data.md lists. `shapes-made.npz` is
written by the command `rotgrid data make` from arrays, and takes its validation images from the
training images. `own_data.yaml` trains on the first. All random numbers come from fixed seeds, so
the files are the same each time.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIZE = 24
CLASSES = ("disc", "square", "triangle", "cross")
PARTS = {"train": (2_000, 0), "val": (400, 1), "test": (1_000, 2)}
"""Images and seed of each part."""

Array = NDArray[np.floating]


def inside(kind: str, x: Array, y: Array, radius: Array) -> NDArray[np.bool_]:
    """The pixels of a shape around the origin. A rotation by 90 degrees gives all but the triangle
    back."""
    match kind:
        case "disc":
            return x**2 + y**2 < radius**2
        case "square":
            return np.maximum(abs(x), abs(y)) < 0.85 * radius
        case "triangle":
            return (y > -0.8 * radius) & (y < 0.8 * radius - 2 * abs(x))
        case _:
            return (np.minimum(abs(x), abs(y)) < 0.3 * radius) & (
                np.maximum(abs(x), abs(y)) < radius
            )


def shapes(n: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (n, 3, SIZE, SIZE) in 0 to 255 and labels (n,), the classes in turn."""
    draw = np.random.default_rng(seed)
    labels = np.arange(n) % len(CLASSES)
    at = np.arange(SIZE) - (SIZE - 1) / 2
    x0, y0 = draw.uniform(-3, 3, (2, n, 1, 1))
    x, y = at[None, None, :] - x0, at[None, :, None] - y0
    radius = draw.uniform(5, 8, (n, 1, 1))
    masks = np.stack([inside(kind, x, y, radius) for kind in CLASSES])[labels, np.arange(n)]
    colour = draw.uniform(0.5, 1, (n, 3, 1, 1))
    images = draw.uniform(0, 0.4, (n, 3, SIZE, SIZE)) + masks[:, None] * colour * 0.6
    return np.round(255 * images).astype(np.uint8), labels


def write_by_numpy(path: Path) -> None:
    """An .npz with a pair of arrays for each part."""
    content = {}
    for part, (n, seed) in PARTS.items():
        content[f"{part}_images"], content[f"{part}_labels"] = shapes(n, seed)
    np.savez_compressed(path, **content)  # type: ignore[arg-type]


def write_by_command(path: Path) -> None:
    """The same by `rotgrid data make`, from arrays that are stored beside it."""
    options = []
    for part in ("train", "test"):
        for kind, array in zip(("images", "labels"), shapes(*PARTS[part]), strict=True):
            file = path.with_name(f"{part}-{kind}.npy")
            np.save(file, array)
            options += [f"--{part}-{kind}", str(file)]
    subprocess.run(
        [sys.executable, "-m", "rotgrid", "data", "make", str(path), *options], check=True
    )


if __name__ == "__main__":
    write_by_numpy(Path("shapes.npz"))
    write_by_command(Path("shapes-made.npz"))
