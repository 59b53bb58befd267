"""Which probes are measured together: those of the same test images, and sweeps over eps."""

from collections.abc import Callable, Iterable
from typing import Any

from rotgrid.spec import Probe
from rotgrid.spec.attacks import ATTACKS

RANKS = {attack: rank for rank, attack in enumerate(ATTACKS)}
"""The order in which attacks are measured."""


def same_images(probe: Probe) -> object:
    """Equal for probes of the same test images."""
    if ATTACKS[probe.attack].transforms:
        return probe.n_images
    return probe.test_rotation, probe.test_translation, probe.n_images


def same_sweep(probe: Probe) -> tuple[Any, ...]:
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

    Their order does not depend on the order of the probes, so that a later run without the
    finished ones goes on in the same order.
    """
    ordered = sorted(dict.fromkeys(probes), key=order)
    return [s for group in grouped(ordered, same_images) for s in grouped(group, same_sweep)]


def order(probe: Probe) -> tuple[Any, ...]:
    """Sorts resolved probes: by test images, then by sweep, then by eps."""
    unrotated = ATTACKS[probe.attack].transforms
    moved = (0.0, 0.0) if unrotated else (probe.test_rotation, probe.test_translation)
    rank = RANKS.get(probe.attack, len(RANKS))
    return (unrotated, probe.n_images, *moved, rank, *same_sweep(probe), probe.eps)
