"""What an attack is told: of all that a probe, a network and its data hold, what it names."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rotgrid.attacks.class_means import means_of
from rotgrid.attacks.dispatch import survival_under
from rotgrid.attacks.spatial import (
    draw_transforms,
    rotation_grid,
    spatial_grid,
    translation_grid,
)
from rotgrid.attacks.spatial_pgd import views
from rotgrid.data import Dataset, pixels, subset
from rotgrid.rotation import draw_angles, rotate
from rotgrid.spec import Probe, Trial
from rotgrid.spec.attacks import ATTACKS
from rotgrid.spec.entries import settings_named
from rotgrid.spec.models import ModelName

ATTACK_SEED = 20190
"""Of the random starts of attacks: the same for every model, range and eps, so that differences
between models are paired, and a probe measured alone equals one measured among others."""

DRAWS = 10
"""Of `worst-of-10`, and of `spatial-pgd` besides the worst rotation."""

Sources = Callable[[ModelName], nn.Module]
"""The network on which `transfer` makes its images, by model."""


class Subject(NamedTuple):
    """A network and the test images on which it is measured."""

    model: nn.Module
    dataset: Dataset
    trial: Trial
    images: Tensor
    labels: Tensor
    sources: Sources | None = None
    """Needed by `transfer`."""


def attack_settings(subject: Subject, probe: Probe) -> dict[str, Any]:
    """Keyword arguments of the attack's `survival`: each of its parameters that `SETTINGS` knows.

    Raises:
        ValueError: a `transfer` without `sources`.
    """
    named = settings_named(survival_under(probe.attack, probe.attack_digest))
    return {name: make(subject, probe) for name, make in SETTINGS.items() if name in named}


def generator_of(probe: Probe) -> torch.Generator | None:
    """Of the random starts; none where the only start is at the image."""
    at_image = "restarts" in ATTACKS[probe.attack].reads and not probe.restarts
    return None if at_image else torch.Generator().manual_seed(ATTACK_SEED)


def source_of(subject: Subject, probe: Probe) -> nn.Module:
    """The network on which `transfer` makes its images.

    Raises:
        ValueError: there are no `sources`.
    """
    if subject.sources is None:
        raise ValueError("transfer needs sources")
    return subject.sources(probe.source)


def class_means_of(subject: Subject, probe: Probe) -> Tensor:
    """The mean image of each class in training, rotated as the probe rotates test images."""
    dataset, trial = subject.dataset, subject.trial
    chosen = subset(dataset.train_labels, trial.train_size)
    angles = draw_angles(len(chosen), angle_of(probe), "train")
    parts = [
        rotate(pixels(dataset.train_images[at]), angle, trial.interpolation)
        for at, angle in zip(chosen.split(5_000), angles.split(5_000), strict=True)
    ]
    return means_of(torch.cat(parts), dataset.train_labels[chosen], dataset.shape.classes)


def views_of(subject: Subject, probe: Probe) -> Tensor:
    """Of `spatial-pgd`: the images under their worst rotation and under ten random transforms."""
    rotation = angle_of(probe)
    return views(
        subject.model,
        subject.images,
        subject.labels,
        rotation_grid(rotation),
        drawn_transforms(subject.dataset, probe),
        subject.trial.interpolation,
    )


def of_probe(make: Callable[[Probe], Any]) -> Callable[[Subject, Probe], Any]:
    """A setting that needs no network."""
    return lambda subject, probe: make(probe)


SETTINGS_OF_PROBE: dict[str, Callable[[Probe], Any]] = {
    "steps": lambda probe: probe.steps,
    "restarts": lambda probe: max(1, probe.restarts),
    "loss": lambda probe: probe.loss,
    "generator": generator_of,
}
"""Those that follow from the probe alone."""


def told(function: Callable[..., Any], probe: Probe) -> dict[str, Any]:
    """Of the settings that follow from the probe alone, those that a function names."""
    named = settings_named(function)
    return {name: make(probe) for name, make in SETTINGS_OF_PROBE.items() if name in named}


SETTINGS: dict[str, Callable[[Subject, Probe], Any]] = {
    **{name: of_probe(make) for name, make in SETTINGS_OF_PROBE.items()},
    "source": source_of,
    "means": class_means_of,
    "views": views_of,
}
"""What there is to be named."""


def transforms_of(subject: Subject, probe: Probe) -> Tensor:
    """The rotations and shifts that a spatial attack tries."""
    rotation, shift = angle_of(probe), probe.test_translation
    match probe.attack:
        case "translation-grid":
            return translation_grid(shift)
        case "spatial-grid":
            return spatial_grid(rotation, shift)
        case "worst-of-10":
            return drawn_transforms(subject.dataset, probe)
    return rotation_grid(rotation)


def drawn_transforms(dataset: Dataset, probe: Probe) -> Tensor:
    """Ten random transforms of each of the probe's test images: (n, 10, 3)."""
    chosen = subset(dataset.test_labels, probe.n_images).cpu()
    n = len(dataset.test_labels)
    return draw_transforms(n, DRAWS, angle_of(probe), probe.test_translation)[chosen]


def angle_of(probe: Probe) -> float:
    """The probe's rotation in degrees.

    Raises:
        ValueError: it is not resolved.
    """
    if probe.test_rotation == "same":
        raise ValueError("resolve the probe first: probe.resolve(trial)")
    return probe.test_rotation
