"""`strong` against the original AutoAttack at one eps, on one thread.

    pip install git+https://github.com/fra31/auto-attack
    python tests/benchmarks/strong.py [MODEL ...] [--eps EPS ...] [--images N]

The peer is the authors' code, its version `standard`: APGD-CE, APGD-T, FAB-T and Square. (PyPI's
`pyautoattack` is another one.) Networks are trained on the embedded digits first. A row per
network and eps: CPU seconds of both, their ratio, images that survive both, ours alone, and theirs
alone.
"""

import argparse
import contextlib
import io
import time

import torch
from autoattack import AutoAttack

from rotgrid import attacks, data, models
from rotgrid.spec import Trial
from rotgrid.training import fit


def original(net, images, labels, eps):
    """Survivors (n,) of AutoAttack."""
    with contextlib.redirect_stdout(io.StringIO()):
        attack = AutoAttack(net, norm="Linf", eps=eps, device="cpu", seed=0)
        found = attack.run_standard_evaluation(images, labels, bs=250)
    with torch.no_grad():
        return net(found).argmax(1) == labels


def ours(net, images, labels, eps):
    """Survivors (n,) of `strong`."""
    generator = torch.Generator().manual_seed(0)
    found = attacks.sweep(
        net, images, labels, attack="strong", eps_grid=[eps], generator=generator
    )
    return found[0]


def timed(attack, *case):
    """Seconds of the processor, and survivors."""
    start = time.process_time()
    found = attack(*case)
    return time.process_time() - start, found


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["stdcnn", "gcnn"], metavar="MODEL")
    parser.add_argument("--eps", nargs="+", type=float, default=[0.05, 0.1, 0.15])
    parser.add_argument("--images", type=int, default=100, metavar="N", help="default 100")
    options = parser.parse_args()
    torch.set_num_threads(1)
    digits = data.load("mnist5k")
    images = data.pixels(digits.test_images[: options.images])
    labels = digits.test_labels[: options.images]
    print("| model | eps | peer, s | ours, s | ratio | survive both | ours alone | peer alone |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.models:
        net = models.build(name)
        fit(net, digits, Trial(model=name, data="mnist5k", recipe="fast"))
        for eps in options.eps:
            case = net, images, labels, eps
            (before, theirs), (seconds, mine) = timed(original, *case), timed(ours, *case)
            both, only_ours, only_theirs = mine & theirs, mine & ~theirs, theirs & ~mine
            counts = " | ".join(str(int(way.sum())) for way in (both, only_ours, only_theirs))
            print(
                f"| `{name}` | {eps} | {before:.3g} | {seconds:.3g} | {before / seconds:.1f} "
                f"| {counts} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
