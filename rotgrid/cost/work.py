"""How much there is to compute: the images that go through each network, counted by kind."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rotgrid.spec import Probe, Trial
from rotgrid.spec.recipes import WATCH_STEPS, recipe_of, watched
from rotgrid.spec.sweeps import sweeps
from rotgrid.spec.vocabulary import DATA, VARIANTS, Attack

Network = tuple[str, str]
"""Model and variant."""

MULTIPLY_ADDS: dict[Network, float] = {
    ("stdcnn", "table1"): 1.01e6,
    ("stdcnn", "doubled"): 3.87e6,
    ("stdcnn", "matched-table1"): 6.98e6,
    ("stdcnn", "matched-halved"): 2.21e6,
    ("gcnn", "table1"): 15.17e6,
    ("gcnn", "halved"): 3.87e6,
    ("gcnn", "matched-table1"): 1.43e6,
    ("gcnn", "matched-doubled"): 7.50e6,
    ("gcnn", "orbit"): 15.12e6,
    ("hnet", "fixed"): 87.18e6,
    ("hnet", "2018"): 87.18e6,
    ("ptn", "base"): 12.68e6,
    ("ptn", "small"): 5.47e6,
    ("roteqnet", "exact"): 59.71e6,
    ("roteqnet", "zoomed"): 59.71e6,
    ("roteqnet", "sixteen"): 56.20e6,
    ("capsnet", "table"): 206.8e6,
    ("capsnet", "narrow"): 15.86e6,
    ("z2cnn", "base"): 2.98e6,
    ("p4cnn", "base"): 11.67e6,
    ("p4cnn", "rotation-pooling"): 11.90e6,
    ("tipooling", "narrow"): 28.52e6,
    ("tipooling", "full"): 677.4e6,
    ("cyclic", "pool"): 4.02e6,
    ("cyclic", "roll"): 6.38e6,
    ("dren", "x4"): 11.65e6,
    ("dren", "max-x4"): 11.67e6,
    ("steerable", "c4"): 19.62e6,
    ("steerable", "c8"): 37.48e6,
    ("steerable", "so2"): 25.34e6,
    ("steerable", "gcnn"): 15.17e6,
    ("emcaps", "small"): 7.20e6,
    ("madrycnn", "base"): 13.88e6,
}
"""Of one forward pass of one image, by (model, variant), without the building of filters."""

BROKEN, UNBROKEN = 0.4, 0.85
"""Shares of the images at one eps: that an attack breaks, and that costs none that succeeds. These
and the constants of `sweep_work` lie between what two trained networks take, of which one keeps
86 % of the images under PGD at eps 0.1 and one 33 %; where nothing survives, too much is counted.
"""


class Work(NamedTuple):
    """Images, by what is done with them."""

    trained: float = 0.0
    """A step of training: forward, and backward to the weights."""
    gradients: float = 0.0
    """A step of an attack: forward, and backward to the pixels."""
    forwards: float = 0.0


ONCE_MORE = 0.8
"""Of an attack that fails: what it costs per image to try once more below it, on a fine grid of
eps. On trained networks 0.3 (`square`) to 0.8 (`strong`)."""

MASKED, QUERIES = 0.05, 5_000
"""Share of the images left in `strong` that Square searches again, and its queries. An assumed
mean over networks: none of an ordinary one, and all where gradients are masked, as on one in some
twenty; a sweep there takes several times what is counted."""

PASSES = Work(trained=3, gradients=2, forwards=1)
"""What one image is worth, in forward passes."""


def network_of(trial: Trial) -> Network:
    """What a trial trains."""
    return trial.model, trial.variant


def passes(work: Work) -> float:
    """Forward passes that the work is worth."""
    return sum(images * each for images, each in zip(work, PASSES, strict=True))


def total(works: Iterable[Work]) -> Work:
    """The sum of some work."""
    return Work(*map(sum, zip(*works, strict=True)))


def training_work(trial: Trial) -> Work:
    """Of the whole training; the watch on adversarial training as if every image survived it."""
    steps = recipe_of(trial.recipe, trial.model).adversary_steps
    trained, gradients, forwards = {
        "none": (1, 0, 0),
        "fgsm": (1, 1, 0),
        "fgsm-mix": (2, 1, 0),
        "fgsm-rs": (1, 1, 0),
        "n-fgsm": (1, 1, 0),
        "pgd": (1, steps, 1),
        "trades": (2, steps, 1),
        "cusp": (1, steps, 1),
    }[trial.adversary]
    validation = DATA[trial.data].val
    watch = watched(trial.train_size, validation) if trial.adversary != "none" else 0
    images = trial.passes() * trial.train_size
    rows = min(10.0, trial.passes()) if trial.train_steps else trial.passes()
    return Work(
        images * trained,
        images * gradients + rows * watch * WATCH_STEPS,
        images * forwards + rows * (watch * 2 + validation),
    )


@functools.lru_cache(maxsize=1_000)  # many trials have the same probes
def probes_work(network: Network, probes: tuple[Probe, ...]) -> Mapping[Network, Work]:
    """Of measuring resolved probes, by the network that does it.

    `transfer` climbs on another one. If that is not trained yet, its training is not counted.
    """
    found: dict[Network, list[Work]] = {network: []}
    for sweep in sweeps(probes):
        work, source = sweep_work(sweep), sweep[0].source
        if source:
            other = found.setdefault((source, VARIANTS[source][0]), [])
            other.append(work._replace(forwards=0.0))
            work = work._replace(gradients=0.0)
        found[network].append(work)
    return {name: total([Work(), *works]) for name, works in found.items()}


def sweep_work(sweep: Sequence[Probe]) -> Work:
    """Of one sweep over eps. Attacks that search make on each image one attack that fails, from
    all starts, and one that succeeds from its first start, or fewer if there are few eps."""
    probe, levels = sweep[0], len(sweep)
    steps, starts = probe.steps, max(1, probe.restarts)
    failed = steps * starts * (1 - BROKEN / levels)
    broken = steps * (1 - UNBROKEN / levels) + (levels > 1)
    twice = failed + ONCE_MORE * steps * starts * (1 - 1 / levels)
    queries = MASKED * max(QUERIES / steps, 10) if steps else 0
    turns = 2 * float(probe.test_rotation) + 1  # resolved, so a number
    shifts = (2 * probe.test_translation + 1) ** 2
    per_image: dict[Attack, tuple[float, float]] = {  # gradients, and forward passes besides one
        "none": (0, 0),
        "noise": (0, levels * starts),
        "sign-noise": (0, levels * starts),
        "class-means": (0, levels),
        "fgsm": (1, levels),
        "bim": (0.5 * sum(map(bim_steps, sweep)), levels),
        "pgd": (failed + broken, starts),
        "apgd": (twice * (9 if probe.loss == "dlr" else 1), 2),
        "square": (0, 0.7 * (twice + broken)),
        "fmn": (steps, 0),
        "fmn-pgd": (50 + twice, starts),
        "strong": (steps + 10 * twice, (5 + queries) * twice),
        "transfer": (levels * steps * starts, levels),
        "rotation-grid": (0, 0.4 * turns),
        "translation-grid": (0, 0.25 * shifts),
        "spatial-grid": (0, 0.2 * 775),
        "worst-of-10": (0, 6),
        "spatial-pgd": (6.5 * (failed + broken), turns),
        "equivariance": (0, 1),
        "diagnostics": (300 + 3.5 * failed, 2_000),
    }
    gradients, forwards = per_image[probe.attack]
    return Work(0.0, probe.n_images * gradients, probe.n_images * (1 + forwards))


def bim_steps(probe: Probe) -> float:
    """Steps of the iterative method, see `rotgrid.attacks.bim`."""
    levels = 255 * probe.pixel_eps()
    return min(levels + 4, 1.25 * levels)
