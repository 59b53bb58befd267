"""How much there is to compute: the images that go through each network, counted by kind."""

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rotgrid.spec import Probe, Trial, data_of
from rotgrid.spec.adversaries import ADVERSARIES
from rotgrid.spec.attacks import ATTACKS, Effort
from rotgrid.spec.datasets import MNIST_SHAPE, Shape
from rotgrid.spec.overfitting import WATCH_STEPS, watched_images
from rotgrid.spec.sweeps import grouped, same_sweep

Network = tuple[str, str]
"""Model and variant."""


class Work(NamedTuple):
    """Images, by what is done with them."""

    trained: float = 0.0
    """A step of training: forward, and backward to the weights."""
    gradients: float = 0.0
    """A step of an attack: forward, and backward to the pixels."""
    forwards: float = 0.0

    def passes(self) -> float:
        """Forward passes of one image that the work is worth."""
        return 3 * self.trained + 2 * self.gradients + self.forwards


BROKEN, UNBROKEN = 0.4, 0.85
"""Shares of the images at one eps: that an attack breaks, and that costs none that succeeds. These
and the constants of `sweep_work` lie between what two trained networks take, of which one keeps
86 % of the images under PGD at eps 0.1 and one 33 %; where nothing survives, too much is counted.
"""

ONCE_MORE = 0.8
"""Of an attack that fails: what it costs per image to try once more below it, on a fine grid of
eps. On trained networks 0.3 (`square`) to 0.8 (`strong`)."""

MASKED, QUERIES = 0.05, 5_000
"""Share of the images left in `strong` that Square searches again, and its queries. An assumed
mean over networks: none of an ordinary one, and all where gradients are masked, as on one in some
twenty; a sweep there takes several times what is counted."""


def relative_size(shape: Shape) -> float:
    """How many times that of an image of MNIST a forward pass costs: as many as it has its pixels.

    Convolutions are nearly all of it. The first costs somewhat more on several channels, and what
    layers without padding take off is less of a larger image.
    """
    return (shape.size / MNIST_SHAPE.size) ** 2


def training_work(trial: Trial) -> Work:
    """The work of a whole training, as if every image survived the adversary that validation
    watches it with."""
    validation, epochs = data_of(trial).val, trial.passes()
    steps = trial.recipe_used().adversary_steps
    trained, gradients, forwards = ADVERSARIES[trial.adversary].passes_per_image(steps)
    watch = watched_images(trial.train_size, validation) if trial.adversary != "none" else 0
    images = epochs * trial.train_size
    rows = min(10.0, epochs) if trial.train_steps else epochs
    return Work(
        images * trained,
        images * gradients + rows * watch * WATCH_STEPS,
        images * forwards + rows * (watch * 2 + validation),
    )


@functools.lru_cache(maxsize=1_000)  # many networks have the same probes
def measuring_work(probes: tuple[Probe, ...]) -> Mapping[str, Work]:
    """The work of measuring resolved probes: "" is that of the measured network, others are models
    on which `transfer` climbs. If one is not trained yet, its training is not counted."""
    found: dict[str, Work] = defaultdict(Work)
    for sweep in grouped(probes, same_sweep):
        work, source = sweep_work(sweep), sweep[0].source
        attack, rest = work._replace(forwards=0.0), work._replace(gradients=0.0)
        for model, part in ((source, attack), ("", rest)):
            found[model] = Work(*map(sum, zip(found[model], part, strict=True)))
    return found


def sweep_work(sweep: Sequence[Probe]) -> Work:
    """Of one sweep over eps. Attacks that search make on each image one attack that fails, from
    all starts, and one that succeeds from its first start, or fewer if there are few eps."""
    probe, levels = sweep[0], len(sweep)
    steps, starts = probe.steps, max(1, probe.restarts)
    failed = steps * starts * (1 - BROKEN / levels)
    effort = Effort(
        eps=tuple(each.pixel_eps(MNIST_SHAPE) for each in sweep),
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
    gradients, forwards = ATTACKS[probe.attack].passes_per_image(effort)
    if probe.by_convention():
        gradients, forwards = plain_loops(probe, levels)
    return Work(0.0, probe.n_images * gradients, probe.n_images * (1 + forwards))


def plain_loops(probe: Probe, levels: int) -> tuple[int, int]:
    """Gradients of an image, and forward passes beside the first, of the plain loops of
    `rotgrid.attacks.conventions`: at each eps all steps of all starts, and a look at each result.
    """
    starts = max(probe.restarts, min(1, probe.steps))
    return levels * starts * probe.steps, levels * (1 + starts * (probe.steps + 1)) - 1
