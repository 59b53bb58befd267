"""Where 6 and 9 meet: images of one, rotated until the network says the other."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from rotgrid.attacks import predicted
from rotgrid.attacks.linf import Model
from rotgrid.pictures.png import encode, strip
from rotgrid.rotation import rotate
from rotgrid.spec.vocabulary import Interpolation

SIX, NINE = 6, 9
STEP = 5
"""Degrees between two looks at an image."""
PANELS = 5
"""Of an image on its way, both ends included."""


class Meetings(NamedTuple):
    """Images of a 6 that the network knows as such; every tensor has (n, ...)."""

    images: Tensor
    positions: Tensor
    """Among the images that were given."""
    degrees: Tensor
    """The smallest rotation, in either direction, at which it is a 9; nan where it never is."""


def are_digits(data: str, classes: int) -> bool:
    """Whether the classes of a data set are digits, so that 6 and 9 are what they seem."""
    return data.startswith("mnist") and classes > NINE


def meetings(
    model: Model, images: Tensor, labels: Tensor, interpolation: Interpolation
) -> Meetings:
    """All images (n, channels, size, size) of a 6, upright, rotated until they are a 9."""
    sixes = (labels == SIX).nonzero().squeeze(1)
    known = sixes[predicted(model, images[sixes]) == SIX] if len(sixes) else sixes
    degrees = torch.full((len(known),), torch.nan)
    for size in range(STEP, 181, STEP):
        for angle in (size, -size):
            left = degrees.isnan().nonzero().squeeze(1)
            if not len(left):
                break
            rotated = rotate(images[known[left]], float(angle), interpolation)
            degrees[left[predicted(model, rotated) == NINE]] = angle
    return Meetings(images[known], known, degrees)


def shown(met: Meetings, count: int) -> list[int]:
    """Some images that become a 9, from the soonest to the last."""
    order = [at for at in met.degrees.abs().argsort().tolist() if not met.degrees[at].isnan()]
    count = min(count, len(order))
    places = [round(place * (len(order) - 1) / max(count - 1, 1)) for place in range(count)]
    return [order[place] for place in places]


def picture(
    model: Model, met: Meetings, at: int, interpolation: Interpolation
) -> tuple[bytes, dict[str, Any]]:
    """One image on its way as a strip, and what the network says to each panel."""
    angles = torch.linspace(0, float(met.degrees[at]), PANELS)
    panels = rotate(met.images[at].expand(PANELS, -1, -1, -1), angles, interpolation)
    classes = predicted(model, panels).tolist()
    words = [
        {"shows": "rotated" if angle else "upright", "degrees": round(angle, 1), "predicted": seen}
        for angle, seen in zip(angles.tolist(), classes, strict=True)
    ]
    return encode(strip(panels.unbind())), {"true": SIX, "panels": words}


def summary(met: Meetings) -> dict[str, Any]:
    """How many images there are, how many become a 9, and after which rotation."""
    became = met.degrees[~met.degrees.isnan()].abs()
    return {
        "n": len(met.degrees),
        "reached": len(became),
        "median": float(became.median()) if len(became) else None,
    }
