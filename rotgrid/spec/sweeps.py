"""Which probes are measured together: those of the same test images, and sweeps over eps."""

from collections.abc import Callable, Iterable
from typing import Any

from rotgrid.spec import Probe
from rotgrid.spec.vocabulary import ATTACKS

UNTURNED = ("rotation-grid", "translation-grid", "spatial-grid", "worst-of-10", "spatial-pgd",
            "equivariance")  # fmt: skip
"""The attacks that rotate or shift images themselves."""


def same_images(probe: Probe) -> object:
    """Equal for probes of the same test images."""
    if probe.attack in UNTURNED:
        return probe.n_images
    return probe.test_rotation, probe.test_translation, probe.n_images


def same_sweep(probe: Probe) -> object:
    """Equal for probes that differ in eps alone."""
    return tuple(value for name, value in vars(probe).items() if name != "eps")


def grouped(probes: Iterable[Probe], value: Callable[[Probe], object]) -> list[list[Probe]]:
    """The probes in groups of equal `value`, in order of first appearance."""
    groups: dict[object, list[Probe]] = {}
    for probe in probes:
        groups.setdefault(value(probe), []).append(probe)
    return list(groups.values())


def sweeps(probes: Iterable[Probe]) -> list[list[Probe]]:
    """Distinct resolved probes as sweeps over eps, those of the same test images side by side.

    In an order of their own, whatever the order given: what is left when the first sweeps are
    taken away comes in the same order.
    """
    ordered = sorted(dict.fromkeys(probes), key=order)
    return [s for group in grouped(ordered, same_images) for s in grouped(group, same_sweep)]


def order(probe: Probe) -> tuple[Any, ...]:
    """Sorts resolved probes: by test images, then by sweep, then by eps."""
    unturned = probe.attack in UNTURNED
    rotation = (0.0, 0.0) if unturned else (probe.test_rotation, probe.test_translation)
    sweep = [value for name, value in vars(probe).items() if name != "eps"]
    return (unturned, probe.n_images, *rotation, ATTACKS.index(probe.attack), *sweep, probe.eps)
