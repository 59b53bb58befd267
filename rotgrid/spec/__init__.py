"""What is trained and what is measured: the frozen records `Trial` and `Probe`.

A `Trial` is one training of one network, a `Probe` one measurement of it. Both are canonical: a
field left out is filled in, and a field that cannot matter is set to a fixed value, so that equal
work has equal fields and therefore an equal `key()`. Angles are degrees, eps is an L-infinity
radius in pixel units (pixels lie in [0, 1]). Nothing here imports torch.
"""

import itertools
from collections.abc import Iterable, Mapping

from rotgrid.spec.probe import Probe
from rotgrid.spec.records import (
    ADDED_FIELDS,
    DERIVED_FIELDS,
    REMOVED_FIELDS,
    Record,
    digest,
    entry_named,
    grid_fields,
    without_added_defaults,
)
from rotgrid.spec.trial import Trial, batch_sizes, data_named, data_of, own_recipe

__all__ = [
    "ADDED_FIELDS",
    "DERIVED_FIELDS",
    "REMOVED_FIELDS",
    "Probe",
    "Record",
    "Trial",
    "any_own",
    "batch_sizes",
    "data_named",
    "data_of",
    "digest",
    "entry_named",
    "grid_fields",
    "own_functions",
    "own_recipe",
    "without_added_defaults",
]


def any_own(asked: Mapping[Trial, Iterable[Probe]]) -> bool:
    """Whether anything is own in trials and their probes."""
    return bool(own_functions(asked)) or any(trial.data_digest for trial in asked)


def own_functions(asked: Mapping[Trial, Iterable[Probe]]) -> dict[str, str]:
    """The digest of each own function that trials and their probes name."""
    found: dict[str, str] = {}
    for trial in asked:
        found |= {trial.model: trial.model_digest, trial.adversary: trial.adversary_digest}
    for probe in dict.fromkeys(itertools.chain.from_iterable(asked.values())):
        found |= {probe.attack: probe.attack_digest, probe.source: probe.source_digest}
    return {name: digest for name, digest in found.items() if digest}
