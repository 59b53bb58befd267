"""Training on one thread against what others would write, and how its cost grows.

    python tests/benchmarks/training.py [e2cnn] [loop] [overhead] [growth] [--seconds N]

e2cnn: a step of `gcnn` against the same widths in e2cnn, on a fixed batch of 64.
loop: an epoch of 3,200 digits, turned by up to 180 degrees, against the common loop of `peers.py`
    (`gcnn` there builds its filters as GrouPy does), clean and under FGSM.
overhead: our epoch against forward, backward and step on a fixed batch.
growth: seconds by the number of training images, of eps in a sweep, of measurements, of networks.

Ratios are above 1 where ours is faster. Ways take turns in one process, on the same data; medians
of CPU seconds. Memory is kept by the process (`device.keep_freed_memory`), for the peers too.
"""

import argparse
import tempfile
import time

import torch

from rotgrid import data, experiment, models
from rotgrid.device import prepare_device
from rotgrid.spec import Probe, Trial
from rotgrid.training import optimizers, train_epoch
from rotgrid.training.cuda_graph import stepper
from rotgrid.training.losses import training_loss

import peers
from timing import medians

PRECISIONS = ("float32", "bfloat16")
BATCH, N = 64, 3_200


def trial_of(model, **more):
    """A trial on the embedded digits, turned by up to 180 degrees, recipe `paper`."""
    return Trial(model=model, data="mnist5k", train_rotation=180.0, epochs=10_000, **more)


def one_step(net, optimizer, images, labels, precision="float32"):
    """Forward, loss, backward, step."""
    optimizer.zero_grad()
    training_loss(net, images, labels, precision).backward()
    optimizer.step()


def bare(trial, images, labels):
    """A step on a fixed batch."""
    net = models.build(trial.model, trial.variant).train()
    optimizer, _ = optimizers.build(net, trial)
    return lambda: one_step(net, optimizer, images, labels, trial.precision)


def ours(trial, images, labels):
    """An epoch of the training loop."""
    net = models.build(trial.model, trial.variant)
    optimizer, scheduler = optimizers.build(net, trial)
    step = stepper(net, optimizer, trial)
    return lambda: train_epoch(step, scheduler, images, labels, trial, 1)


def theirs(net, images, labels, adversary=None):
    """An epoch of the common loop."""
    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.5)
    return lambda: peers.epoch(net, optimizer, images, labels, 180.0, adversary)


def table(*heads):
    """Print the head of a table."""
    print("\n| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))


def against_e2cnn(digits, seconds):
    """(a) of `gcnn`."""
    images, labels = torch.rand(BATCH, 1, 28, 28), digits.train_labels[:BATCH]
    net = peers.e2cnn_gcnn().train()
    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.5)
    ways = {f"ours, {p}": bare(trial_of("gcnn", precision=p), images, labels) for p in PRECISIONS}
    for precision in PRECISIONS:
        ways[f"e2cnn, {precision}"] = lambda p=precision: one_step(
            net, optimizer, images, labels, p
        )
    found = medians(ways, seconds)
    table("`gcnn`, a step", "images/s", "against e2cnn in float32")
    for name, took in found.items():
        print(f"| {name} | {BATCH / took:,.0f} | {found['e2cnn, float32'] / took:.2f} |")


def against_the_common_loop(digits, seconds):
    """(b) of `stdcnn` and `gcnn`."""
    images, labels = digits.train_images[:N], digits.train_labels[:N]
    table("an epoch", "images/s", "against the common loop")
    for model, peer in (("stdcnn", peers.StdCNN), ("gcnn", peers.PlainGCNN)):
        for adversary, attack in (("none", None), ("fgsm", peers.fgsm)):
            fields = {"adversary": adversary, "adversary_eps": 0.1}
            ways = {"common": theirs(peer(), images, labels, attack)}
            ways |= {
                p: ours(trial_of(model, precision=p, **fields), images, labels) for p in PRECISIONS
            }
            found = medians(ways, seconds)
            for name, took in found.items():
                ratio = found["common"] / took
                print(f"| `{model}`, {adversary}, {name} | {N / took:,.0f} | {ratio:.2f} |",
                      flush=True)  # fmt: skip


def overhead(digits, seconds):
    """(c): rotation, order, schedule and sums, in per cent of the bare steps."""
    images, labels = digits.train_images[:N], digits.train_labels[:N]
    fixed = torch.rand(BATCH, 1, 28, 28), labels[:BATCH]
    table("our loop", "bare, images/s", "loop, images/s", "overhead")
    for model in ("stdcnn", "gcnn"):
        for precision in PRECISIONS:
            trial = trial_of(model, precision=precision)
            step = bare(trial, *fixed)
            ways = {
                "bare": lambda step=step: [step() for _ in range(N // BATCH)],
                "loop": ours(trial, images, labels),
            }
            found = medians(ways, seconds)
            rates = [f"{N / found[name]:,.0f}" for name in ("bare", "loop")]
            more = 100 * (found["loop"] / found["bare"] - 1)
            print(f"| `{model}`, {precision} | {rates[0]} | {rates[1]} | {more:.1f} % |",
                  flush=True)  # fmt: skip


def growth(digits, seconds):
    """(e): seconds of whole trials, whose parts grow one at a time."""
    pgd = [Probe(attack="pgd", eps=round(0.01 * k, 2), n_images=100) for k in range(1, 31)]
    turns = [Probe(test_rotation=float(k), n_images=200) for k in range(64)]

    def trials(count, size=128):
        return [
            trial_of("stdcnn").model_copy(update={"seed": s, "train_size": size, "epochs": 1})
            for s in range(count)
        ]

    whole = Probe(n_images=200)
    cases = [("training images", n, trials(1, n), [whole]) for n in (250, 500, 1000, 2000, 3500)]
    cases += [("eps of PGD-40", n, trials(1), pgd[:n]) for n in (1, 2, 4, 8, 16, 30)]
    cases += [("ranges of test", n, trials(1), turns[:n]) for n in (1, 4, 16, 64)]
    cases += [("networks", n, trials(n), [whole]) for n in (1, 2, 4, 8, 16)]
    table("what grows", "number", "s", "ms each")
    for what, number, networks, probes in cases:
        took = medians({"run": lambda t=networks, p=probes: run(t, p)}, seconds / len(cases))
        each = 1e3 * took["run"] / number
        print(f"| {what} | {number:,} | {took['run']:.3f} | {each:.3g} |", flush=True)


def run(trials, probes):
    """Train, measure and store."""
    with tempfile.TemporaryDirectory() as folder:
        for trial in trials:
            experiment.run(trial, probes, folder)


PARTS = {
    "e2cnn": against_e2cnn,
    "loop": against_the_common_loop,
    "overhead": overhead,
    "growth": growth,
}


def main():
    """Print the tables asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--seconds", type=float, default=30.0, help="for each comparison")
    options = parser.parse_args()
    prepare_device(1, 0.0)
    digits = data.load("mnist5k")
    start = time.perf_counter()
    for name in options.parts or PARTS:
        PARTS[name](digits, options.seconds)
    print(f"\n{time.perf_counter() - start:.0f} s, torch {torch.__version__}")


if __name__ == "__main__":
    main()
