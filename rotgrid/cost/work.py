"""How much there is to compute: the images that go through each network, counted by kind."""

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rotgrid.spec import Probe, Trial
from rotgrid.spec.recipes import WATCH_STEPS, recipe_of, watched
from rotgrid.spec.sweeps import grouped, same_sweep
from rotgrid.spec.vocabulary import DATA, Attack

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


def training_work(trial: Trial) -> Work:
    """The work of a whole training, as if every image survived the adversary that validation
    watches it with."""
    adversary, validation, epochs = trial.adversary, DATA[trial.data].val, trial.passes()
    iterative = adversary in ("pgd", "trades", "cusp")
    steps = recipe_of(trial.recipe, trial.model).adversary_steps if iterative else 1
    losses = 2 if adversary in ("fgsm-mix", "trades") else 1
    watch = watched(trial.train_size, validation) if adversary != "none" else 0
    images = epochs * trial.train_size
    rows = min(10.0, epochs) if trial.train_steps else epochs
    return Work(
        images * losses,
        images * steps * (adversary != "none") + rows * watch * WATCH_STEPS,
        images * iterative + rows * (watch * 2 + validation),
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
    broken = steps * (1 - UNBROKEN / levels) + (levels > 1)
    twice = failed + ONCE_MORE * steps * starts * (1 - 1 / levels)
    queries = MASKED * max(QUERIES / steps, 10) if steps else 0
    angles = 2 * float(probe.test_rotation) + 1  # resolved, so a number
    shifts = (2 * probe.test_translation + 1) ** 2
    per_image: dict[Attack, tuple[float, float]] = {  # gradients, and forward passes besides one
        "none": (0, 0), "equivariance": (0, 1), "diagnostics": (300 + 3.5 * failed, 2_000),
        "noise": (0, levels * starts), "sign-noise": (0, levels * starts),
        "class-means": (0, levels), "fgsm": (1, levels),
        "bim": (0.5 * sum(map(bim_steps, sweep)), levels),
        "pgd": (failed + broken, starts),
        "apgd": (twice * (9 if probe.loss == "dlr" else 1), 2),
        "square": (0, 0.7 * (twice + broken)),
        "fmn": (steps, 0), "fmn-pgd": (50 + twice, starts),
        "strong": (steps + 10 * twice, (5 + queries) * twice),
        "transfer": (levels * steps * starts, levels),
        "rotation-grid": (0, 0.4 * angles), "translation-grid": (0, 0.25 * shifts),
        "spatial-grid": (0, 0.2 * 775), "worst-of-10": (0, 6),
        "spatial-pgd": (6.5 * (failed + broken), angles),
    }  # fmt: skip
    gradients, forwards = per_image[probe.attack]
    return Work(0.0, probe.n_images * gradients, probe.n_images * (1 + forwards))


def bim_steps(probe: Probe) -> float:
    """Steps of the iterative method, see `rotgrid.attacks.bim`."""
    levels = 255 * probe.pixel_eps()
    return min(levels + 4, 1.25 * levels)
