"""A grid file (YAML) becomes a plan: which networks to train, and what to measure on each.

The language, in four lines. A grid is a list of `blocks`. Inside a block a list means *vary* and
a scalar means *fix*; all combinations are made. Blocks are united: a trial named twice is trained
once and answers the probes of both. `probes` of a block are blocks of the same kind.

Nothing here imports torch or Ray, or reads anything but the text. `python -m rotgrid.grid`
prints the JSON schema that editors use (grids/schema.json).
"""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from rotgrid.document import GridError, Problem, Tree, parse_tree
from rotgrid.spec import Probe, Record, Trial

MOST_CELLS = 2_000_000
"""A grid with more cells is taken for a mistake."""


class Resources(Record):
    """What one trial may use. They do not affect results and are in no key."""

    cpu: int = Field(default=1, ge=1, description="CPU cores, and threads of torch, per trial")
    gpu: float = Field(
        default=0.0, ge=0, description="GPUs per trial: 0, a whole number, or a fraction 1/k"
    )


@dataclass(frozen=True)
class Plan:
    """The ordered, de-duplicated content of a grid."""

    name: str
    description: str
    resources: Resources
    trials: dict[Trial, tuple[Probe, ...]]
    """What to train, in the order of the file, and the resolved probes to measure on each."""
    cells: int
    """Combinations as written, of trial and probe fields alike: the number of networks that a
    cartesian grid trains, which has no idea of a probe."""
    document: dict[str, Any]
    """The grid after overrides, as plain data; `parse` of its YAML gives this plan again."""

    @property
    def rows(self) -> int:
        """Number of (trial, probe) pairs."""
        return sum(map(len, self.trials.values()))

    def axes(self) -> dict[str, list[object]]:
        """The distinct values of each field of trials and probes, in order of appearance."""
        trials = [trial.model_dump() for trial in self.trials]
        probes = [probe.model_dump() for probe in distinct_probes(self)]
        return {
            field: list(dict.fromkeys(record[field] for record in records))
            for model, records in ((Trial, trials), (Probe, probes))
            for field in model.model_fields
        }


def distinct_probes(plan: Plan) -> list[Probe]:
    """The probes of all trials, each once."""
    shared = {id(probes): probes for probes in plan.trials.values()}.values()
    return list(dict.fromkeys(itertools.chain.from_iterable(shared)))


def read(path: str | Path, overrides: Sequence[str] = ()) -> Plan:
    """The plan of a grid file. `overrides` are `PATH=VALUE`, as of `--set`.

    Raises:
        GridError: all that is wrong with it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise GridError(
            [Problem(str(path), 1, 1, "", f"cannot read the grid: {reason}")]
        ) from None
    return parse(text, str(path), overrides)


def parse(text: str, file: str = "grid.yaml", overrides: Sequence[str] = ()) -> Plan:
    """The plan of a grid's text; `file` names it in messages and, by default, the grid.

    Raises:
        GridError: all that is wrong with it.
    """
    tree = parse_tree(text, file, overrides)
    document = tree.value if isinstance(tree.value, dict) else {}
    if not isinstance(tree.value, dict):
        tree.problem((), "a grid is a mapping with the key `blocks`")
    known_keys(tree, document, (), ("name", "description", "resources", "defaults", "blocks"))
    for field in ("name", "description"):
        if not isinstance(document.get(field, ""), str):
            tree.problem((field,), "should be text")
    resources = read_resources(tree, document.get("resources", {}))
    defaults = document.get("defaults", {})
    if not isinstance(defaults, dict):
        tree.problem(("defaults",), "should be a mapping of training fields")
        defaults = {}
    axes_of(tree, defaults, ("defaults",), Trial)
    blocks = document.get("blocks")
    if not isinstance(blocks, list) or not blocks:
        tree.problem(("blocks",), "a grid needs `blocks`, a list with at least one block")
        blocks = []
    trials: dict[Trial, tuple[Probe, ...]] = {}
    cells = 0
    for index, block in enumerate(blocks):
        cells += add_block(tree, trials, block, defaults, ("blocks", index))
    tree.raise_problems()
    return Plan(
        name=document.get("name") or Path(file).stem,
        description=document.get("description", ""),
        resources=resources,
        trials=trials,
        cells=cells,
        document={"name": Path(file).stem, **document},
    )


def add_block(
    tree: Tree,
    trials: dict[Trial, tuple[Probe, ...]],
    block: object,
    defaults: Mapping[str, object],
    path: tuple[str | int, ...],
) -> int:
    """Unite one block with `trials`; the number of cells it has as written."""
    if not isinstance(block, dict):
        tree.problem(path, "a block is a mapping of training fields, with `probes`")
        return 0
    fields = {k: v for k, v in block.items() if k not in ("name", "probes")}
    if not isinstance(block.get("name", ""), str):
        tree.problem((*path, "name"), "should be text")
    axes = {
        **axes_of(tree, defaults, ("defaults",), Trial, quiet=True),
        **axes_of(tree, fields, path, Trial, extra=("name", "probes")),
    }
    if "model" not in fields and "model" not in defaults:
        tree.problem(path, "a block needs `model`")
    probes = block.get("probes", [{}])
    probe_blocks = probes if isinstance(probes, list) else [probes]
    if not probe_blocks:
        tree.problem((*path, "probes"), "an empty list measures nothing")
    asked: list[tuple[Probe, tuple[str | int, ...]]] = []
    probe_cells = 0
    for index, probe_block in enumerate(probe_blocks):
        where = (*path, "probes", index) if isinstance(probes, list) else (*path, "probes")
        if not isinstance(probe_block, dict):
            tree.problem(where, "a probe block is a mapping of probe fields")
            continue
        probe_axes = axes_of(tree, probe_block, where, Probe)
        probe_cells += size(probe_axes)
        if check_size(tree, probe_axes, where):
            asked += [(probe, where) for probe in combine(tree, probe_axes, where, Probe)]
    if "model" not in axes or not check_size(tree, axes, path, probe_cells):
        return 0
    resolved: dict[tuple[str, float], tuple[Probe, ...]] = {}
    united: dict[tuple[int, int], tuple[Probe, ...]] = {}
    for trial in combine(tree, axes, path, Trial):
        group = (trial.data, trial.train_rotation)
        if group not in resolved:
            resolved[group] = resolve(tree, asked, trial)
        before, new = trials.get(trial, ()), resolved[group]
        pair = (id(before), id(new))
        if pair not in united:  # shared by the trials of the group: a grid may have thousands
            united[pair] = tuple(dict.fromkeys(before + new))
        trials[trial] = united[pair]
    return size(axes) * probe_cells


def resolve(
    tree: Tree, asked: Iterable[tuple[Probe, tuple[str | int, ...]]], trial: Trial
) -> tuple[Probe, ...]:
    """The probes as they apply to `trial`, each once."""
    found: dict[Probe, None] = {}
    for probe, where in asked:
        try:
            found[probe.resolve(trial)] = None
        except ValueError as error:
            tree.problem((*where, "n_images"), str(error), got=probe.n_images)
    return tuple(found)


Axes = Mapping[str, list[tuple[object, tuple[str | int, ...]]]]
"""For each field its values, each with the place it stands at."""


def axes_of(
    tree: Tree,
    fields: Mapping[str, object],
    path: tuple[str | int, ...],
    record: type[Record],
    extra: Sequence[str] = (),
    quiet: bool = False,
) -> Axes:
    """The valid values of each known field; problems go to the tree unless `quiet`."""
    if not quiet:
        known_keys(tree, fields, path, (*record.model_fields, *extra))
    axes: dict[str, list[tuple[object, tuple[str | int, ...]]]] = {}
    for field, value in fields.items():
        if field not in record.model_fields:
            continue
        where = (*path, field)
        if value == [] and not quiet:
            tree.problem(where, "an empty list has no value to vary")
        places = [(value, where)]
        if isinstance(value, list):
            places = [(item, (*where, i)) for i, item in enumerate(value)]
        for v, at in places:
            seen = axes.get(field, [])
            if field_is_valid(tree, record, field, v, at, quiet) and v not in [w for w, _ in seen]:
                axes[field] = [*seen, (v, at)]
    return axes


def field_is_valid(
    tree: Tree,
    record: type[Record],
    field: str,
    value: object,
    path: tuple[str | int, ...],
    quiet: bool,
) -> bool:
    """Whether one value suits one field."""
    info = record.model_fields[field]
    try:
        adapter(record, field).validate_python(value, strict=True)
    except ValidationError as error:
        details = error.errors(include_url=False)
        if not quiet:
            choices = [c for d in details for c in literal_choices(d)]
            problem = f"should be {expected(details)} ({info.description})"
            tree.problem(path, problem, got=value, choices=choices)
        return False
    return True


_adapters: dict[tuple[type[Record], str], TypeAdapter[Any]] = {}


def adapter(record: type[Record], field: str) -> TypeAdapter[Any]:
    """The validator of one field by itself."""
    if (record, field) not in _adapters:
        info = record.model_fields[field]
        _adapters[record, field] = TypeAdapter(Annotated[info.annotation, info])  # type: ignore[arg-type]
    return _adapters[record, field]


def literal_choices(detail: ErrorDetails) -> list[str]:
    """The valid choices that a validation error names."""
    if detail["type"] != "literal_error":
        return []
    return detail["ctx"]["expected"].replace("' or '", "', '").strip("'").split("', '")


def expected(details: Sequence[ErrorDetails]) -> str:
    """What would have been valid, in words."""
    words = []
    for detail in details:
        message = detail["msg"].removeprefix("Input should be ")
        words.append(message[0].lower() + message[1:] if message[1:2].islower() else message)
    return ", or ".join(dict.fromkeys(words))


def combine(
    tree: Tree, axes: Axes, path: tuple[str | int, ...], record: type[Record]
) -> Iterator[Any]:
    """A record for each combination; those that do not fit together become problems."""
    for combination in itertools.product(*axes.values()):
        values = dict(zip(axes, combination, strict=True))
        try:
            yield record(**{field: value for field, (value, _) in values.items()})
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                field = detail.get("ctx", {}).get("field", "") or str(*detail["loc"][:1])
                value, where = values.get(field, (None, path))
                choices = detail.get("ctx", {}).get("choices", ())
                tree.problem(where, detail["msg"], got=value, choices=choices)


def size(axes: Axes) -> int:
    """Number of combinations."""
    total = 1
    for values in axes.values():
        total *= len(values)
    return total


def check_size(tree: Tree, axes: Axes, path: tuple[str | int, ...], probe_cells: int = 1) -> bool:
    """Whether the combinations are few enough to be meant."""
    cells = size(axes) * probe_cells
    if cells > MOST_CELLS:
        tree.problem(path, f"has {cells:,} cells, more than the {MOST_CELLS:,} that are allowed")
    return cells <= MOST_CELLS


def known_keys(
    tree: Tree, mapping: Mapping[str, object], path: tuple[str | int, ...], keys: Sequence[str]
) -> None:
    """Every key that is not among `keys` is a problem."""
    for key in mapping:
        if key not in keys:
            tree.problem((*path, key), "unknown key", got=key, choices=keys, at_key=True)


def read_resources(tree: Tree, value: object) -> Resources:
    """The `resources` of a grid."""
    if not isinstance(value, dict):
        tree.problem(("resources",), "should be a mapping with `cpu` and `gpu`")
        return Resources()
    axes = axes_of(tree, value, ("resources",), Resources)
    gpu = value.get("gpu", 0)
    if isinstance(gpu, float | int) and gpu > 0 and gpu % 1:
        share = Fraction(gpu).limit_denominator(64)
        if gpu > 1 or abs(share - Fraction(gpu)) > 1e-6 or share.numerator != 1:
            tree.problem(("resources", "gpu"), "a share of a GPU is 1/k: 0.5, 0.25, 0.2", got=gpu)
            return Resources()
    for field in ("cpu", "gpu"):
        if isinstance(value.get(field), list):
            tree.problem(("resources", field), "is one number for all trials", got=value[field])
            return Resources()
    return Resources.model_validate({field: values[0][0] for field, values in axes.items()})


def dump(plan: Plan) -> str:
    """The effective grid (overrides applied) as YAML."""
    return yaml.safe_dump(plan.document, sort_keys=False)


def json_schema() -> dict[str, Any]:
    """The JSON schema of a grid file."""

    def vary(record: type[Record]) -> dict[str, Any]:
        properties = record.model_json_schema()["properties"]
        for field in properties.values():
            field.pop("default", None)
            field.pop("title", None)
        return {
            field: {
                "description": single.pop("description", ""),
                "anyOf": [single, {"type": "array", "items": single, "minItems": 1}],
            }
            for field, single in properties.items()
        }

    def mapping(properties: dict[str, Any], **more: object) -> dict[str, Any]:
        return {"type": "object", "properties": properties, "additionalProperties": False, **more}

    probe = mapping(vary(Probe))
    block = mapping(
        {
            "name": {"type": "string", "description": "the figure or claim that the block serves"},
            **vary(Trial),
            "probes": {
                "description": "what to measure on each trained network",
                "anyOf": [probe, {"type": "array", "items": probe, "minItems": 1}],
            },
        }
    )
    resources = Resources.model_json_schema()["properties"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "rotgrid grid",
        **mapping(
            {
                "name": {"type": "string", "description": "names the results (default: the file)"},
                "description": {"type": "string"},
                "resources": mapping(resources, description="per trial; in no key"),
                "defaults": mapping(vary(Trial), description="for blocks that do not say"),
                "blocks": {"type": "array", "items": block, "minItems": 1},
            },
            required=["blocks"],
        ),
    }


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=1))
