"""Pictures on disk: PNG files, and for each network and attack a JSON file that explains them.

A page is `<trial>-<attack>.json`, or `<trial>-sixes.json`; its pictures stand beside it.
"""

import json
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from rotgrid.results import storage
from rotgrid.results.storage import Root
from rotgrid.spec import Trial
from rotgrid.spec.vocabulary import ThreatName

FOLDER = "gallery"
"""Below a results location."""
PNG = b"\x89PNG\r\n\x1a\n"
"""How every PNG file begins."""

FileName = Annotated[str, Field(pattern=r"^\w[\w.-]*\.png$")]


class Panel(BaseModel):
    """One image of a picture."""

    shows: Literal["upright", "rotated", "perturbed", "perturbation"]
    degrees: float = 0.0
    """By how much it is rotated, counter-clockwise."""
    predicted: int | None = None
    """The class that the network sees; None of what is no image."""


class Picture(BaseModel):
    """A file: panels of one test image from left to right."""

    file: FileName
    group: Literal["first", "nearest", "farthest", "sixes"]
    """Why it is shown."""
    position: int
    """Among all test images, from 0."""
    true: int
    """The class of the image."""
    panels: list[Panel]
    distance: float | None = None
    """By `threat`, from the rotated to the perturbed image, in pixel units; None if not broken."""
    enlarged: float | None = None
    """How many times the perturbation is shown, around a middle grey; None if there is none."""


class Page(BaseModel):
    """All pictures of a network under an attack, or of rotated sixes."""

    trial: str
    network: Trial
    kind: Literal["attack", "sixes"]
    attack: str = ""
    threat: ThreatName = "linf"
    rotation: float = 0.0
    """Range of rotations in degrees: each image has its own."""
    eps: list[float] = []
    """The radii that were tried, in pixel units."""
    n: int
    """Images that were looked at."""
    misclassified: int = 0
    """Of these, from the start."""
    reached: int
    """Of these, how many an attack broke, or how many sixes become a 9."""
    median: float | None = None
    """Distance of the correct images, or degrees of the sixes that become a 9."""
    pictures: list[Picture]


def stem(trial: str, what: str) -> str:
    """How the names of all files of a page begin; `what` is an attack, maybe an own one, or
    `sixes`."""
    return f"{trial}-{what.replace(':', '-')}"


def write(out: Root, page: Page, pngs: Iterable[bytes]) -> str:
    """Write the pictures of a page and, last, the page; its name.

    Raises:
        StoreError: they could not be written.
    """
    for picture, png in zip(page.pictures, pngs, strict=True):
        storage.put(out, picture.file, png)
    name = f"{stem(page.trial, page.attack or page.kind)}.json"
    storage.put(out, name, page.model_dump_json(indent=1).encode())
    return name


def read(results: Root) -> tuple[list[Page], list[str]]:
    """The pages of a results location without their pictures, and a line for each damaged one.

    Raises:
        StoreError: the folder cannot be read.
    """
    pages, problems = [], []
    for name in storage.names(results, FOLDER, ".json"):
        try:
            pages.append(Page.model_validate(json.loads(storage.get(results, name) or b"")))
        except ValueError as error:  # pydantic's and json's, too
            reason = str(error).partition("\n")[0]
            problems.append(f"{results}/{name}: skipped: {reason}")
    return pages, problems


def read_pictures(results: Root, page: Page) -> list[bytes]:
    """The PNG files of a page.

    Raises:
        ValueError: one is missing or no PNG file.
        StoreError: they cannot be read.
    """
    pngs = [storage.get(results, f"{FOLDER}/{one.file}") or b"" for one in page.pictures]
    for picture, png in zip(page.pictures, pngs, strict=True):
        if not png.startswith(PNG):
            raise ValueError(f"{results}/{FOLDER}/{picture.file}: skipped: missing or no PNG file")
    return pngs
