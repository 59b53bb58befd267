"""What an attack does to test images: the perturbed images, how far they are, which to show."""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rotgrid import attacks
from rotgrid.attacks import own_attack
from rotgrid.attacks.linf import Model
from rotgrid.attacks.threats import THREATS
from rotgrid.pictures.png import encode, strip
from rotgrid.spec import extensions
from rotgrid.spec.attacks import ATTACKS
from rotgrid.spec.entries import is_own
from rotgrid.spec.loading import load
from rotgrid.spec.vocabulary import ThreatName

EPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
"""Of an attack that does not find the distance by itself; in pixel units."""
MIDDLE = 0.5
"""The grey of a pixel that is not perturbed."""

Attack = Callable[..., Tensor]


class Attacked(NamedTuple):
    """Some test images under an attack; every tensor has (n, ...)."""

    upright: Tensor
    rotated: Tensor
    degrees: Tensor
    perturbed: Tensor
    labels: Tensor
    classes: Tensor
    """(n, 3): what the network says to upright, rotated and perturbed images."""
    distance: Tensor
    """By the attack's threat model, from rotated to perturbed; 0 where the rotated image is
    misclassified, inf where the attack broke nothing."""


def attack_named(name: str) -> Attack:
    """The function of an attack that needs no more than an eps; of an own one as it is now.

    Raises:
        ValueError: there is none of that name.
    """
    if is_own(name):
        attack = load(name, extensions.read(name).digest)
        return functools.partial(own_attack.perturbed, name, attack)
    if name not in choices():
        raise ValueError(f"no attack {name!r} to draw; choose from {', '.join(choices())}")
    return getattr(attacks, function_name(name))


def choices() -> list[str]:
    """The attacks that can be drawn."""
    return [
        name
        for name, entry in ATTACKS.items()
        if "eps" in entry.reads and function_name(name) in attacks.__all__ and needs_eps_only(name)
    ]


def function_name(attack: str) -> str:
    """How the function of an attack is called."""
    return attack.replace("-", "_")


def needs_eps_only(attack: str) -> bool:
    """Whether all other settings of an attack have defaults."""
    parameters = inspect.signature(getattr(attacks, function_name(attack))).parameters.values()
    settings = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "eps"]
    return all(p.default is not p.empty for p in settings)


def eps_tried(attack: str) -> tuple[float, ...]:
    """The radii at which an attack is made: one that finds the nearest image needs one alone."""
    return {"fmn": (1.0,), "lbfgs": (math.inf,)}.get(attack, EPS)


def threat_of(attack: str) -> ThreatName:
    """The threat model of an attack that is not told another one."""
    return ATTACKS[attack].threats[0]


def settings_of(attack: str) -> dict[str, Any]:
    """As many steps as a grid that does not say how many takes."""
    steps = "steps" in inspect.signature(attack_named(attack)).parameters
    return {"steps": ATTACKS[attack].steps} if steps else {}


def perturb(attack: str, model: Model, images: Tensor, labels: Tensor) -> Tensor:
    """Each image at the smallest eps tried at which the attack breaks it; the image itself where
    it is misclassified from the start or never broken."""
    found, run = images.clone(), attack_named(attack)
    left = (attacks.predicted(model, images) == labels).nonzero().squeeze(1)
    for eps in eps_tried(attack):
        if not len(left):
            break
        moved = run(model, images[left], labels[left], eps=eps, **settings_of(attack))
        broken = attacks.predicted(model, moved) != labels[left]
        found[left[broken]] = moved[broken]
        left = left[~broken]
    return found


def attacked(
    attack: str, model: Model, upright: Tensor, rotated: Tensor, degrees: Tensor, labels: Tensor
) -> Attacked:
    """Images (n, channels, size, size) in [0, 1], upright and rotated by `degrees`, attacked where
    they are rotated."""
    perturbed = perturb(attack, model, rotated, labels)
    seen = (upright, rotated, perturbed)
    classes = torch.stack([attacks.predicted(model, images) for images in seen], 1)
    unbroken = (classes[:, 2] == labels) & (classes[:, 1] == labels)
    distance = (
        THREATS[threat_of(attack)].size(perturbed - rotated).masked_fill(unbroken, torch.inf)
    )
    return Attacked(upright, rotated, degrees, perturbed, labels, classes, distance)


def groups(images: Attacked, count: int) -> dict[str, list[int]]:
    """Which images to show: the first ones, each of another class, the nearest to the boundary and
    the farthest from it, of those that are classified correctly."""
    labels = images.labels.tolist()
    first = list({label: at for at, label in reversed(list(enumerate(labels)))}.values())
    order = [at for at in images.distance.argsort(stable=True).tolist() if images.distance[at] > 0]
    return {
        "first": sorted(first)[:count],
        "nearest": order[:count],
        "farthest": order[count:][-count:][::-1],
    }


def picture(images: Attacked, at: int) -> tuple[bytes, dict[str, Any]]:
    """One image as a strip of panels, and what there is to say of it."""
    change = images.perturbed[at] - images.rotated[at]
    largest, distance = float(change.abs().max()), float(images.distance[at])
    enlarged = MIDDLE / largest if largest else None
    perturbation = (MIDDLE + (enlarged or 1) * change).clamp(0, 1)
    upright, rotated, perturbed = images.classes[at].tolist()
    degrees = round(float(images.degrees[at]), 1)
    panels = {
        "upright": (images.upright[at], 0.0, upright),
        "rotated": (images.rotated[at], degrees, rotated),
        "perturbed": (images.perturbed[at], degrees, perturbed),
        "perturbation": (perturbation, degrees, None),
    }
    if not images.degrees.any():
        del panels["rotated"]
    words = {
        "true": int(images.labels[at]),
        "panels": [
            {"shows": shows, "degrees": degrees, "predicted": predicted}
            for shows, (_, degrees, predicted) in panels.items()
        ],
        "distance": round(distance, 4) if distance < torch.inf else None,
        "enlarged": round(enlarged, 2) if enlarged else None,
    }
    return encode(strip([image for image, *_ in panels.values()])), words


def summary(images: Attacked) -> dict[str, Any]:
    """How many images were looked at, and where the middle one of the correct ones lies."""
    correct = images.distance > 0
    median = float(images.distance[correct].median()) if correct.any() else torch.inf
    return {
        "n": len(images.labels),
        "misclassified": int((~correct).sum()),
        "reached": int((correct & images.distance.isfinite()).sum()),
        "median": round(median, 4) if median < torch.inf else None,
    }
