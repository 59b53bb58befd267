"""A trained model and its probes become rows: rotate, attack, count."""

import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rotgrid import equivariance
from rotgrid.attacks import sweep
from rotgrid.attacks.threat import frozen
from rotgrid.data import Dataset, pixels, subset
from rotgrid.rotation import draw_angles, rotate
from rotgrid.spec import Probe, Trial

ATTACK_SEED = 20190
"""Of the random starts of attacks: the same for every model, range and eps, so that differences
between models are paired, and a probe measured alone equals one measured among others."""


def measure(
    model: nn.Module, dataset: Dataset, trial: Trial, probes: Sequence[Probe]
) -> Iterator[list[dict[str, Any]]]:
    """The rows of the probes, without provenance, a sweep over eps at a time.

    Probes that share rotated images or an attack are measured together, whatever their order.

    Args:
        model: in any mode; left as it is.
        dataset: on the model's device.
        trial: says how images are resampled.
        probes: resolved.

    Yields:
        `probe`, its fields, `n`, `n_correct`, `correct` and `seconds`; of an `equivariance` probe
        also `layers`, the error by layer.
    """
    distinct = list(dict.fromkeys(probes))
    with frozen(model):  # filters are built once for all
        for probe in distinct:
            if probe.attack == "equivariance":
                yield [equivariance_row(model, dataset, probe)]
        attacks = [probe for probe in distinct if probe.attack != "equivariance"]
        for group in grouped(attacks, "test_rotation", "n_images"):
            images, labels = rotated_test_images(dataset, trial, group[0])
            for sweep_probes in grouped(group, "attack", "steps", "restarts"):
                yield sweep_rows(model, images, labels, sweep_probes)


def sweep_rows(
    model: nn.Module, images: Tensor, labels: Tensor, probes: Sequence[Probe]
) -> list[dict[str, Any]]:
    """A row per eps of one attack."""
    start = time.perf_counter()
    correct = sweep(
        model,
        images,
        labels,
        attack=probes[0].attack,
        eps_grid=[probe.eps for probe in probes],
        **attack_settings(probes[0]),
    ).cpu()
    seconds = (time.perf_counter() - start) / len(probes)
    return [row_of(probe, bits, seconds) for probe, bits in zip(probes, correct, strict=True)]


def equivariance_row(model: nn.Module, dataset: Dataset, probe: Probe) -> dict[str, Any]:
    """Whether each class stays the same when its image turns, and the error by layer."""
    start = time.perf_counter()
    images = pixels(dataset.test_images[subset(dataset.test_labels, probe.n_images)])
    turned = equivariance.measure(model, images, angle_of(probe))
    row = row_of(probe, turned.unchanged.cpu(), time.perf_counter() - start)
    return {**row, "layers": turned.errors}


def row_of(probe: Probe, correct: Tensor, seconds: float) -> dict[str, Any]:
    """What is stored of one measurement: `correct` is bool (n,), on the CPU."""
    return {
        **probe.model_dump(),
        "probe": probe.key(),
        "n": len(correct),
        "n_correct": int(correct.sum()),
        "correct": np.packbits(correct.numpy()).tobytes(),
        "seconds": seconds,
    }


def angle_of(probe: Probe) -> float:
    """The probe's rotation in degrees.

    Raises:
        ValueError: it is not resolved.
    """
    if probe.test_rotation == "same":
        raise ValueError("resolve the probe first: probe.resolve(trial)")
    return probe.test_rotation


def grouped(probes: Sequence[Probe], *fields: str) -> list[list[Probe]]:
    """The probes in groups of equal `fields`, in order of first appearance."""

    def value(probe: Probe) -> tuple[object, ...]:
        return tuple(getattr(probe, field) for field in fields)

    first = {key: at for at, key in reversed(list(enumerate(map(value, probes))))}
    ordered = sorted(probes, key=lambda probe: first[value(probe)])
    return [list(group) for _, group in itertools.groupby(ordered, value)]


def rotated_test_images(dataset: Dataset, trial: Trial, probe: Probe) -> tuple[Tensor, Tensor]:
    """The probe's test images, each turned by its own frozen angle, and their labels."""
    chosen = subset(dataset.test_labels, probe.n_images)
    angles = draw_angles(len(dataset.test_labels), angle_of(probe), "test")[chosen.cpu()]
    images = pixels(dataset.test_images[chosen])
    return rotate(images, angles, trial.interpolation), dataset.test_labels[chosen]


def attack_settings(probe: Probe) -> dict[str, object]:
    """What `sweep` needs to know of the probe's attack."""
    generator = torch.Generator().manual_seed(ATTACK_SEED)
    match probe.attack:
        case "noise":
            return {"restarts": probe.restarts, "generator": generator}
        case "pgd":
            return {"steps": probe.steps, "restarts": probe.restarts, "generator": generator}
    return {}
