"""A trained model and its probes become rows: rotate, attack, count."""

import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rotgrid.attacks import sweep
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
        `probe`, its fields, `n`, `n_correct`, `correct` and `seconds`.
    """
    distinct = list(dict.fromkeys(probes))
    for group in grouped(distinct, "test_rotation", "n_images"):
        images, labels = rotated_test_images(dataset, trial, group[0])
        for sweep_probes in grouped(group, "attack", "steps", "restarts"):
            start = time.perf_counter()
            eps_grid = [probe.eps for probe in sweep_probes]
            correct = sweep(
                model,
                images,
                labels,
                attack=sweep_probes[0].attack,
                eps_grid=eps_grid,
                **attack_settings(sweep_probes[0]),
            )
            bits = correct.cpu().numpy()
            seconds = (time.perf_counter() - start) / len(sweep_probes)
            yield [
                {
                    **probe.model_dump(),
                    "probe": probe.key(),
                    "n": len(labels),
                    "n_correct": int(row.sum()),
                    "correct": np.packbits(row).tobytes(),
                    "seconds": seconds,
                }
                for probe, row in zip(sweep_probes, bits, strict=True)
            ]


def grouped(probes: Sequence[Probe], *fields: str) -> list[list[Probe]]:
    """The probes in groups of equal `fields`, in order of first appearance."""

    def value(probe: Probe) -> tuple[object, ...]:
        return tuple(getattr(probe, field) for field in fields)

    first = {key: at for at, key in reversed(list(enumerate(map(value, probes))))}
    ordered = sorted(probes, key=lambda probe: first[value(probe)])
    return [list(group) for _, group in itertools.groupby(ordered, value)]


def rotated_test_images(dataset: Dataset, trial: Trial, probe: Probe) -> tuple[Tensor, Tensor]:
    """The probe's test images, each turned by its own frozen angle, and their labels."""
    if probe.test_rotation == "same":
        raise ValueError("resolve the probe first: probe.resolve(trial)")
    chosen = subset(dataset.test_labels, probe.n_images)
    angles = draw_angles(len(dataset.test_labels), probe.test_rotation, "test")[chosen.cpu()]
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
