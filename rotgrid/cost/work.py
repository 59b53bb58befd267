"""How much there is to compute: the images that go through each network, counted by kind."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rotgrid.spec import Probe, Trial
from rotgrid.spec.adversaries import ADVERSARIES
from rotgrid.spec.attacks import ATTACKS, Effort
from rotgrid.spec.datasets import DATA
from rotgrid.spec.models import MODELS, recipe_of
from rotgrid.spec.recipes import WATCH_STEPS, watched
from rotgrid.spec.sweeps import sweeps

Network = tuple[str, str]
"""Model and variant."""

MULTIPLY_ADDS: dict[Network, float] = {
    (model, variant): each
    for model, entry in MODELS.items()
    for variant, each in entry.variants.items()
}
"""Of one forward pass of one image."""

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
    trained, gradients, forwards = ADVERSARIES[trial.adversary].images(steps)
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
            other = found.setdefault((source, MODELS[source].default), [])
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
    effort = Effort(
        eps=tuple(each.pixel_eps() for each in sweep),
        steps=steps,
        starts=starts,
        loss=probe.loss,
        failed=failed,
        succeeded=steps * (1 - UNBROKEN / levels) + (levels > 1),
        repeated=failed + ONCE_MORE * steps * starts * (1 - 1 / levels),
        black_box=MASKED * max(QUERIES / steps, 10) if steps else 0,
        rotations=2 * float(probe.test_rotation) + 1,  # resolved, so a number
        shifts=(2 * probe.test_translation + 1) ** 2,
    )
    gradients, forwards = ATTACKS[probe.attack].images(effort)
    return Work(0.0, probe.n_images * gradients, probe.n_images * (1 + forwards))
