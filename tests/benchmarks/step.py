"""Where a training step spends its time on one thread, and how far that is from its arithmetic.

    python tests/benchmarks/step.py [MODEL[:VARIANT] ...] [--precision bfloat16]

For each network of the paper, on a batch of 64, medians of steps: images per second; the shares of
convolutions (forward, backward), matrix products, pooling, ReLU, the optimiser, and the rest; and
the arithmetic of the step per second as a share of two peaks measured in the same process:
`matrix peak`, a product of 1024 x 1024 matrices; and that of the step's own convolutions, each by
itself on the same shapes and strides, again and again. `alone` is what these reach of the matrix
peak, and `whole lanes` what they would reach with channels rounded up to multiples of 16, the
lanes of a vector: the difference is lost to lanes that hold no channel.
"""

import argparse
import statistics
from collections import Counter, defaultdict

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from rotgrid import models
from rotgrid.device import prepare_device
from rotgrid.spec import Trial
from rotgrid.training import optimizers
from rotgrid.training.cuda_graph import stepper

from timing import medians

PAPER = ("stdcnn", "gcnn", "hnet", "ptn", "roteqnet", "capsnet:narrow")
BATCH, STEPS, LEAST_SECONDS = 64, 15, 0.2
aten = torch.ops.aten
KINDS = {
    "convolution_backward": "conv. backward",
    "mkldnn_convolution": "conv. forward",
    "mm": "products", "bmm": "products", "addmm": "products", "baddbmm": "products",
    "max_pool2d_with_indices": "pooling", "max_pool2d_with_indices_backward": "pooling",
    "threshold_backward": "ReLU", "clamp_min": "ReLU", "relu": "ReLU",
    "_fused_adamw_": "optimiser", "_fused_sgd_": "optimiser",
}  # fmt: skip
SHARES = ("conv. forward", "conv. backward", "products", "pooling", "ReLU", "optimiser", "rest")


class Convolutions(TorchDispatchMode):
    """Notes the convolutions of a step, with shapes and strides."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function in (aten.convolution.default, aten.convolution_backward.default):
            self.calls.append((function, args))
        return function(*args, **(kwargs or {}))


def step_of(name, precision):
    """A step of the `fast` recipe on a fixed batch."""
    model, _, variant = name.partition(":")
    fields = {"variant": variant} if variant else {}
    trial = Trial(model=model, recipe="fast", precision=precision, **fields)
    net = models.build(trial.model, trial.variant)
    step = stepper(net, optimizers.build(net, trial)[0], trial)
    images, labels = torch.rand(BATCH, 1, 28, 28), torch.randint(10, (BATCH,))
    return lambda: step(images, labels, 0.0, torch.Generator())


def median(work):
    """Median CPU seconds."""
    return medians({"work": work}, LEAST_SECONDS)["work"]


def shares(step):
    """The share of each kind of operation; of each operation's times the median over steps."""
    found = defaultdict(list)
    for _ in range(STEPS):
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiled:
            step()
        for event in profiled.key_averages(group_by_input_shape=True):
            found[event.key, str(event.input_shapes)].append(event.self_cpu_time_total)
    spent = Counter()
    for (name, _), times in found.items():
        kind = KINDS.get(name.removeprefix("aten::"), "rest")
        spent[kind] += statistics.median(times)
    return {kind: spent[kind] / spent.total() for kind in SHARES}


def rounded_up(function, args):
    """The same call with channels rounded up to whole vectors; images keep their one channel."""
    size = {n: n if n == 1 else -(-n // 16) * 16 for n in range(4_096)}
    tensors = [
        torch.randn([a.shape[0], size[a.shape[1]], *a.shape[2:]], dtype=a.dtype).contiguous(
            memory_format=torch.channels_last
        )
        if isinstance(a, torch.Tensor) and a.ndim == 4 else a
        for a in args
    ]  # fmt: skip
    at = 1 if function is aten.convolution.default else 2  # the filters
    out, inputs = args[at].shape[:2]
    tensors[at] = torch.randn(
        [size[out], size[inputs], *args[at].shape[2:]], dtype=args[at].dtype
    ).contiguous(memory_format=torch.channels_last)
    if function is aten.convolution.default:
        tensors[2] = None if args[2] is None else torch.randn(size[out], dtype=args[2].dtype)
    elif args[3]:
        tensors[3] = [size[out]]
    return function, tensors


def flops(work):
    """Floating-point operations, two for each multiply-add."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def alone(calls):
    """Operations per second of convolutions, each repeated by itself."""
    took = sum(median(lambda f=f, a=a: f(*a)) for f, a in calls)
    return sum(flops(lambda f=f, a=a: f(*a)) for f, a in calls) / took


def matrix_peak(dtype):
    """Operations per second of a large product."""
    one = torch.rand(1024, 1024).to(dtype)
    return 2 * 1024**3 / median(lambda: one @ one)


def main():
    """Print a row per network."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", metavar="MODEL[:VARIANT]")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    options = parser.parse_args()
    prepare_device(1, 0.0)
    peak = matrix_peak(getattr(torch, options.precision))
    print(f"{options.precision}, matrix peak {peak / 1e9:.0f} GFLOP/s\n")
    heads = [
        "model",
        "images/s",
        *SHARES,
        "of matrix peak",
        "of its convolutions",
        "alone",
        "whole lanes",
    ]
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for name in options.models or PAPER:
        step = step_of(name, options.precision)
        took = median(step)
        with Convolutions() as noted:
            step()
        rate = flops(step) / took
        own, whole = alone(noted.calls), alone([rounded_up(*call) for call in noted.calls])
        cells = [f"`{name}`", f"{BATCH / took:,.0f}"]
        cells += [f"{share:.0%}" for share in shares(step).values()]
        cells += [f"{x:.0%}" for x in (rate / peak, rate / own, own / peak, whole / peak)]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
