"""Robust accuracy over 11 eps: ours against Foolbox, and every other attack against a plain loop.

    python tests/benchmarks/attacks.py [MODEL ...] [--images N]

Trains `stdcnn` and `gcnn` (or the models named) on the embedded digits first. Everything runs on
one thread, in this process, on the same network and images, a peer once, just before ours.
The table has a row per attack: seconds of both, their ratio, gradients that ours took per image,
and by how much our robust accuracy is above the peer's at the eps where that is most (points;
negative where ours is the stronger one at every eps).
"""

import argparse
import time

import foolbox
import torch

from rotgrid import attacks, data, models
from rotgrid.attacks import linf
from rotgrid.spec import Trial
from rotgrid.training import fit

EPS = [0.3 * k / 11 for k in range(1, 12)]
"""Eleven, up to 0.3."""
SMALL = 100
"""Images at most where the peer is a plain loop."""


def foolbox_pgd(net, images, labels):
    """Foolbox's PGD-40, step eps / 30, random start: survivors (eps, n)."""
    attack = foolbox.attacks.LinfPGD(rel_stepsize=1 / 30, steps=40)
    return foolbox_survivors(net, images, labels, attack)


def foolbox_fgsm(net, images, labels):
    """Foolbox's FGSM: survivors (eps, n)."""
    return foolbox_survivors(net, images, labels, foolbox.attacks.FGSM())


def foolbox_fmn(net, images, labels):
    """Foolbox's fast minimum norm attack, 50 steps: survivors (eps, n)."""
    attack = foolbox.attacks.LInfFMNAttack(steps=50)
    return foolbox_survivors(net, images, labels, attack)


def foolbox_survivors(net, images, labels, attack):
    """As its documentation has it: one call for all eps."""
    wrapped = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    return ~attack(wrapped, images, labels, epsilons=EPS)[2]


def plainly(attack, **settings):
    """The textbook: the attack on all images at every eps, one after the other."""

    def survivors(net, images, labels):
        rows = []
        for eps in EPS:
            moved = attack(net, images, labels, eps=eps, generator=seeded(), **settings)
            with torch.no_grad():
                rows.append(net(moved).argmax(1) == labels)
        return torch.stack(rows)

    return survivors


def ours(attack, **settings):
    """Our sweep."""

    def survivors(net, images, labels):
        generator = {} if attack in ("fgsm", "fmn") else {"generator": seeded()}
        return attacks.sweep(
            net, images, labels, attack=attack, eps_grid=EPS, **settings, **generator
        )

    return survivors


def seeded():
    """The same starts in every run."""
    return torch.Generator().manual_seed(7)


def timed(run, net, images, labels):
    """Seconds of the processor, which other programs do not add to, and survivors."""
    start = time.process_time()
    found = run(net, images, labels)
    return time.process_time() - start, found


def gradients_per_image(run, net, images, labels):
    """How many input gradients our sweep takes."""
    count, kept = 0, linf.unchecked_gradient

    def counted(model, batch, *rest):
        nonlocal count
        count += len(batch)
        return kept(model, batch, *rest)

    linf.unchecked_gradient = counted
    try:
        run(net, images, labels)
    finally:
        linf.unchecked_gradient = kept
    return count / len(images)


PLAIN = "plain loop"
APGD, SQUARE = {"steps": 50}, {"steps": 200}
CASES = [
    ("FGSM", "Foolbox", foolbox_fgsm, ours("fgsm")),
    ("PGD-40", "Foolbox", foolbox_pgd, ours("pgd")),
    ("FMN-50 and PGD-40", "Foolbox", foolbox_pgd, ours("fmn-pgd")),
    ("PGD-40", PLAIN, plainly(attacks.pgd), ours("pgd")),
    ("APGD-CE-50", PLAIN, plainly(attacks.apgd, **APGD), ours("apgd", **APGD)),
    ("Square-200", PLAIN, plainly(attacks.square, **SQUARE), ours("square", **SQUARE)),
    ("FMN-50", "Foolbox", foolbox_fmn, ours("fmn", steps=50)),
]
"""(ours, peer, how the peer does it, how we do it)."""


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["stdcnn", "gcnn"], metavar="MODEL")
    parser.add_argument("--images", type=int, default=1_000, metavar="N", help="default 1000")
    options = parser.parse_args()
    torch.set_num_threads(1)
    digits = data.load("mnist5k")
    print(
        "| model | attack | peer | images | peer, s | ours, s | ratio | gradients | above peer |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name in options.models:
        net = models.build(name)
        fit(net, digits, Trial(model=name, data="mnist5k", recipe="fast"))
        peers = {}
        for attack, peer, theirs, mine in CASES:
            n = min(options.images, SMALL if peer == PLAIN else options.images)
            images, labels = data.pixels(digits.test_images[:n]), digits.test_labels[:n]
            mine(net, images[:50], labels[:50])  # warm
            if theirs not in peers:
                peers[theirs] = timed(theirs, net, images, labels)
            before, survived = peers[theirs]
            seconds, found = timed(mine, net, images, labels)
            above = 100 * (found.float().mean(1) - survived.float().mean(1)).max().item()
            count = gradients_per_image(mine, net, images[:250], labels[:250])
            print(
                f"| `{name}` | {attack} | {peer} | {n:,} | {before:.3g} | {seconds:.3g} "
                f"| {before / seconds:.1f} | {count:.0f} | {above:+.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
