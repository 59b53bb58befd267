"""`rotgrid check mynets.resnet:build`: does a network or attack of your own do what is asked?

A function that names a parameter `eps`, or whose first one is `model`, is taken for an attack (or
adversary): (model, images, labels, *, eps, ...) -> images; any other for the builder of a network:
(variant, shape) -> torch.nn.Module. Every check is a line: what is right, and what is wrong and
what to do.

Exit codes: 0 all is well, 2 something is wrong, 4 data missing.
"""

import argparse
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence

import torch
from pydantic import ValidationError
from torch import nn

from rotgrid import attacks
from rotgrid.attacks import own_attack
from rotgrid.attacks.threats import LINF, THREATS, Threat
from rotgrid.console import tolerate_lost_output
from rotgrid.data import DataError, Dataset, load, pixels
from rotgrid.evaluation import contract, equivariance
from rotgrid.evaluation.settings import told
from rotgrid.experiment import untrained_network
from rotgrid.models import count_parameters
from rotgrid.models.own_network import load_own
from rotgrid.spec import Probe, Trial
from rotgrid.spec.datasets import Shape
from rotgrid.spec.entries import settings_named
from rotgrid.spec.loading import place_of
from rotgrid.spec.recipes import RECIPES
from rotgrid.training.losses import training_loss

Finding = tuple[str, str]
"""What was checked, and what is wrong with it, if anything."""
EPS = 0.1
STEPS, BATCH = 30, 64
"""Of the short training that shows whether a network learns."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(
        prog="rotgrid check",
        description=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="package.module:function", help="what to check")
    parser.add_argument("--variant", default="", help="of the network (default: none)")
    parser.add_argument("--data", default="mnist5k", help="whose images it is given")
    args = parser.parse_args(arguments)
    try:
        return report(args.name, args.variant, args.data)
    except DataError as error:
        print(error, file=sys.stderr)
        return 4
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            field = "".join(f"{part}: " for part in detail["loc"])
            print(f"no  {field}{detail['msg']}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"no  {error}", file=sys.stderr)
        return 2


def report(name: str, variant: str, data: str) -> int:
    """Print a line for each check; the exit code.

    Raises:
        ValueError: the function cannot be imported or called at all.
        DataError: there are no such data.
    """
    function = load_own(name)
    print(f"{name}, {place_of(function)}")
    dataset = load(data)
    named = list(inspect.signature(function).parameters)
    attack = "eps" in named or named[:1] == ["model"]
    kind = attack_findings if attack else network_findings
    wrong = 0
    for what, problem in kind(name, variant, dataset):
        wrong += bool(problem)
        print(f"no  {what}: it {problem}" if problem else f"ok  {what}")
    print(f"{wrong} of these keep it from being used" if wrong else "it can be used in a grid")
    return 2 if wrong else 0


def network_findings(name: str, variant: str, dataset: Dataset) -> Iterator[Finding]:
    """The checks of a network."""
    trial = Trial(model=name, variant=variant, data=dataset.name)
    model, shape = untrained_network(trial, dataset.shape), dataset.shape
    print(f"    {count_parameters(model):,} parameters; images {described_shape(shape)}")
    problems = 0
    for what, check in contract.CHECKS.items():
        problem = contract.outcome(check, model, shape)
        problems += bool(problem)
        yield what, problem
        if check is contract.takes_images and problem:
            return
    problem = contract.is_built_anew(model, untrained_network(trial, shape))
    problems += bool(problem)
    yield "is built anew in each call, from the seed alone", problem
    if problems:
        return
    for what, check in contract.ADVICE.items():
        problem = contract.outcome(check, model, shape)
        print(f"    {'does not do' if problem else 'also'}: {what} {problem}".rstrip())
    other = untrained_network(trial.model_copy(update={"seed": trial.seed + 1}), shape)
    if not contract.is_built_anew(model, other):
        print("    begins with the same weights whatever the seed")
    print(f"    {learning(model, dataset)}")
    print(f"    {rotating(model, dataset)}")


def described_shape(shape: Shape) -> str:
    """Channels, rows, columns and classes in words."""
    return f"{shape.channels} x {shape.size} x {shape.size}, {shape.classes} classes"


def learning(model: nn.Module, dataset: Dataset) -> str:
    """What a few steps of Adam make of the loss on a few training images, in words."""
    images, labels = pixels(dataset.train_images[:BATCH]), dataset.train_labels[:BATCH]
    optimizer = torch.optim.Adam(model.train().parameters(), lr=1e-3)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = training_loss(model, images, labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    verdict = "learns" if losses[-1] < losses[0] else "does not learn in so few steps"
    return (
        f"{verdict}: loss {losses[0]:.3g} -> {losses[-1]:.3g} in {STEPS} steps on {BATCH} images"
    )


def rotating(model: nn.Module, dataset: Dataset) -> str:
    """What a quarter turn of the images changes in the logits, in words."""
    errors = equivariance.measure(model, pixels(dataset.test_images[:BATCH]), 90).errors
    layers = len(errors) - 1
    seen = (
        f"{layers} layers are compared" if layers else "no `invariants`: only logits are compared"
    )
    return (
        f"rotated by 90 degrees its logits differ by {errors[equivariance.LOGITS]:.2g} of their "
        f"deviation (0: invariant); {seen} by attack equivariance"
    )


def attack_findings(name: str, variant: str, dataset: Dataset) -> Iterator[Finding]:
    """The checks of an attack or adversary, on a network that is trained for a few seconds: in
    each threat model that it is told of."""
    attack, probe = load_own(name), Probe(attack=name, eps=EPS)
    named = settings_named(attack)
    if "eps" not in named:
        yield "is told eps", "names no parameter eps: (model, images, labels, *, eps, ...)"
        return
    net = small_network(dataset)
    images, labels = pixels(dataset.test_images[:100]), dataset.test_labels[:100]
    also = [setting for setting in ("threat", "step_size") if setting in named]
    print(f"    is told {', '.join(['eps', *told(attack, probe), *also])}")
    if "step_size" in named:
        print("    step_size: told to adversaries, not to attacks")

    def made(eps: float, ball: Threat = LINF) -> torch.Tensor:
        settings = told(attack, probe)
        if "step_size" in named:
            settings["step_size"] = eps * RECIPES["paper"].adversary_step_size
        return own_attack.perturbed(
            name, attack, net, images, labels, eps=eps, threat=ball, **settings
        )

    for ball in THREATS.values() if "threat" in named else (LINF,):
        for eps in (0.0, EPS, 0.3):
            eps *= ball.diameter(images)
            problem = raised(made, eps, ball)
            yield f"returns images within eps {eps:g} ({ball.label}) and in [0, 1]", problem
            if problem:
                return
    same = torch.equal(made(EPS), made(EPS))
    yield (
        "returns the same twice",
        "" if same else "draws random numbers of its own (generator?), or remembers earlier calls",
    )
    before = attacks.predicted(net, images) == labels
    mine, fgsm = (
        int((before & (attacks.predicted(net, x) != labels)).sum())
        for x in (made(EPS), attacks.fgsm(net, images, labels, eps=EPS))
    )
    print(f"    at eps {EPS:g} it breaks {mine} of {int(before.sum())} images, FGSM {fgsm}")


def raised(made: Callable[[float, Threat], torch.Tensor], eps: float, ball: Threat) -> str:
    """What an attack raises, or does wrong, at an eps."""
    try:
        made(eps, ball)
    except own_attack.OwnAttackError as error:
        return f"fails: {error}"
    return ""


def small_network(dataset: Dataset) -> nn.Module:
    """A perceptron that is trained for a moment on the data."""
    torch.manual_seed(0)
    shape = dataset.shape
    inputs = shape.channels * shape.size**2
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(inputs, 32), nn.ReLU(), nn.Linear(32, shape.classes)
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for at in torch.arange(min(2_000, len(dataset.train_labels))).split(32):
        optimizer.zero_grad()
        training_loss(net, pixels(dataset.train_images[at]), dataset.train_labels[at]).backward()
        optimizer.step()
    return net.eval()


if __name__ == "__main__":
    tolerate_lost_output()
    sys.exit(main())
