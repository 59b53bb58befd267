"""What a plan costs: seconds of each trial, how sure they are, and what they add up to."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from rotgrid.cost.speed import Pair, Speed
from rotgrid.spec import Probe, Trial
from rotgrid.spec.sweeps import sweeps

PORTION_SECONDS = 60.0
"""On the reference core; rows measured for so long are stored before the measuring goes on."""


class Estimate(NamedTuple):
    """What is expected of a plan."""

    seconds: dict[Trial, float]
    factor: tuple[float, float]
    """The least and the most that true seconds are of the expected ones."""
    source: str


def portions(trial: Trial, probes: Iterable[Probe]) -> list[list[Probe]]:
    """Resolved probes in the order in which they are measured, in parts of whole sweeps.

    The parts depend on the trial and the probes alone: when the first ones are done, the rest is
    cut as before.
    """
    found: list[list[Probe]] = []
    filled = math.inf
    for sweep in sweeps(probes):
        if filled >= PORTION_SECONDS:
            found.append([])
            filled = 0.0
        found[-1] += sweep
        filled += Speed().measuring(trial, sweep)
    return found


def estimate(
    todo: Mapping[Trial, Sequence[Probe]], trained: Collection[Trial], speed: Speed
) -> Estimate:
    """Expected seconds of each trial.

    Args:
        todo: the resolved probes that each trial has still to measure.
        trained: the trials whose weights are stored.
        speed: of the machines.
    """
    seconds: dict[Trial, float] = {}
    by_origin: dict[tuple[str, Pair], float] = defaultdict(float)
    # of many trials that have one tuple of probes
    shared: dict[tuple[str, str, str, int], float] = {}
    for trial, probes in todo.items():
        network = trial.model, trial.variant
        if (same := (*network, trial.data, id(probes))) not in shared:
            shared[same] = speed.measuring(trial, probes)
        took = shared[same] + (0.0 if trial in trained else speed.training(trial))
        seconds[trial] = took
        by_origin[speed.origin(network)] += took
    whole = sum(seconds.values())
    shares = {origin: part / whole for origin, part in by_origin.items() if whole}
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    words = [f"{text} ({share:.0%})" for (text, _), share in ordered]
    low, high = (sum(bounds[i] * share for (_, bounds), share in ordered) for i in (0, 1))
    text = "; ".join(words) if len(words) > 1 else "".join(text for text, _ in shares)
    return Estimate(seconds, (low, high) if shares else (1.0, 1.0), text)
