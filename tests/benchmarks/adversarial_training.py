"""Cost of adversarial training on one thread: an epoch with each adversary over a clean epoch.

    python tests/benchmarks/adversarial_training.py [mnist5k | mnist] [MODEL ...] [ADVERSARY ...]

Prints a Markdown row per model and adversary (default: all adversaries on stdcnn and gcnn,
mnist5k; of mnist 10,000 training images). An epoch is that of `fit`: training, validation, and the
watch on adversarial training, whose cost grows with the share of images that stay correct under
attack, given for the last epoch. Epochs take turns in one process; medians of CPU seconds, which
other processes disturb less than they do the clock.
"""

import statistics
import sys
import time

import torch

from rotgrid import data, models
from rotgrid.spec import Trial
from rotgrid.spec.adversaries import ADVERSARIES
from rotgrid.training import optimizers, train_epoch
from rotgrid.training.cuda_graph import stepper
from rotgrid.training.validation import rotated_validation, validate

EPOCHS = 5


def train(dataset, trial):
    """Yield the seconds and the validation of each epoch as it is trained."""
    net = models.build(trial.model, trial.variant, trial.seed)
    chosen = data.subset(dataset.train_labels, trial.train_size)
    images, labels = dataset.train_images[chosen], dataset.train_labels[chosen]
    optimizer, scheduler = optimizers.build(net, trial)
    step = stepper(net, optimizer, trial)
    validation = rotated_validation(dataset, trial)
    for epoch in range(1, trial.epochs + 1):
        start = time.process_time()
        train_epoch(step, scheduler, images, labels, trial, epoch)
        row = validate(net, *validation, trial)
        yield time.process_time() - start, row


def main(words):
    """Print the table."""
    torch.set_num_threads(1)
    name, size = ("mnist", 10_000) if "mnist" in words else ("mnist5k", 3_500)
    everything = tuple(ADVERSARIES)[1:]
    adversaries = [word for word in words if word in everything] or everything
    dataset = data.load(name)
    print("| model | adversary | clean epoch | ratio to it | robust |\n|---|---|---|---|---|")
    for model in [word for word in words if word in ("stdcnn", "gcnn")] or ("stdcnn", "gcnn"):
        common = {"model": model, "data": name, "train_size": size, "train_rotation": 180.0}
        common |= {"recipe": "fast", "epochs": EPOCHS, "adversary_eps": 0.1}
        trials = [Trial(**common, adversary=adversary) for adversary in ("none", *adversaries)]
        runs = {trial.adversary: train(dataset, trial) for trial in trials}
        seconds = {adversary: [] for adversary in runs}
        last = {}
        for _ in range(EPOCHS):
            for adversary, run in runs.items():
                duration, last[adversary] = next(run)
                seconds[adversary].append(duration)
        clean = statistics.median(seconds["none"])
        for adversary in adversaries:
            ratio = statistics.median(seconds[adversary]) / clean
            robust = last[adversary]["val_robust_n_correct"] / last[adversary]["val_robust_n"]
            print(
                f"| `{model}` | `{adversary}` | {clean:.2f} s | {ratio:.2f} | {robust:.0%} |",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
