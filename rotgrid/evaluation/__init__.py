"""A trained model and its probes become rows: rotate, attack, count."""

import functools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from rotgrid import deadline
from rotgrid.attacks import conventions, sweep
from rotgrid.attacks.case import Notes
from rotgrid.attacks.fmn import distances as fmn_distances
from rotgrid.attacks.lbfgs import distances as lbfgs_distances
from rotgrid.attacks.linf import TOLERANCE, frozen
from rotgrid.attacks.spatial import correct_under_all
from rotgrid.data import Dataset, pixels, subset
from rotgrid.evaluation import equivariance, gradient_masking
from rotgrid.evaluation.settings import (
    Sources,
    Subject,
    angle_of,
    attack_settings,
    transforms_of,
)
from rotgrid.results.failures import MachineError
from rotgrid.results.storage import StoreError
from rotgrid.rotation import draw_angles, draw_shifts, transform
from rotgrid.spec import Probe, Trial
from rotgrid.spec.attacks import ATTACKS
from rotgrid.spec.sweeps import grouped, same_images, same_sweep
from rotgrid.training import ignore

LOG = logging.getLogger(__name__)

Row = dict[str, Any]
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
            subject = Subject(model, dataset, trial, *test, sources)
            for same in grouped(group, same_sweep):
                deadline.check(until, f"attack {same[0].attack}, probe {same[0].key()}")
                progress(f"attack {same[0].attack}")
                measuring = measure_of(same[0])
                yield timed(functools.partial(measuring, subject), same, failed)


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
    """The probe's test images and their labels; each rotated and shifted by its own frozen draw,
    unless the attack does that."""
    chosen = subset(dataset.test_labels, probe.n_images)
    images, labels = pixels(dataset.test_images[chosen]), dataset.test_labels[chosen]
    if ATTACKS[probe.attack].transforms:
        return images, labels
    n = len(dataset.test_labels)
    angles = draw_angles(n, angle_of(probe), "test")[chosen.cpu()]
    shifts = draw_shifts(n, probe.test_translation, "test")[chosen.cpu()]
    return transform(images, angles, shifts, trial.interpolation), labels


def measure_sweep(subject: Subject, probes: Sequence[Probe]) -> list[Row]:
    """A row per probe of an attack on pixels; they differ in eps alone."""
    notes: Notes = {}
    correct = sweep(
        subject.model,
        subject.images,
        subject.labels,
        attack=probes[0].attack,
        eps_grid=[probe.pixel_eps(subject.dataset.shape) for probe in probes],
        label_rule=probes[0].label_rule,
        threat=probes[0].threat,
        attack_digest=probes[0].attack_digest,
        notes=notes,
        **attack_settings(subject, probes[0]),
    )
    warn_where_gradients_fail(subject.trial, probes, notes)
    return [
        {
            **row_of(subject, probe, survived),
            **{name: counts[at] for name, counts in notes.items()},
        }
        for at, (probe, survived) in enumerate(zip(probes, correct, strict=True))
    ]


def measure_by_convention(subject: Subject, probes: Sequence[Probe]) -> list[Row]:
    """A row per probe of an attack that is clipped or run as in some published code."""
    probe = probes[0]
    correct = conventions.sweep(
        subject.model,
        subject.images,
        subject.labels,
        attack=probe.attack,
        eps_grid=[probe.pixel_eps(subject.dataset.shape) for probe in probes],
        shape=subject.dataset.shape,
        clip=probe.clip,
        mode=probe.mode,
        label_rule=probe.label_rule,
        **attack_settings(subject, probe),
    )
    return [row_of(subject, *each) for each in zip(probes, correct, strict=True)]


def measure_distances(subject: Subject, probes: Sequence[Probe]) -> list[Row]:
    """A row per probe of `fmn` or `lbfgs`, with the distance of each image."""
    of_images, steps = (subject.model, subject.images, subject.labels), probes[0].steps
    if probes[0].attack == "lbfgs":
        near = lbfgs_distances(*of_images, steps=steps)
    else:
        near = fmn_distances(*of_images, steps=steps, threat=probes[0].threat)
    levels = [probe.pixel_eps(subject.dataset.shape) for probe in probes]
    return [
        {
            **row_of(subject, probe, near > eps + TOLERANCE),
            "distances": near.tolist(),
        }
        for probe, eps in zip(probes, levels, strict=True)
    ]


def measure_transforms(subject: Subject, probes: Sequence[Probe]) -> list[Row]:
    """The row of a spatial attack."""
    (probe,) = probes
    transforms = transforms_of(subject, probe)
    model, images, labels = subject.model, subject.images, subject.labels
    survived = correct_under_all(model, images, labels, transforms, subject.trial.interpolation)
    return [row_of(subject, probe, survived)]


def measure_equivariance(subject: Subject, probes: Sequence[Probe]) -> list[Row]:
    """The row of an `equivariance` probe: which classes stay the same, and errors by layer."""
    (probe,) = probes
    rotated = equivariance.measure(subject.model, subject.images, angle_of(probe))
    return [{**row_of(subject, probe, rotated.unchanged), "layers": rotated.errors}]


def measure_gradient_masking(subject: Subject, probes: Sequence[Probe]) -> list[Row]:
    """The checks of `diagnostics`; an image is correct if it survives all that they try."""
    rows = []
    for probe in probes:
        found = gradient_masking.measure(
            subject.model,
            subject.images,
            subject.labels,
            eps=probe.pixel_eps(subject.dataset.shape),
            steps=probe.steps,
            restarts=probe.restarts,
            adversary=subject.trial.adversary != "none",
        )
        rows.append({**row_of(subject, probe, found.survived), "checks": found.checks})
    return rows


MEASURES: dict[str, Callable[[Subject, Sequence[Probe]], list[Row]]] = {
    "fmn": measure_distances,
    "lbfgs": measure_distances,
    "rotation-grid": measure_transforms,
    "translation-grid": measure_transforms,
    "spatial-grid": measure_transforms,
    "worst-of-10": measure_transforms,
    "equivariance": measure_equivariance,
    "diagnostics": measure_gradient_masking,
}
"""How probes are measured that are no sweep of an attack on pixels, or more than one."""


def measure_of(probe: Probe) -> Callable[[Subject, Sequence[Probe]], list[Row]]:
    """What measures a sweep of such probes."""
    if probe.by_convention():
        return measure_by_convention
    return MEASURES.get(probe.attack, measure_sweep)


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


def row_of(subject: Subject, probe: Probe, correct: Tensor) -> Row:
    """What is stored of one measurement: `correct` is (n,)."""
    correct, labels = correct.cpu(), subject.labels.cpu()
    classes = subject.dataset.shape.classes
    return {
        **probe.model_dump(),
        "probe": probe.key(),
        "n": len(correct),
        "n_correct": int(correct.sum()),
        "correct": np.packbits(correct.numpy()).tobytes(),
        "class_n": labels.bincount(minlength=classes).tolist(),
        "class_n_correct": labels[correct].bincount(minlength=classes).tolist(),
        "distances": None,
    }
