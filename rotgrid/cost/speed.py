"""How fast networks are trained and attacked, and how sure that is.

What is known best are the trials that have rows in the same results; then what was measured on
this kind of device before; else a reference machine is assumed. Neither torch nor Ray is needed.
"""

import contextlib
import operator
import platform
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import pyarrow as pa
from pydantic import ValidationError

from rotgrid import results
from rotgrid.cost import rates
from rotgrid.cost.rates import Rates
from rotgrid.cost.work import Network, Work, network_of, probes_work, training_work
from rotgrid.grid import Resources
from rotgrid.results.storage import Root
from rotgrid.spec import Probe, Record, Trial

R = TypeVar("R", bound=Record)

GUESS = "a guess"
"""The source of speeds that nothing was measured for."""

AS_H100 = f"{GUESS} from trainings measured on an H100"
"""That of speeds of a GPU."""

GUESSED, GUESSED_GPU = 3.0, 10.0
"""Factor within which seconds are where nothing was measured."""

CALIBRATED = (0.8, 1.7)
"""The least and the most that they are of those expected by rates measured before. Of 29 trials of
seven networks, run two at once, 28 took 0.9 to 1.6 times as long, and one 1.9 times."""

REPEATED, ENOUGH = (0.8, 1.3), 5
"""The same at best, after so many trials in the same results. With this, 93 and 98 % of random
splits of the trials in docs/baseline and docs/architectures into done and to do were right."""


class Speed(NamedTuple):
    """What is known of one network."""

    training: Rates
    measuring: Rates
    factor: tuple[float, float]
    """The least and the most that true seconds are of the expected ones."""
    source: str

    def times(self, training: float, measuring: float) -> "Speed":
        """That of a machine that takes so many times as long."""
        return self._replace(
            training=self.training.times(training), measuring=self.measuring.times(measuring)
        )


Speeds = Callable[[Network], Speed]


def speeds(root: Root, resources: Resources) -> Speeds:
    """What is known of each network, where trials have `resources` and their rows go to `root`."""
    return fitted(finished(root, resources.gpu > 0), known_before(resources))


def known_before(resources: Resources) -> Speeds:
    """From the cache; else from the reference, scaled by what the cache has of other networks."""
    device = rates.device_name(resources)
    cached = rates.remembered(device)
    reference = rates.reference_gpu if resources.gpu else rates.reference
    relative = [found.trained / reference(name).trained for name, found in cached.items()]
    slower = statistics.median(relative or [1.0])
    guess, source = (GUESSED_GPU, AS_H100) if resources.gpu else (GUESSED, GUESS)
    share = min(1.0, resources.gpu or 1.0)  # who uses the rest of a GPU slows this down

    def speed(network: Network) -> Speed:
        if found := cached.get(network):
            low, high = CALIBRATED
            return Speed(found, found, (low, high / share), f"from speeds measured on {device}")
        found = reference(network).times(slower)
        return Speed(found, found, (1 / guess, guess), source)

    return speed


class Finished(NamedTuple):
    """What a trial that has rows did, and the seconds that it took."""

    training: Work
    training_seconds: float
    measuring: Mapping[Network, Work]
    measuring_seconds: float


def fitted(done: Mapping[Network, Sequence[Finished]], before: Speeds) -> Speeds:
    """Speeds by which finished trials take what they took; those of other networks scaled alike.

    How sure they are is how far off they are for the finished trials one by one.
    """
    if not done:
        return before
    slower = {network: slowdown(network, trials, before) for network, trials in done.items()}
    ratios = [
        (trial.training_seconds + trial.measuring_seconds)
        / sum(map(operator.mul, slower[network], expected(network, trial, before)))
        for network, trials in done.items()
        for trial in trials
    ]
    sure, source = spread(ratios), f"from {len(ratios)} trials finished here"
    typical = [statistics.median(factors) for factors in zip(*slower.values(), strict=True)]

    def speed(network: Network) -> Speed:
        if network not in slower:
            return before(network).times(*typical)
        return before(network).times(*slower[network])._replace(factor=sure, source=source)

    return speed


def expected(network: Network, trial: Finished, before: Speeds) -> tuple[float, float]:
    """Seconds of a trial's training, and of its measuring."""
    measuring = [before(name).measuring.seconds(work) for name, work in trial.measuring.items()]
    return before(network).training.seconds(trial.training), sum(measuring)


def slowdown(network: Network, trials: Sequence[Finished], before: Speeds) -> tuple[float, float]:
    """How many times as long as expected training took, and measuring; if only one of them is
    known, it stands for both."""
    each = [expected(network, trial, before) for trial in trials]
    training, measuring = map(sum, zip(*each, strict=True))
    first = sum(trial.training_seconds for trial in trials) / training if training else 0.0
    second = sum(trial.measuring_seconds for trial in trials) / measuring if measuring else 0.0
    return first or second, second or first


def spread(ratios: Sequence[float]) -> tuple[float, float]:
    """The least and the most of true over expected seconds: of many trials the outer deciles."""
    (low, high), seen = CALIBRATED, [min(ratios), max(ratios)]
    if len(ratios) >= ENOUGH:
        (low, high), seen = REPEATED, statistics.quantiles(ratios, n=10, method="inclusive")
    return min(low, seen[0]), max(high, seen[-1])


def finished(root: Root, gpu: bool, host: str = "") -> dict[Network, list[Finished]]:
    """The trials with rows that were made on a CPU, or else on a GPU; on one host, or on any."""
    columns = ["trial", "device", "host", "seconds", *Trial.model_fields]
    training, _ = results.read(root, "training", columns)
    measuring, _ = results.read(root, "evaluations", [*columns, "probe", *Probe.model_fields])
    trials = {**records(Trial, measuring, "trial"), **records(Trial, training, "trial")}
    probes = records(Probe, measuring, "probe")
    epochs = seconds_of(training, "trial", gpu, host)
    rows = seconds_of(measuring, "probe", gpu, host)
    found: dict[Network, list[Finished]] = defaultdict(list)
    for key, trial in trials.items():
        network, trained = network_of(trial), epochs.get(key, [])
        known = [(probes[name], took) for name, took in rows.get(key, []) if name in probes]
        if trained or known:
            share = min(1.0, len(trained) / (trial.epochs or 1))  # by steps: all rows or none
            found[network].append(
                Finished(
                    Work(*(share * images for images in training_work(trial))),
                    sum(took for _, took in trained),
                    probes_work(network, tuple(probe for probe, _ in known)),
                    sum(took for _, took in known),
                )
            )
    return found


def records(kind: type[R], table: pa.Table, key: str) -> dict[str, R]:
    """The records in a table by their key, but for those of other versions."""
    keys = table[key].to_pylist()
    first = {name: at for at, name in reversed(list(enumerate(keys)))}
    if not first:
        return {}
    at = pa.array(first.values(), pa.int64())
    rows = table.select(list(kind.model_fields)).take(at).to_pylist()
    found = {}
    for name, row in zip(first, rows, strict=True):
        with contextlib.suppress(ValidationError):
            found[name] = kind(**row)
    return found


def seconds_of(
    table: pa.Table, column: str, gpu: bool, host: str
) -> dict[str, list[tuple[str, float]]]:
    """By trial: of each row made on such a device and host, one column and its seconds."""
    found: dict[str, list[tuple[str, float]]] = defaultdict(list)
    names = ("trial", "device", "host", column, "seconds")
    for trial, device, where, value, took in zip(
        *(table[name].to_pylist() for name in names), strict=True
    ):
        if (device != "cpu") == gpu and host in ("", where):
            found[trial].append((value, took))
    return found


def remember(root: Root, resources: Resources) -> None:
    """Keep the speeds of what this machine has finished, for plans of other grids."""
    done = finished(root, resources.gpu > 0, platform.node())
    speed = fitted(done, known_before(resources))
    found = {network: combined(speed(network)) for network in done}
    if found:
        with contextlib.suppress(OSError):  # a cache that cannot be written is no failure
            rates.remember(rates.device_name(resources), found)


def combined(speed: Speed) -> Rates:
    """One set of rates for training and measuring."""
    return speed.measuring._replace(trained=speed.training.trained)
