"""How fast a machine trains and attacks networks: shipped speeds of two machines, times a factor
that is learned from the rows of finished trials."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rotgrid.cost.work import (
    MULTIPLY_ADDS,
    PASSES,
    Network,
    Work,
    network_of,
    passes,
    probes_work,
    training_work,
)
from rotgrid.grid import Plan, Resources, distinct_probes
from rotgrid.results.inventory import Inventory, launched
from rotgrid.results.storage import Root
from rotgrid.spec import Probe, Trial

CPU: Mapping[str, float] = {
    "stdcnn": 24e9,
    "gcnn": 55e9,
    "hnet": 63e9,
    "ptn": 33e9,
    "roteqnet": 54e9,
    "capsnet": 42e9,
    "z2cnn": 16e9,
    "p4cnn": 26e9,
    "tipooling": 32e9,
    "cyclic": 23e9,
    "dren": 26e9,
    "steerable": 32e9,
    "emcaps": 0.9e9,
    "madrycnn": 73e9,
}
"""Multiply-adds per second in training, by model, measured on one core of an Intel Xeon server
with AVX-512 (2026); on older ones it is less."""

H100_IMAGES: Mapping[Network, float] = {
    ("stdcnn", "table1"): 130_000,
    ("gcnn", "table1"): 52_810,
    ("hnet", "fixed"): 19_925,
    ("ptn", "base"): 17_746,
    ("roteqnet", "exact"): 20_677,
    ("capsnet", "narrow"): 27_109,
}
"""Images per second in training on one NVIDIA H100: float32, batches of 64, captured steps
(README, "A GPU"). Other networks and attacks were not measured there."""

_FASTER = {
    network[0]: PASSES.trained * MULTIPLY_ADDS[network] * images / CPU[network[0]]
    for network, images in H100_IMAGES.items()
}
GPU: Mapping[str, float] = {
    model: rate * _FASTER.get(model, statistics.median(_FASTER.values()))
    for model, rate in CPU.items()
}
"""Multiply-adds per second in training on an H100; of models that were not measured there, as many
times those of the CPU as the measured ones have in the median."""

GUESS, GUESS_GPU = "a guess", "a guess from trainings measured on an H100"
"""Where the speeds of networks come from that have no finished trial."""
GUESSED, GUESSED_GPU = (1 / 3, 3.0), (1 / 10, 10.0)
"""The least and the most that true seconds are of such guesses."""
LEARNED_FEW, LEARNED = (0.5, 2.5), (0.8, 1.5)
"""At best, the same of seconds that are learned from a few finished trials, or from `ENOUGH`. What
ran beside other work took longer than what is alone on the machine will."""
ENOUGH = 5


class Speed(NamedTuple):
    """Of the machines that a plan runs on."""

    shipped: Mapping[str, float] = CPU
    factors: Mapping[Network, tuple[float, float]] = {}
    """Of networks with finished trials: true over shipped seconds of training, of measuring."""
    others: tuple[float, float] = (1.0, 1.0)
    """Those of networks without: the median over the networks with."""
    learned: tuple[float, float] = LEARNED_FEW
    """The least and the most that true seconds are of learned ones."""
    trials: int = 0
    """Finished ones."""

    def training(self, trial: Trial) -> float:
        """Seconds of the whole training of a trial."""
        network = network_of(trial)
        return self.factor(network)[0] * self.unlearned(network, training_work(trial))

    def measuring(self, trial: Trial, probes: Iterable[Probe]) -> float:
        """Seconds of measuring resolved probes of a trial."""
        work = probes_work(network_of(trial), tuple(probes))
        return sum(self.factor(other)[1] * self.unlearned(other, w) for other, w in work.items())

    def factor(self, network: Network) -> tuple[float, float]:
        """True over shipped seconds of training, of measuring."""
        return self.factors.get(network, self.others)

    def unlearned(self, network: Network, work: Work) -> float:
        """Seconds of some work by the shipped speed alone."""
        return passes(work) * MULTIPLY_ADDS[network] / self.shipped[network[0]]

    def within(self, network: Network) -> tuple[float, float]:
        """The least and the most that true seconds are of the expected ones."""
        guessed = GUESSED if self.shipped is CPU else GUESSED_GPU
        return self.learned if network in self.factors else guessed

    def source(self, network: Network) -> str:
        """Where the speed of a network comes from, in words."""
        if network in self.factors:
            return f"from {self.trials} trials finished here"
        return GUESS if self.shipped is CPU else GUESS_GPU


def learn(plans: Sequence[Plan], stock: Inventory, resources: Resources) -> Speed:
    """The speed by which finished trials of some plans took what they took, on such devices."""
    start = Speed(GPU if resources.gpu else CPU)
    ratios = time_ratios(plans, stock, start)
    factors = {network: joint_factors(each) for network, each in ratios.items()}
    if not factors:
        return start
    others = tuple(statistics.median(each) for each in zip(*factors.values(), strict=True))
    off = [
        ratio / factors[network][kind]
        for network, trials in ratios.items()
        for trial in trials
        for kind, ratio in enumerate(trial)
        if ratio
    ]
    low, high = LEARNED if len(off) >= ENOUGH else LEARNED_FEW
    learned = min(low, *off, low), max(high, *off, high)
    count = sum(map(len, ratios.values()))
    return start._replace(factors=factors, others=others, learned=learned, trials=count)


def time_ratios(
    plans: Sequence[Plan], stock: Inventory, start: Speed
) -> dict[Network, list[tuple[float, float]]]:
    """True over expected seconds of training and of measuring, of each trial with rows from this
    kind of device; 0 where there are none."""
    some = plans if stock.seconds else []
    probes = {probe.key(): probe for plan in some for probe in distinct_probes(plan)}
    found: dict[Network, list[tuple[float, float]]] = defaultdict(list)
    for trial in dict.fromkeys(trial for plan in some for trial in plan.trials):
        spent = stock.seconds.get((trial.key(), start.shipped is GPU))
        if spent is None:
            continue
        known = {probes[key]: took for key, took in spent.probes.items() if key in probes}
        share = min(1.0, len(spent.epochs) / (trial.epochs or 1))  # by steps: all rows or none
        pair = (
            ratio(sum(spent.epochs), share * start.training(trial)),
            ratio(sum(known.values()), start.measuring(trial, known)),
        )
        if any(pair):
            found[network_of(trial)].append(pair)
    return found


def ratio(true: float, expected: float) -> float:
    """True over expected seconds; 0 where nothing was done."""
    return true / expected if expected else 0.0


def joint_factors(ratios: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The factors of training and of measuring of one network; one stands for both if only one is
    known. They are medians of the faster half of the trials: a busy machine is not a slow one."""
    training, measuring = (sorted(filter(None, each)) for each in zip(*ratios, strict=True))
    halves = [each[: (len(each) + 1) // 2] for each in (training, measuring)]
    first, second = (statistics.median(half) if half else 0.0 for half in halves)
    return first or second, second or first


def plans_here(plan: Plan, root: Root) -> list[Plan]:
    """The plan, and those of the grids that were launched to the same results."""
    return [plan, *launched(root)[0].values()]
