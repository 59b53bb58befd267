"""A trained model and its probes become rows: rotate, attack, count."""

import functools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rotgrid import deadline
from rotgrid.attacks import sweep
from rotgrid.attacks.class_means import means_of
from rotgrid.attacks.dispatch import Notes
from rotgrid.attacks.fmn import distances
from rotgrid.attacks.linf import TOLERANCE, frozen
from rotgrid.attacks.spatial import (
    rotation_grid,
    spatial_grid,
    survives,
    translation_grid,
    views,
    worst_of_k,
)
from rotgrid.data import Dataset, pixels, subset
from rotgrid.evaluation import equivariance, gradient_masking
from rotgrid.results.failures import MachineError
from rotgrid.results.storage import StoreError
from rotgrid.rotation import draw_angles, draw_shifts, rotate, transform
from rotgrid.spec import Probe, Trial
from rotgrid.spec.sweeps import UNTURNED, grouped, same_images, same_sweep
from rotgrid.spec.vocabulary import ModelName
from rotgrid.training import ignore

LOG = logging.getLogger(__name__)

ATTACK_SEED = 20190
"""Of the random starts of attacks: the same for every model, range and eps, so that differences
between models are paired, and a probe measured alone equals one measured among others."""

DRAWS = 10
"""Of `worst-of-10`, and of `spatial-pgd` besides the worst turn."""

Row = dict[str, Any]
Sources = Callable[[ModelName], nn.Module]
"""The network on which `transfer` makes its images, by model."""

Failed = Callable[[Probe, Exception], object]


def reraise(probe: Probe, error: Exception) -> None:
    """Let a probe that cannot be measured end the measuring."""
    raise error


def measure(
    model: nn.Module,
    dataset: Dataset,
    trial: Trial,
    probes: Sequence[Probe],
    sources: Sources | None = None,
    until: float = deadline.NEVER,
    progress: Callable[[str], object] = ignore,
    failed: Failed = reraise,
) -> Iterator[list[Row]]:
    """The rows of the probes, without provenance, a sweep over eps at a time.

    Probes that share test images or an attack are measured together, whatever their order.

    Args:
        model: in any mode; left as it is.
        dataset: on the model's device.
        trial: says how images are resampled.
        probes: resolved.
        sources: needed by `transfer`.
        until: reading of `time.monotonic` past which no sweep begins.
        progress: is told what begins, as in `attack pgd`.
        failed: is told of each probe that cannot be measured, and why; all others are measured.

    Yields:
        `probe`, its fields, `n`, `n_correct`, `correct`, `class_n`, `class_n_correct`,
        `distances` and `seconds`; of an `equivariance` probe also `layers`, the error by layer,
        of `diagnostics` also `checks`, and of attacks that search the counts that `sweep` notes.
    """
    with frozen(model):  # filters are built once for all
        for group in grouped(list(dict.fromkeys(probes)), same_images):
            test = test_images(dataset, trial, group[0])
            for same in grouped(group, same_sweep):
                deadline.check(until, f"attack {same[0].attack}, probe {same[0].key()}")
                progress(f"attack {same[0].attack}")
                work = functools.partial(measured, model, dataset, trial, test, sources=sources)
                yield timed(work, same, failed)


def timed(
    work: Callable[[Sequence[Probe]], list[Row]], probes: Sequence[Probe], failed: Failed
) -> list[Row]:
    """The rows of a sweep with their seconds; if it fails, of its probes one by one."""
    start = time.perf_counter()
    try:
        rows = work(probes)
    except (StoreError, MachineError, deadline.TimeLimitError):
        raise
    except Exception as error:
        if len(probes) > 1 and not probes[0].source:  # without its source each would fail alike
            return [row for probe in probes for row in timed(work, [probe], failed)]
        for probe in probes:
            failed(probe, error)
        return []
    seconds = (time.perf_counter() - start) / len(rows)
    return [{**row, "seconds": seconds} for row in rows]


def test_images(dataset: Dataset, trial: Trial, probe: Probe) -> tuple[Tensor, Tensor]:
    """The probe's test images and their labels; each turned and shifted by its own frozen draw,
    unless the attack does that."""
    chosen = subset(dataset.test_labels, probe.n_images)
    images, labels = pixels(dataset.test_images[chosen]), dataset.test_labels[chosen]
    if probe.attack in UNTURNED:
        return images, labels
    n = len(dataset.test_labels)
    angles = draw_angles(n, angle_of(probe), "test")[chosen.cpu()]
    shifts = draw_shifts(n, probe.test_translation, "test")[chosen.cpu()]
    return transform(images, angles, shifts, trial.interpolation), labels


def measured(
    model: nn.Module,
    dataset: Dataset,
    trial: Trial,
    test: tuple[Tensor, Tensor],
    probes: Sequence[Probe],
    sources: Sources | None,
) -> list[Row]:
    """A row per probe; they differ in eps alone."""
    (images, labels), probe = test, probes[0]
    grid = [probe.pixel_eps() for probe in probes]
    match probe.attack:
        case "equivariance":
            turned = equivariance.measure(model, images, angle_of(probe))
            return [{**row_of(probe, turned.unchanged, labels), "layers": turned.errors}]
        case "diagnostics":
            return [diagnosed(model, trial, images, labels, probe) for probe in probes]
        case "fmn":
            near = distances(model, images, labels, steps=probe.steps)
            return [
                {**row_of(p, near > eps + TOLERANCE, labels), "distances": near.tolist()}
                for p, eps in zip(probes, grid, strict=True)
            ]
        case "rotation-grid" | "translation-grid" | "spatial-grid" | "worst-of-10":
            transforms = transforms_of(probe, dataset)
            kept = survives(model, images, labels, transforms, trial.interpolation)
            return [row_of(probe, kept, labels)]
        case "spatial-pgd":
            settings = joint_settings(model, dataset, trial, images, labels, probe)
        case "class-means":
            settings = {"means": class_means_of(dataset, trial, probe)}
        case _:
            settings = attack_settings(probe, sources)
    notes: Notes = {}
    correct = sweep(
        model, images, labels, attack=probe.attack, eps_grid=grid, notes=notes, **settings
    )
    warn_where_gradients_fail(trial, probes, notes)
    return [
        {**row_of(probe, kept, labels), **{name: counts[at] for name, counts in notes.items()}}
        for at, (probe, kept) in enumerate(zip(probes, correct, strict=True))
    ]


def warn_where_gradients_fail(trial: Trial, probes: Sequence[Probe], notes: Notes) -> None:
    """Log that gradients vanish or are false, or that Square broke what they all left."""
    vanish, alone = (max(notes.get(name, [0])) for name in ("no_gradient", "square_only"))
    if vanish or alone:
        LOG.warning(
            "trial %s, attack %s, eps %s: of %d images %d have no true gradient, %d were broken "
            "by Square alone: gradient attacks may flatter this network",
            trial.key(),
            probes[0].attack,
            ", ".join(f"{eps:g}" for eps in sorted({probe.eps for probe in probes})),
            probes[0].n_images,
            vanish,
            alone,
        )


def row_of(probe: Probe, correct: Tensor, labels: Tensor) -> Row:
    """What is stored of one measurement: `correct` and `labels` are (n,)."""
    correct, labels = correct.cpu(), labels.cpu()
    return {
        **probe.model_dump(),
        "probe": probe.key(),
        "n": len(correct),
        "n_correct": int(correct.sum()),
        "correct": np.packbits(correct.numpy()).tobytes(),
        "class_n": labels.bincount(minlength=10).tolist(),
        "class_n_correct": labels[correct].bincount(minlength=10).tolist(),
        "distances": None,
    }


def diagnosed(model: nn.Module, trial: Trial, images: Tensor, labels: Tensor, probe: Probe) -> Row:
    """The checks; an image counts as correct if it survives all that they try."""
    found = gradient_masking.measure(
        model,
        images,
        labels,
        eps=probe.pixel_eps(),
        steps=probe.steps,
        restarts=probe.restarts,
        adversary=trial.adversary != "none",
    )
    return {**row_of(probe, found.survived, labels), "checks": found.checks}


def transforms_of(probe: Probe, dataset: Dataset) -> Tensor:
    """The turns and shifts that a spatial attack tries."""
    rotation, shift = angle_of(probe), probe.test_translation
    match probe.attack:
        case "translation-grid":
            return translation_grid(shift)
        case "spatial-grid":
            return spatial_grid(rotation, shift)
        case "worst-of-10":
            chosen = subset(dataset.test_labels, probe.n_images).cpu()
            return worst_of_k(len(dataset.test_labels), DRAWS, rotation, shift)[chosen]
    return rotation_grid(rotation)


def joint_settings(
    model: nn.Module, dataset: Dataset, trial: Trial, images: Tensor, labels: Tensor, probe: Probe
) -> dict[str, Any]:
    """Of `spatial-pgd`: the images under their worst turn and under ten random transforms."""
    n, chosen = len(dataset.test_labels), subset(dataset.test_labels, probe.n_images).cpu()
    rotation, shift = angle_of(probe), probe.test_translation
    found = views(
        model,
        images,
        labels,
        rotation_grid(rotation),
        worst_of_k(n, DRAWS, rotation, shift)[chosen],
        trial.interpolation,
    )
    return {**attack_settings(probe, None), "views": found}


def class_means_of(dataset: Dataset, trial: Trial, probe: Probe) -> Tensor:
    """The mean image of each class in training, turned as the probe turns test images."""
    chosen = subset(dataset.train_labels, trial.train_size)
    angles = draw_angles(len(chosen), angle_of(probe), "train")
    parts = [
        rotate(pixels(dataset.train_images[at]), angle, trial.interpolation)
        for at, angle in zip(chosen.split(5_000), angles.split(5_000), strict=True)
    ]
    return means_of(torch.cat(parts), dataset.train_labels[chosen])


def attack_settings(probe: Probe, sources: Sources | None) -> dict[str, Any]:
    """What `sweep` needs to know of the probe's attack.

    Raises:
        ValueError: a `transfer` without `sources`.
    """
    generator = torch.Generator().manual_seed(ATTACK_SEED)
    starts: dict[str, Any] = {"restarts": probe.restarts, "generator": generator}
    if not probe.restarts:  # one start, at the image
        starts = {"restarts": 1, "generator": None}
    climb = {"steps": probe.steps, "loss": probe.loss, **starts}
    match probe.attack:
        case "noise" | "sign-noise":
            return {"restarts": max(1, probe.restarts), "generator": generator}
        case "fgsm" | "bim":
            return {"label_rule": probe.label_rule}
        case "pgd":
            precision = {"precision": probe.attack_precision, "label_rule": probe.label_rule}
            return {**climb, **precision}
        case "fmn-pgd":
            return {**climb, "precision": probe.attack_precision}
        case "apgd" | "spatial-pgd":
            return climb
        case "square":
            return {
                "steps": probe.steps,
                "restarts": max(1, probe.restarts),
                "generator": generator,
            }
        case "strong":
            return {"steps": probe.steps, "generator": generator}
        case "transfer":
            if sources is None or not probe.source:
                raise ValueError("transfer needs sources")
            return {**climb, "source": sources(probe.source)}
    return {}


def angle_of(probe: Probe) -> float:
    """The probe's rotation in degrees.

    Raises:
        ValueError: it is not resolved.
    """
    if probe.test_rotation == "same":
        raise ValueError("resolve the probe first: probe.resolve(trial)")
    return probe.test_rotation
