"""A small study, six trainings and sixty probes, against a plain script that does the same.

    python tests/benchmarks/study.py [--train-size N] [--images N]

StdCNN and GCNN, trained on embedded digits turned by up to 0, 60 and 180 degrees, 4 epochs; on
each network accuracy without attack, under FGSM at four eps, and under PGD-40 at five. The plain
script trains each network once by the common loop of `peers.py`, and attacks with Foolbox as its
documentation has it, all eps of an attack in one call. Ours is `experiment.run`, rows, weights and
checkpoints written; once as grids do by default, once with what makes it fast: training in
bfloat16, and `fmn-pgd`, which is stronger than `pgd`, for it. One thread, one process; CPU
seconds; each once, the peer first.
"""

import argparse
import tempfile
import time

import foolbox
import torch

from rotgrid import data, experiment
from rotgrid.data import pixels, subset
from rotgrid.device import prepare_device
from rotgrid.rotation import draw_angles, rotate
from rotgrid.spec import Probe, Trial

import peers

ROTATIONS = (0.0, 60.0, 180.0)
FGSM_EPS, PGD_EPS = (0.05, 0.1, 0.2, 0.3), (0.05, 0.1, 0.15, 0.2, 0.3)
EPOCHS, RATE = 4, 5e-3


def plainly(digits, train_size, n_images):
    """Train and attack six networks; their accuracies, by model, range and probe."""
    chosen = subset(digits.train_labels, train_size)
    images, labels = digits.train_images[chosen], digits.train_labels[chosen]
    tested = subset(digits.test_labels, n_images)
    found = {}
    for model, build in (("stdcnn", peers.StdCNN), ("gcnn", peers.PlainGCNN)):
        for rotation in ROTATIONS:
            net = build()
            optimizer = torch.optim.AdamW(net.parameters(), RATE)
            steps = EPOCHS * -(-train_size // peers.BATCH)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
            optimizer.register_step_post_hook(lambda *_, s=schedule: s.step())
            for _ in range(EPOCHS):
                peers.epoch(net, optimizer, images, labels, rotation)
            angles = draw_angles(len(digits.test_labels), rotation, "test")[tested]
            turned = rotate(pixels(digits.test_images[tested]), angles)
            truth = digits.test_labels[tested]
            found |= {(model, rotation, *k): v for k, v in attacked(net, turned, truth).items()}
    return found


def attacked(net, images, labels):
    """Accuracies by attack and eps, by Foolbox."""
    net.eval()
    with torch.no_grad():
        found = {("none", 0.0): (net(images).argmax(1) == labels).float().mean().item()}
    wrapped = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    pgd = foolbox.attacks.LinfPGD(rel_stepsize=1 / 30, steps=40)
    for name, attack, eps in (("fgsm", foolbox.attacks.FGSM(), FGSM_EPS), ("pgd", pgd, PGD_EPS)):
        success = attack(wrapped, images, labels, epsilons=list(eps))[2]
        kept = (~success).float().mean(1).tolist()
        found |= {(name, e): share for e, share in zip(eps, kept, strict=True)}
    return found


def ours(train_size, n_images, attack, precision):
    """The same by `experiment.run`."""
    more = {"n_images": n_images}
    probes = [Probe(n_images=n_images)]
    probes += [Probe(attack="fgsm", eps=eps, n_images=n_images) for eps in FGSM_EPS]
    probes += [Probe(attack=attack, eps=eps, **more) for eps in PGD_EPS]
    fields = {"data": "mnist5k", "recipe": "fast", "train_size": train_size, "epochs": EPOCHS}
    with tempfile.TemporaryDirectory() as folder:
        for model in ("stdcnn", "gcnn"):
            for rotation in ROTATIONS:
                trial = Trial(model=model, train_rotation=rotation, precision=precision, **fields)
                experiment.run(trial, probes, folder)
        rows = experiment.tables.read(folder, "evaluations")[0].to_pylist()
    assert len(rows) == 6 * len(probes) == 60
    return {
        (row["model"], row["train_rotation"], row["attack"].replace("fmn-", ""), row["eps"]): (
            row["n_correct"] / row["n"]
        )
        for row in rows
    }


def timed(work):
    """Its result and CPU seconds."""
    start = time.process_time()
    found = work()
    return found, time.process_time() - start


def main():
    """Print the seconds, and what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--train-size", type=int, default=3_500)
    parser.add_argument("--images", type=int, default=500)
    options = parser.parse_args()
    sizes = options.train_size, options.images
    prepare_device(1, 0.0)
    torch.manual_seed(0)
    digits = data.load("mnist5k")
    ways = {
        "plain script": lambda: plainly(digits, *sizes),
        "ours": lambda: ours(*sizes, "pgd", "float32"),
        "ours, bfloat16": lambda: ours(*sizes, "pgd", "bfloat16"),
        "ours, bfloat16, fmn-pgd": lambda: ours(*sizes, "fmn-pgd", "bfloat16"),
    }
    print("| way | s | ratio | clean | FGSM 0.1 | PGD 0.1 |\n|---|---|---|---|---|---|")
    first = None
    for name, work in ways.items():
        found, took = timed(work)
        first = first or took
        means = []
        for probe in (("none", 0.0), ("fgsm", 0.1), ("pgd", 0.1)):
            shares = [share for key, share in found.items() if key[2:] == probe]
            means.append(f"{sum(shares) / len(shares):.1%}")
        print(f"| {name} | {took:.0f} | {first / took:.1f} | {' | '.join(means)} |", flush=True)


if __name__ == "__main__":
    main()
