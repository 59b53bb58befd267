"""One trial per core, or several threads per trial: `python tests/benchmarks/placement.py [N]`.

Images per second of all trainings together, on N cores (default: all): N processes with one thread
each, and one process with N threads. Needs idle cores: what counts here is the clock.
"""

import os
import sys
import time

from rotgrid import data, models
from rotgrid.device import prepare_device
from rotgrid.spec import Trial
from rotgrid.training import optimizers, train_epoch
from rotgrid.training.cuda_graph import stepper

from together import total, when_told

SECONDS = 10.0


def one(model, precision, threads):
    """A training in a process of its own, which starts when it is told."""
    prepare_device(threads, 0.0)
    digits = data.load("mnist5k")
    trial = Trial(model=model, data="mnist5k", train_rotation=180.0, precision=precision)
    net = models.build(model)
    optimizer, scheduler = optimizers.build(net, trial)
    step = stepper(net, optimizer, trial)

    def epoch(n):
        some = digits.train_images[:n], digits.train_labels[:n]
        train_epoch(step, scheduler, *some, trial, 1)

    epoch(640)

    def rate():
        start, done = time.perf_counter(), 0
        while (took := time.perf_counter() - start) < SECONDS:
            epoch(1_280)
            done += 1_280
        return done / took

    when_told(rate)


def main(cores=0):
    """Print the table."""
    cores = cores or len(os.sched_getaffinity(0))
    ways = {f"{cores} x 1 thread": (cores, 1), f"1 x {cores} threads": (1, cores)}
    print("| model | precision | " + " | ".join(ways) + " |\n|---|---|" + "---|" * len(ways))
    for model in ("stdcnn", "gcnn"):
        for precision in ("float32", "bfloat16"):
            rates = [
                f"{total(__file__, (model, precision, threads), processes):,.0f}"
                for processes, threads in ways.values()
            ]
            print(f"| `{model}` | {precision} | {' | '.join(rates)} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        one(*sys.argv[2:4], int(sys.argv[4]))
    else:
        main(*map(int, sys.argv[1:]))
