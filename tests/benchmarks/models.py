"""Cost of every architecture on one thread: images per second, and what its arithmetic costs.

    python tests/benchmarks/models.py [MODEL[:VARIANT] ...]

Prints a Markdown row per variant: parameters, multiply-adds of a forward pass, images per second
of a training step, of a forward pass and of an attack gradient, and the cost of a training step
per multiply-add in `gcnn`'s currency: 1 is as efficient as `gcnn`, measured in the same process
just before and after; above 1 is slower. Medians of steps on batches of 64 (training), 250 (rest).
"""

import statistics
import sys
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from rotgrid import models
from rotgrid.attacks.linf import frozen, input_gradient
from rotgrid.spec.models import MODELS
from rotgrid.training.losses import training_loss

STEPS, LEAST_SECONDS = 5, 1.0


def median_seconds(step):
    """Median duration of a call, after one to warm up."""
    step()
    times = []
    while len(times) < STEPS or sum(times) < LEAST_SECONDS:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def train_rate(net, batch=64):
    """Images per second of forward, loss, backward and optimiser step."""
    images, labels = torch.rand(batch, 1, 28, 28), torch.randint(10, (batch,))
    optimizer = torch.optim.SGD(net.train().parameters(), 1e-4)

    def step():
        optimizer.zero_grad()
        training_loss(net, images, labels).backward()
        optimizer.step()

    return batch / median_seconds(step)


def evaluation_rates(net, batch=250):
    """Images per second of a forward pass, and of a gradient with respect to the image."""
    images, labels = torch.rand(batch, 1, 28, 28), torch.randint(10, (batch,))
    with frozen(net), torch.no_grad():
        forward = batch / median_seconds(lambda: net(images))
        attack = batch / median_seconds(lambda: input_gradient(net, images, labels, "ce"))
    return forward, attack


def multiply_adds(net):
    """Of a forward pass of one image in evaluation."""
    with frozen(net), FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.rand(1, 1, 28, 28))
        built = counter.get_total_flops()
        net(torch.rand(1, 1, 28, 28))
        return (counter.get_total_flops() - built) / 2


def main(names):
    """Print the table."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    pairs = [tuple(name.split(":")) if ":" in name else (name, None) for name in names]
    pairs = pairs or [(model, v) for model, variants in MODELS.items() for v in variants.variants]
    currency = models.build("gcnn")
    adds = multiply_adds(currency)
    print("| model | variant | parameters | multiply-adds | train | forward | attack | cost |")
    print("|---|---|---|---|---|---|---|---|")
    for model, variant in pairs:
        net = models.build(model, variant)
        before = train_rate(currency)
        train, (forward, attack) = train_rate(net), evaluation_rates(net)
        rate = (before + train_rate(currency)) / 2
        cost = (rate * adds) / (train * multiply_adds(net))
        print(
            f"| `{model}` | `{variant or MODELS[model].default}` "
            f"| {models.count_parameters(net):,} "
            f"| {multiply_adds(net) / 1e6:.3g}M | {train:,.0f} | {forward:,.0f} | {attack:,.0f} "
            f"| {cost:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
