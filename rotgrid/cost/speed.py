"""How fast a machine trains and attacks networks: shipped speeds of two machines, times a factor
that is learned from the rows of finished trials."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from rotgrid.cost.processor import has_bfloat16
from rotgrid.cost.shipped import BFLOAT16, BFLOAT16_EMULATED, CPU, GPU
from rotgrid.cost.work import Network, Work, measuring_work, relative_size, training_work
from rotgrid.grid import Plan, Resources, distinct_probes
from rotgrid.results.grids import launched_plans
from rotgrid.results.inventory import Inventory
from rotgrid.results.storage import Root
from rotgrid.spec import Probe, Trial, data_of
from rotgrid.spec.entries import is_own
from rotgrid.spec.models import MODELS, OWN_WORK

GUESS, GUESS_GPU = "a guess", "a guess from trainings measured on an H100"
"""Where the speeds of networks come from that have no finished trial."""
GUESSED, GUESSED_GPU = (1 / 3, 3.0), (1 / 10, 10.0)
"""The least and the most that true seconds are of such guesses."""
LEARNED_FEW, LEARNED = (0.5, 2.5), (0.8, 1.5)
"""At best, the same of seconds that are learned from a few finished trials, or from `ENOUGH`. What
ran beside other work took longer than what is alone on the machine will."""
ENOUGH = 5
Pair = tuple[float, float]  # of training and of measuring; or the least and the most


class Speed(NamedTuple):
    """How fast the machines that a plan runs on are."""

    shipped: Mapping[str, float] = CPU
    factors: Mapping[Network, Pair] = {}
    """Of networks with finished trials: true over shipped seconds."""
    others: Pair = (1.0, 1.0)
    """Of networks without: the median over the networks with."""
    learned: Pair = LEARNED_FEW
    """The least and the most that true seconds are of learned ones."""
    trials: int = 0
    """Finished ones."""
    share: float = 1.0
    """Of a GPU, that each trial has."""
    bfloat16: float = BFLOAT16
    """Of the seconds of training's passes in float32 those in bfloat16."""

    def training(self, trial: Trial) -> float:
        """Seconds of the whole training of a trial. Captured steps keep a GPU busy, so that on a
        share of it they take longer by as much; others wait for Python, not for each other."""
        network, work = (trial.model, trial.variant), training_work(trial)
        if trial.precision == "bfloat16":
            work = work._replace(trained=self.bfloat16 * work.trained)
        seconds = self.factor(network)[0] * self.shipped_seconds(network, work)
        share = 1.0 if is_own(trial.adversary) else min(1.0, self.share)
        return seconds / share * relative_size(data_of(trial).shape)

    def measuring(self, trial: Trial, probes: Iterable[Probe]) -> float:
        """Seconds of measuring resolved probes of a trial."""
        seconds = 0.0
        for source, work in measuring_work(tuple(probes)).items():
            variant = MODELS[source].default if source else trial.variant
            network = source or trial.model, variant
            seconds += self.factor(network)[1] * self.shipped_seconds(network, work)
        return seconds * relative_size(data_of(trial).shape)

    def factor(self, network: Network) -> Pair:
        """True over shipped seconds."""
        return self.factors.get(network, self.others)

    def shipped_seconds(self, network: Network, work: Work) -> float:
        """Seconds of some work by the shipped speed alone."""
        model, variant = network
        speed = self.shipped.get(model) or statistics.median(self.shipped.values())
        return work.passes() * MODELS[model].variants.get(variant, OWN_WORK) / speed

    def origin(self, network: Network) -> tuple[str, Pair]:
        """Where the speed of a network comes from, in words, and the least and the most that true
        seconds are of the expected ones."""
        if network in self.factors:
            return f"from {self.trials} trials finished here", self.learned
        return (GUESS, GUESSED) if self.shipped is CPU else (GUESS_GPU, GUESSED_GPU)


def learn(plan: Plan, root: Root, stock: Inventory) -> Speed:
    """The speed that the finished trials of a results location had, on the kind of device that a
    plan asks for; the shipped one if there are none.

    A factor is the median of the faster half of the trials: a busy machine is not a slow one. One
    of training stands for measuring, and the other way round, where only one is known.
    """
    start = speed_of(plan.resources)
    ratios: dict[tuple[Network, int], list[float]] = defaultdict(list)
    finished = time_ratios(plan, root, stock, start)
    for trial, pair in finished.items():
        for kind in (0, 1):
            ratios[(trial.model, trial.variant), kind] += [pair[kind]] if pair[kind] else []
    if not finished:
        return start
    typical = {
        which: statistics.median(sorted(each)[: (len(each) + 1) // 2]) if each else 0.0
        for which, each in ratios.items()
    }
    factors: dict[Network, Pair] = {
        net: (typical[net, 0] or typical[net, 1], typical[net, 1] or typical[net, 0])
        for net, _ in ratios
    }
    others = tuple(map(statistics.median, zip(*factors.values(), strict=True)))
    off = [ratio / typical[which] for which, each in ratios.items() for ratio in each]
    low, high = LEARNED if len(off) >= ENOUGH else LEARNED_FEW
    learned = min(low, *off), max(high, *off)
    return start._replace(factors=factors, others=others, learned=learned, trials=len(finished))


def speed_of(resources: Resources) -> Speed:
    """The shipped speed of the kind of device that trials ask for; of a processor, with the
    instructions of this one."""
    if resources.gpu:
        return Speed(GPU, share=resources.gpu, bfloat16=1.0)
    return Speed(CPU, bfloat16=BFLOAT16 if has_bfloat16() else BFLOAT16_EMULATED)


def time_ratios(plan: Plan, root: Root, stock: Inventory, start: Speed) -> dict[Trial, Pair]:
    """True over expected seconds of each trial with rows from this kind of device; 0 for what it
    has not done. Trials are those of the plan, and of other grids that were launched here."""
    if not stock.seconds:
        return {}
    plans = [plan]
    if not {key for key, _ in stock.seconds} <= {trial.key() for trial in plan.trials}:
        plans += launched_plans(root)[0].values()
    probes = {probe.key(): probe for each in plans for probe in distinct_probes(each)}
    found = {}
    for trial in (trial for each in plans for trial in each.trials):
        if spent := stock.seconds.get((trial.key(), start.shipped is GPU)):
            known = {probes[key]: took for key, took in spent.probes.items() if key in probes}
            share = min(1.0, len(spent.epochs) / (trial.epochs or 1))  # by steps: all rows or none
            expected = share * start.training(trial), start.measuring(trial, known)
            true = sum(spent.epochs), sum(known.values())
            training, measuring = (
                t / e if e else 0.0 for t, e in zip(true, expected, strict=True)
            )
            if training or measuring:
                found[trial] = training, measuring
    return found
