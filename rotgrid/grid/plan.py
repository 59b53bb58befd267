"""What a grid expands to: trials, the probes to measure on each, and what a trial may use."""

import itertools
import operator
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from rotgrid.spec import Probe, Record, Trial, grid_fields


class Resources(Record):
    """What one trial may use. They do not affect results and are in no key."""

    cpu: int = Field(
        default=1, ge=1, le=1024, description="CPU cores, and threads of torch, per trial"
    )
    gpu: float = Field(
        default=0.0, ge=0, description="GPU of a trial: 0 (none), 1, or a share 1/k such as 0.25"
    )
    minutes: float = Field(
        default=0.0,
        ge=0,
        le=1_000_000,
        description="time limit of an attempt at a trial; 0: 10 times the most that is expected, "
        "at least an hour",
    )
    retries: int = Field(
        default=3,
        ge=0,
        le=1000,
        description="further attempts at a trial that fails or loses its node",
    )


@dataclass(frozen=True)
class Plan:
    """The ordered, de-duplicated content of a grid."""

    name: str
    description: str
    resources: Resources
    trials: dict[Trial, tuple[Probe, ...]]
    """What to train, in the order of the file, and the resolved probes to measure on each."""
    blocks: dict[str, dict[Trial, tuple[Probe, ...]]]
    """By name of the block, in the order of the file: what it asks for and none before it does. A
    trial without probes among them is one that an earlier block trains."""
    document: dict[str, Any]
    """The grid after overrides, as plain data; `parse` of its YAML gives this plan again."""

    @property
    def rows(self) -> int:
        """Number of (trial, probe) pairs."""
        return sum(map(len, self.trials.values()))

    def axes(self) -> dict[str, list[object]]:
        """The distinct values of each field of trials and probes, in order of appearance."""
        kinds: tuple[tuple[type[Record], Collection[Record]], ...] = (
            (Trial, self.trials),
            (Probe, distinct_probes(self)),
        )
        return {
            field: list(dict.fromkeys(map(operator.attrgetter(field), records)))
            for kind, records in kinds
            for field in grid_fields(kind)
        }

    def cartesian(self) -> dict[str, int]:
        """Of each field to which the grid gives several values, their number. The product is the
        size of the full cartesian grid, which varies everything with everything and trains a
        network for each cell."""
        defaults = self.document.get("defaults", {})
        values: dict[str, set[object]] = {}
        for block in self.document["blocks"]:
            probes = block.get("probes", {})
            training = {k: v for k, v in {**defaults, **block}.items() if k in Trial.model_fields}
            for fields in (training, *(probes if isinstance(probes, list) else [probes])):
                for field, value in fields.items():
                    several = value if isinstance(value, list) else [value]
                    values.setdefault(field, set()).update(several)
        order = [*Trial.model_fields, *Probe.model_fields]
        return {f: len(values[f]) for f in order if len(values.get(f, ())) > 1}


def distinct_probes(plan: Plan) -> list[Probe]:
    """The probes of all trials, each once."""
    shared = {id(probes): probes for probes in plan.trials.values()}.values()
    return list(dict.fromkeys(itertools.chain.from_iterable(shared)))
