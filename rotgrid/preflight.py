"""What is own in a plan, tried before any work starts: its networks, attacks and adversaries."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from rotgrid.attacks import own_attack
from rotgrid.attacks.threats import THREATS
from rotgrid.data import DataError
from rotgrid.evaluation import contract
from rotgrid.evaluation.settings import told
from rotgrid.experiment import source_trial, untrained_network
from rotgrid.models.own_network import ContractError, load_own
from rotgrid.results.code import store_sources
from rotgrid.results.storage import Root
from rotgrid.spec import Probe, Trial, data_of, extensions, own_functions
from rotgrid.spec.datasets import Shape
from rotgrid.spec.entries import is_own
from rotgrid.spec.loading import find_version, place_of
from rotgrid.training.adversarial import draw, perturbed

Asked = Mapping[Trial, Sequence[Probe]]


def require_own(asked: Asked, results: Root) -> None:
    """Try all that is own in trials and probes, and store its source beside the rows.

    Raises:
        DataError: own data are not the file that was planned with.
        ValueError: own code is another version, or does not do what is asked of it; the message
            names its file and line.
        StoreError: the source cannot be stored.
    """
    functions = own_functions(asked)
    require_versions(functions)
    for trial in dict.fromkeys(t for t in asked if is_own(t.data)):
        require_data(trial)
    for trial in first_of_each([*asked, *sources_of(asked)]):
        require_network(trial)
    for trial in {t.adversary: t for t in asked if is_own(t.adversary)}.values():
        require_adversary(trial)
    for trial, probe in attacks_of(asked):
        require_attack(trial, probe)
    store_sources(results, functions)


def require_versions(functions: Mapping[str, str]) -> None:
    """Refuse own functions whose files are not those that were planned with."""
    for name, digest in functions.items():
        find_version(name, digest)


def require_data(trial: Trial) -> None:
    """Refuse own data that are not those that were planned with.

    Raises:
        DataError: it is another file, or none.
    """
    try:
        here = extensions.read(trial.data).digest
    except ValueError as error:
        raise DataError(str(error)) from None
    if here != trial.data_digest:
        raise DataError(
            f"{extensions.find_data(trial.data)}: has digest {here}, not {trial.data_digest} as "
            "in the grid: it is another file"
        )


def first_of_each(asked: Iterable[Trial]) -> list[Trial]:
    """A trial of each own network, variant and shape of data."""
    found: dict[object, Trial] = {}
    for trial in asked:
        if is_own(trial.model):
            found.setdefault((trial.model, trial.variant, data_of(trial).shape), trial)
    return list(found.values())


def sources_of(asked: Asked) -> list[Trial]:
    """A trial of each own network that is the `source` of a `transfer`, and shape of data."""
    found: dict[object, Trial] = {}
    for trial, probes in asked.items():
        for name in {probe.source for probe in probes if is_own(probe.source)}:
            if (which := (name, data_of(trial).shape)) not in found:
                found[which] = source_trial(trial, name)
    return list(found.values())


def require_network(trial: Trial) -> None:
    """Refuse an own network that cannot be trained, attacked or compared."""
    shape = data_of(trial).shape
    what = f"{place_of(load_own(trial.model, trial.model_digest))}: {trial.model}"
    model = untrained_network(trial, shape)
    contract.require(model, shape, what)
    if problem := contract.is_built_anew(model, untrained_network(trial, shape)):
        raise ContractError(f"{what} {problem}")


def attacks_of(asked: Asked) -> list[tuple[Trial, Probe]]:
    """A probe of each own attack and threat model, with the first trial that it is measured on."""
    found: dict[tuple[str, str], tuple[Trial, Probe]] = {}
    for trial, probes in asked.items():
        for probe in probes:
            if is_own(probe.attack):
                found.setdefault((probe.attack, probe.threat), (trial, probe))
    return list(found.values())


def require_attack(trial: Trial, probe: Probe) -> None:
    """Refuse an own attack that raises on an untrained network, leaves the threat model, or makes
    other images when it is asked again."""
    attack = load_own(probe.attack, probe.attack_digest)
    model, images, labels = network_and_sample(trial)
    eps, ball = probe.pixel_eps(data_of(trial).shape), THREATS[probe.threat]

    def made() -> torch.Tensor:
        settings = told(attack, probe)
        return own_attack.perturbed(
            probe.attack, attack, model, images, labels, eps=eps, threat=ball, **settings
        )

    if not torch.equal(made(), made()):
        raise ValueError(
            f"{place_of(attack)}: {probe.attack} makes other images from call to call: draw "
            "random numbers from torch or `generator` alone, and remember nothing"
        )


def require_adversary(trial: Trial) -> None:
    """Refuse an own adversary that raises on an untrained network, or leaves the threat model."""
    model, images, labels = network_and_sample(trial)
    random = draw(trial, images, torch.Generator().manual_seed(0))
    perturbed(model, images, labels, trial, trial.adversary_eps, random)


def network_and_sample(trial: Trial) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """An untrained network, in evaluation mode, with a few random images and labels."""
    shape: Shape = data_of(trial).shape
    return untrained_network(trial, shape).eval(), *contract.sample(shape)
