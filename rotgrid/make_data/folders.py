"""A folder of image files: `train/<class>/*`, `test/<class>/*` and, if it is there, `val/`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rotgrid.spec.archive_checks import PARTS

if TYPE_CHECKING:
    from PIL import Image

    from rotgrid.make_data.convert import Labelled

ENDINGS = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
)
DEEP = ("I", "F")
"""How the names of Pillow's modes of more than 8 bits begin."""


def read_folder(folder: Path, size: int | None, grey: bool) -> tuple[dict[str, Labelled], str]:
    """The parts of a folder, and which class has which label: names in order, from 0.

    Args:
        folder: has `train`, `test` and maybe `val`, with a folder for each class.
        size: rows and columns to resize to, after the middle square is cut out; None takes
            images as they are, which must then be square and of one size.
        grey: one channel instead of red, green and blue.

    Raises:
        ValueError: something is missing or no image; Pillow is not installed.
    """
    require_pillow()
    found = {part: files_by_class(folder / part) for part in PARTS if (folder / part).is_dir()}
    if missing := {"train", "test"} - found.keys():
        raise ValueError(f"{folder}: has no folder {' or '.join(sorted(missing))}")
    classes = sorted(found["train"])
    for part, files in found.items():
        if unknown := sorted(set(files) - set(classes)):
            raise ValueError(f"{folder / part}: {unknown[0]} is no class of {folder / 'train'}")
    parts = {part: read_part(files, classes, size, grey) for part, files in found.items()}
    return parts, ", ".join(f"{label} {name}" for label, name in enumerate(classes))


def require_pillow() -> None:
    """Raise ValueError if image files cannot be read."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise ValueError(
            "--folder: reading image files needs Pillow: pip install 'rotgrid[images]'"
        ) from error


def files_by_class(folder: Path) -> dict[str, list[Path]]:
    """The image files of each class, both in the order of their names."""
    classes = {
        sub.name: sorted(path for path in sub.rglob("*") if path.suffix.lower() in ENDINGS)
        for sub in sorted(folder.iterdir())
        if sub.is_dir()
    }
    if not classes:
        raise ValueError(f"{folder}: has no folder of a class")
    if empty := [name for name, files in classes.items() if not files]:
        raise ValueError(f"{folder / empty[0]}: has no image ({', '.join(sorted(ENDINGS))})")
    return classes


def read_part(
    files: dict[str, list[Path]], classes: list[str], size: int | None, grey: bool
) -> Labelled:
    """Images (n, channels, size, size) and labels (n,)."""
    labelled = [(path, k) for k, name in enumerate(classes) for path in files.get(name, [])]
    images: list[np.ndarray] = []
    for path, _ in labelled:
        images.append(read_image(path, size, grey))
        if images[-1].shape != images[0].shape or len(set(images[-1].shape[1:])) > 1:
            rows, columns = images[-1].shape[1:]
            raise ValueError(
                f"{path}: is {rows} x {columns}, and images should be square and of one size; "
                "--size N makes them so"
            )
    return np.stack(images), np.array([label for _, label in labelled], np.int64)


def read_image(path: Path, size: int | None, grey: bool) -> np.ndarray:
    """uint8 (channels, rows, columns), upright as the camera says."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            image: Image.Image = ImageOps.exif_transpose(file)
            if image.mode.startswith(DEEP):
                raise ValueError(f"{path}: has more than 8 bits a pixel; convert it first")
            image = image.convert("L" if grey else "RGB")
            if size is not None:
                image = middle_square(image).resize((size, size), Image.Resampling.BICUBIC)
            pixels = np.asarray(image)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: is no image that can be read ({error})") from error
    return pixels[None] if grey else pixels.transpose(2, 0, 1)


def middle_square(image: Image.Image) -> Image.Image:
    """The largest square in the middle of an image."""
    side = min(image.size)
    left, top = ((length - side) // 2 for length in image.size)
    return image.crop((left, top, left + side, top + side))
