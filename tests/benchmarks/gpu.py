"""What a GPU computes, and how fast: `python tests/benchmarks/gpu.py [SECONDS]`.

Needs one CUDA GPU; SECONDS (default 2) is for each speed. First checks, each of which ends the run
where it fails: the networks and attacks of the CPU give the same on the GPU; a step recorded as a
CUDA graph trains the same weights as one that is not, with every adversary; the same trial gives
the same bits; a resumed training gives the bits of a straight one; and no step waits for the GPU.
Then images per second in training, recorded or not, in both precisions; attacks; and several
trainings at once on the GPU, without and with NVIDIA's MPS (`nvidia-cuda-mps-control` is part of
the driver). All on the embedded digits, repeated to epochs of 12,800 images for the speeds.
"""

import contextlib
import dataclasses
import hashlib
import os
import subprocess
import sys
import tempfile
import time

import torch

from rotgrid import attacks, data, models, training
from rotgrid.data import pixels
from rotgrid.device import prepare_device
from rotgrid.rotation import draw_angles, rotate
from rotgrid.spec import Trial
from rotgrid.spec.adversaries import ADVERSARIES
from rotgrid.training import optimizers
from rotgrid.training.adversarial import draw
from rotgrid.training.cuda_graph import CapturedStep, stepper

from together import answers, total, when_told

PAPER = ("stdcnn", "gcnn", "hnet", "ptn", "roteqnet", "capsnet")
VARIANT = {"capsnet": "narrow"}
EPOCH = 12_800
TOGETHER = (1, 2, 4, 8)


def trial_of(model, **more):
    """A trial of the fast recipe on the embedded digits, turned by up to 180 degrees."""
    fields = {"model": model, "data": "mnist5k", "recipe": "fast", "train_rotation": 180.0}
    fields |= {"variant": VARIANT[model]} if model in VARIANT else {}
    return Trial(**fields, **more)


def relative(one, other):
    """The error of one tensor against the other, of the median image: RotEqNet takes the best of
    17 angles, and where two are as good, which one is for rounding to say."""
    one, other = (x.double().cpu().flatten(1) for x in (one, other))
    return ((one - other).norm(dim=1) / other.norm(dim=1)).median().item()


def check(name, value, limit):
    """Print a check; end the run if it fails."""
    print(f"| {name} | {value:.2g} | {limit:g} |", flush=True)
    assert value <= limit, name


def same_as_cpu(images, labels, gpu):
    """Logits, input gradients and rotations.

    The digits carry noise: on a black ground all pixels of a pooling window tie, and which of them
    gets the gradient is for rounding to say (Winograd's algorithm rounds neighbours differently).
    """
    noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
    images = (images + 0.1 * noise).clamp(0, 1)
    for model in PAPER:
        net = models.build(model, VARIANT.get(model)).eval()
        on_cpu = attacks.linf.input_gradient(net, images, labels, "margin")
        on_gpu = attacks.linf.input_gradient(net.to(gpu), images.to(gpu), labels.to(gpu), "margin")
        check(f"{model}: logits against the CPU", relative(on_gpu[0], on_cpu[0]), 1e-4)
        check(f"{model}: input gradient against the CPU", relative(on_gpu[1], on_cpu[1]), 1e-3)
    angles = draw_angles(len(images), 180.0, "test")
    turned = [rotate(x, angles) for x in (images, images.to(gpu))]
    check("rotation against the CPU", (turned[0] - turned[1].cpu()).abs().max().item(), 1e-5)
    check(
        "rotation, share of pixels that differ", (turned[0] != turned[1].cpu()).float().mean(), 1
    )


def trained(digits, trial, recorded=True, folder=None):
    """The weights of a training, on the GPU, and its losses."""
    net = models.build(trial.model, trial.variant, trial.seed).to(digits.train_images.device)
    kept = training.stepper
    if not recorded:
        training.stepper = lambda *args: plain(kept(*args))
    try:
        rows = training.fit(net, digits, trial, folder)
    finally:
        training.stepper = kept
    weights = torch.cat([p.detach().flatten() for p in net.parameters()])
    return weights, [row["train_loss"] for row in rows]


def plain(step):
    """The step below the recording."""
    return step.step if isinstance(step, CapturedStep) else step


def recording(digits):
    """CapturedStep or not, again, and resumed after the first of two epochs."""
    training.CHECKPOINT_SECONDS = 0.0
    ways = [(adversary, "float32") for adversary in ADVERSARIES] + [("none", "bfloat16")]
    for adversary, precision in ways:
        fields = {"adversary": adversary, "adversary_eps": 0.1, "precision": precision}
        for model in ("stdcnn", "gcnn"):
            name = f"{model}, {adversary}, {precision}"
            trial = trial_of(model, train_size=640, epochs=2, **fields)
            one, losses = trained(digits, trial)
            again, _ = trained(digits, trial)
            check(f"{name}: once more", (one - again).abs().max().item(), 0)
            _, others = trained(digits, trial, recorded=False)
            gap = max(abs(a - b) / b for a, b in zip(losses, others, strict=True))
            check(f"{name}: loss, recorded against not", gap, 0.02)
            with tempfile.TemporaryDirectory() as folder:
                real, training.validate = training.validate, interrupted(training.validate)
                try:
                    trained(digits, trial, folder=folder)
                except KeyboardInterrupt:
                    pass
                finally:
                    training.validate = real
                resumed, _ = trained(digits, trial, folder=folder)
            check(f"{name}: resumed", (one - resumed).abs().max().item(), 0)


def interrupted(validate):
    """`validate` that is interrupted the second time."""
    calls = []

    def dies(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return validate(*args)

    return dies


def waiting(digits):
    """No step may wait for the GPU: torch raises where one does."""
    for adversary in ADVERSARIES:
        trial = trial_of("gcnn", train_size=640, adversary=adversary, adversary_eps=0.1)
        net = models.build("gcnn").cuda()
        optimizer, scheduler = optimizers.build(net, trial)
        step = stepper(net, optimizer, trial)
        batches = list(training.batches(digits.train_images[:640], digits.train_labels[:640],
                                        trial, 1))  # fmt: skip
        for _ in range(2):  # the first records
            for batch, truth, eps in batches:
                step(batch, truth, eps, draw(trial, batch, torch.Generator()))
                scheduler.step()
            torch.cuda.set_sync_debug_mode("error")
        torch.cuda.set_sync_debug_mode("default")
        print(f"| gcnn, {adversary}: steps that wait | 0 | 0 |", flush=True)


def rate(digits, trial, recorded, seconds):
    """Images per second of epochs of `EPOCH` images."""
    net = models.build(trial.model, trial.variant).to(digits.train_images.device)
    optimizer, scheduler = optimizers.build(net, trial)
    step = stepper(net, optimizer, trial)
    step = step if recorded else plain(step)

    def epoch(n):
        some = digits.train_images[:n], digits.train_labels[:n]
        training.train_epoch(step, scheduler, *some, trial, 1)  # its last line waits for the GPU

    epoch(8 * trial.batch_size)
    start, done = time.perf_counter(), 0
    while (took := time.perf_counter() - start) < seconds:
        epoch(EPOCH)
        done += EPOCH
    return done / took


def speeds(digits, seconds):
    """Training of the paper's networks."""
    print("\n| model | precision | adversary | not recorded | recorded |\n|---|---|---|---|---|")
    for model in PAPER:
        for precision in ("float32", "bfloat16"):
            for adversary in ADVERSARIES if model in ("stdcnn", "gcnn") else ("none",):
                fields = {"adversary": adversary, "adversary_eps": 0.1, "epochs": 1000}
                trial = trial_of(model, precision=precision, **fields)
                found = [rate(digits, trial, recorded, seconds) for recorded in (False, True)]
                print(f"| `{model}` | {precision} | {adversary} | {found[0]:,.0f} "
                      f"| {found[1]:,.0f} |", flush=True)  # fmt: skip


def attack_speeds(digits, seconds):
    """Input gradients per second of attacks."""
    print("\n| model | gradients/s, float32 | bfloat16 |\n|---|---|---|")
    images, labels = pixels(digits.test_images), digits.test_labels
    for model in PAPER:
        net = models.build(model, VARIANT.get(model)).cuda().eval()
        found = []
        for network in (net, attacks.linf.lowered(net)):
            with attacks.linf.frozen(net):
                attacks.linf.input_gradient(network, images, labels, "ce")
                start, done = time.perf_counter(), 0
                while (took := time.perf_counter() - start) < seconds:
                    attacks.linf.input_gradient(network, images, labels, "ce")
                    done += len(images)
            found.append(done / took)
        print(f"| `{model}` | {found[0]:,.0f} | {found[1]:,.0f} |", flush=True)


def several(seconds):
    """Trainings at once, each a process, as trials are: in turn, and under NVIDIA's MPS. There
    all of them must train the weights that one trains alone."""
    print("\n| model | MPS | trainings at once | not recorded, all | recorded, all |\n"
          "|---|---|---|---|---|")  # fmt: skip
    for model in ("stdcnn", "gcnn"):
        for mps, around in (("no", contextlib.nullcontext), ("yes", mps_daemon)):
            with around():
                for count in TOGETHER:
                    found = [total(__file__, (model, how, seconds), count)
                             for how in ("plain", "recorded")]  # fmt: skip
                    print(f"| `{model}` | {mps} | {count} | {found[0]:,.0f} | {found[1]:,.0f} |",
                          flush=True)  # fmt: skip
                together = answers(__file__, (model, "weights", 0), max(TOGETHER))
            (alone,) = answers(__file__, (model, "weights", 0), 1)
            assert set(together) == {alone}, f"{model}, MPS {mps}: other weights than alone"


@contextlib.contextmanager
def mps_daemon():
    """NVIDIA's MPS for processes that start meanwhile, beside any that runs here."""
    with tempfile.TemporaryDirectory() as folder:
        there = {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        os.environ |= there
        subprocess.run(["nvidia-cuda-mps-control", "-d"], check=True)
        try:
            yield
        finally:
            subprocess.run(["nvidia-cuda-mps-control"], input="quit\n", text=True, check=True)
            for name in there:
                del os.environ[name]


def one(model, how, seconds):
    """A training in a process of its own, which starts when it is told."""
    device = prepare_device(1, 1.0)
    digits = repeated(data.load("mnist5k").to(device))
    trial = trial_of(model, epochs=1000)
    if how == "weights":
        short = trial_of(model, train_size=1_280, epochs=4)
        when_told(lambda: hashlib.sha256(trained(digits, short)[0].cpu().numpy()).hexdigest())
        return
    rate(digits, trial, how == "recorded", 0.1)
    when_told(lambda: rate(digits, trial, how == "recorded", seconds))


def repeated(digits):
    """The training images, again and again."""
    times = -(-EPOCH // len(digits.train_labels))
    return dataclasses.replace(
        digits,
        train_images=digits.train_images.repeat(times, 1, 1, 1)[:EPOCH],
        train_labels=digits.train_labels.repeat(times)[:EPOCH],
    )


def main(seconds=2.0):
    """Checks, then speeds."""
    device = prepare_device(1, 1.0)
    print(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}\n")
    digits = data.load("mnist5k")
    print("| check | value | limit |\n|---|---|---|")
    same_as_cpu(pixels(digits.test_images[:100]), digits.test_labels[:100], device)
    digits = digits.to(device)
    recording(digits)
    waiting(digits)
    digits = repeated(digits)
    speeds(digits, seconds)
    attack_speeds(digits, seconds)
    several(seconds)


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        one(*sys.argv[2:4], float(sys.argv[4]))
    else:
        main(*map(float, sys.argv[1:]))
