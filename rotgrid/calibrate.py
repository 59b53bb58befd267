"""`python -m rotgrid.calibrate [GRID.yaml]`: how fast this machine trains and attacks networks.

The numbers are kept in the user's cache, and `--plan` of any grid counts with them. They are those
of one trial alone on the machine. Exit codes: 0 done, 2 usage or invalid grid, 5 no GPU, or no
access to the cache.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import torch

from rotgrid import attacks, grid
from rotgrid.attacks.linf import attack_batch, frozen, input_gradient
from rotgrid.console import tolerate_lost_output
from rotgrid.cost import rates
from rotgrid.cost.rates import Rates
from rotgrid.cost.work import network_of
from rotgrid.data import pixels
from rotgrid.experiment import load_on, prepare
from rotgrid.grid.problems import GridError
from rotgrid.models import build
from rotgrid.spec import Trial
from rotgrid.spec.vocabulary import MODELS
from rotgrid.training import optimiser, train_epoch
from rotgrid.training.cuda_graph import stepper

STEPS = 8
"""Batches of an epoch that is timed; fewer where they take too long."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m rotgrid.calibrate", description=__doc__.partition(": ")[2]
    )
    parser.add_argument(
        "grid", metavar="GRID.yaml", nargs="?", help="whose networks (default: one of each model)"
    )
    parser.add_argument("--gpu", action="store_true", help="on the GPU, whatever the grid says")
    parser.add_argument(
        "--seconds", metavar="S", type=float, default=2.0, help="for each number (default 2)"
    )
    args = parser.parse_args(arguments)
    if not args.seconds > 0:
        parser.error(f"argument --seconds: {args.seconds} is not above 0")
    try:
        trials, resources = asked(args.grid, args.gpu)
        device = prepare(resources.cpu, resources.gpu)
        calibrate(trials, rates.device_name(resources), device, args.seconds)
    except GridError as error:
        return fail(2, *map(str, error.problems))
    except (OSError, RuntimeError) as error:
        return fail(5, str(error))
    return 0


def fail(code: int, *lines: str) -> int:
    """Say why on stderr."""
    for line in lines:
        print(line, file=sys.stderr)
    return code


def asked(path: str | None, gpu: bool) -> tuple[list[Trial], grid.Resources]:
    """A trial of each network, and what it may use."""
    trials, resources = [Trial(model=model, data="mnist5k") for model in MODELS], grid.Resources()
    if path:
        plan = grid.read(path)
        trials = list({network_of(trial): trial for trial in plan.trials}.values())
        resources = plan.resources
    if gpu and not resources.gpu:
        resources = resources.model_copy(update={"gpu": 1.0})
    return trials, resources


def calibrate(trials: Sequence[Trial], name: str, device: torch.device, seconds: float) -> None:
    """Measure, print and keep the rates of the trials' networks.

    Raises:
        OSError: the cache cannot be written.
    """
    print(f"images per second on {name}")
    print(f"{'network':<24}{'train':>10}{'attack':>10}{'forward':>10}")
    for trial in trials:
        found = measured(trial, device, seconds)
        each = "".join(f"{1 / took:>10,.0f}" for took in found)
        print(f"{' '.join(network_of(trial)):<24}{each}", flush=True)
        rates.remember(name, {network_of(trial): found})


def measured(trial: Trial, device: torch.device, seconds: float) -> Rates:
    """Medians, by the code that trials run; each in about so many seconds."""
    dataset = load_on("mnist5k", device)
    model = build(trial.model, trial.variant, trial.seed).to(device)
    clean = trial.model_copy(update={"adversary": "none", "train_rotation": 180.0})
    n_attacked = attack_batch(device)
    images = pixels(dataset.test_images[:n_attacked])
    labels = dataset.test_labels[:n_attacked]
    optimizer, scheduler = optimiser(model, clean)
    step = stepper(model, optimizer, clean)

    def epoch(n: int) -> None:
        some = dataset.train_images[:n], dataset.train_labels[:n]
        train_epoch(step, scheduler, *some, clean, 1)

    once = timed(lambda: epoch(clean.batch_size))
    n = clean.batch_size * min(STEPS, max(1, int(seconds / once)))
    n = min(n, len(dataset.train_images))
    trained = median(lambda: epoch(n), seconds) / n
    with frozen(model):
        gradient = median(lambda: input_gradient(model, images, labels, "ce"), seconds)
        forward = median(lambda: attacks.predicted(model, images), seconds)
    return Rates(trained, gradient / len(images), forward / len(images))


def median(step: Callable[[], object], seconds: float) -> float:
    """Median duration of a call, by calls of so many seconds in all.

    The first call warms up, and counts only if it takes as long alone.
    """
    first = timed(step)
    times = [first] if first >= seconds else []
    while sum(times) < seconds:
        times.append(timed(step))
    return statistics.median(times)


def timed(step: Callable[[], object]) -> float:
    """Duration of a call, in seconds."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


if __name__ == "__main__":
    tolerate_lost_output()
    sys.exit(main())
