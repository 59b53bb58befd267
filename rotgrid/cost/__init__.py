"""What a plan costs: seconds of each trial, how sure they are, and what they add up to.

Neither torch nor Ray is needed.
"""

import glob
import heapq
import math
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from rotgrid.cost.speed import Speed
from rotgrid.cost.work import network_of
from rotgrid.grid import Resources
from rotgrid.spec import Probe, Trial
from rotgrid.spec.sweeps import sweeps

PORTION_SECONDS = 60.0
"""On the reference core; rows measured for so long are stored before the measuring goes on."""


class Estimate(NamedTuple):
    """What is expected of a plan."""

    seconds: dict[str, float]
    """By key of the trial."""
    factor: tuple[float, float]
    """The least and the most that true seconds are of the expected ones."""
    source: str

    def between(self, amount: float, show: Callable[[float], str]) -> str:
        """An amount that grows with the seconds, and its range: `2 h (1 h to 4 h)`."""
        low, high = self.factor
        return f"{show(amount)} ({show(low * amount)} to {show(high * amount)})"


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
        filled += reference_seconds(trial, sweep)
    return found


def reference_seconds(trial: Trial, probes: Iterable[Probe], trained: bool = True) -> float:
    """Seconds of the probes on the reference core, and of the training unless it is `trained`."""
    speed = Speed()
    return speed.measuring(trial, probes) + (0.0 if trained else speed.training(trial))


def estimate(
    todo: Mapping[Trial, Sequence[Probe]], trained: Collection[str], speed: Speed
) -> Estimate:
    """Expected seconds of each trial.

    Args:
        todo: the resolved probes that each trial has still to measure.
        trained: keys of the trials whose weights are stored.
        speed: of the machines.
    """
    seconds: dict[str, float] = {}
    by_source: dict[str, float] = defaultdict(float)
    least = most = 0.0
    for trial, probes in todo.items():
        own, key = network_of(trial), trial.key()
        took = speed.measuring(trial, probes)
        if key not in trained:
            took += speed.training(trial)
        seconds[key] = took
        low, high = speed.within(own)
        least, most = least + low * took, most + high * took
        by_source[speed.source(own)] += took
    whole = sum(seconds.values())
    factor = (least / whole, most / whole) if whole else (1.0, 1.0)
    return Estimate(seconds, factor, described(by_source))


def described(by_source: Mapping[str, float]) -> str:
    """Where seconds come from, with shares if they come from several sources."""
    if len(by_source) < 2:
        return "".join(by_source)
    whole = sum(by_source.values())
    shares = sorted(by_source.items(), key=lambda item: -item[1])
    return "; ".join(f"{source} ({part / whole:.0%})" for source, part in shares)


def slots_here(resources: Resources) -> int:
    """How many trials this machine holds at once, at least one."""
    slots = (os.cpu_count() or 1) // resources.cpu
    if resources.gpu:
        slots = min(slots, math.floor(max(1, len(gpus())) / resources.gpu))
    return max(1, slots)


def gpus() -> list[str]:
    """What tells of each NVIDIA GPU of this machine."""
    return glob.glob("/proc/driver/nvidia/gpus/*/information")


def makespan(seconds: Iterable[float], slots: int) -> float:
    """Seconds until all trials have ended, if the longest start first, so many at once."""
    ends = [0.0] * slots
    for each in sorted(seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)
