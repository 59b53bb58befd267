"""The JSON schema of a grid file, for editors:
`python -m rotgrid.grid.schema > grids/schema.json`."""

import json
import re
from typing import Any

from rotgrid.grid.plan import Resources
from rotgrid.spec import Probe, Record, Trial, grid_fields
from rotgrid.spec.models import MODELS
from rotgrid.spec.recipes import Recipe

Schema = dict[str, Any]
BY_RECIPE = ("variant", "train_size", "epochs", "batch_size", "learning_rate")
"""The fields of a trial whose default depends on others, so that none is told."""


def json_schema() -> Schema:
    """The JSON schema of a grid file. Each field of a trial and of a probe is defined once."""
    probe = mapping(references(Probe), "one set of measurements, all combinations of the values")
    needs_source = {"properties": {"attack": {"const": "transfer"}}, "required": ["attack"]}
    probe |= {"if": needs_source, "then": {"required": ["source"]}}
    block_fields = {
        "name": {"type": "string", "description": "the figure or claim that the block serves"},
        **references(Trial),
        "probes": {
            "description": "what to measure on each network (default: accuracy without attack)",
            **one_or_more({"$ref": "#/$defs/probe"}),
        },
    }
    block = mapping(block_fields, "networks, all combinations of the values, and what to measure")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "rotgrid grid",
        **mapping(
            {
                "name": {
                    "type": "string",
                    "pattern": r"^\w[\w.-]{0,99}$",
                    "description": "names the results (default: the file)",
                },
                "description": {"type": "string", "description": "one line, for the plan"},
                "resources": resources(),
                "defaults": mapping(references(Trial), "training fields of blocks without them"),
                "recipes": recipes(),
                "blocks": {
                    "type": "array",
                    "items": {"$ref": "#/$defs/block"},
                    "minItems": 1,
                    "description": "united: a network that several name is trained once",
                },
                "pinned": {
                    "type": "object",
                    "description": "own names as they were at the launch; a launch writes it",
                },
            },
            "what to train, and what to measure on it; in a block a list varies, a scalar fixes",
        ),
        "required": ["blocks"],
        "anyOf": [  # a model, in each block or for all of them
            {"properties": {"blocks": {"items": {"required": ["model"]}}}},
            {"properties": {"defaults": {"required": ["model"]}}, "required": ["defaults"]},
        ],
        "$defs": {
            "block": block | {"allOf": [variants_of(model) for model in MODELS]},
            "probe": probe,
            **definitions(Trial),
            **definitions(Probe),
        },
    }


def mapping(properties: Schema, description: str) -> Schema:
    """The schema of a mapping with these keys and no others."""
    return {
        "description": description,
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def one_or_more(single: Schema, items: Schema | None = None) -> Schema:
    """The schema of a value that is fixed, or of a list of values that vary: its `items` may refer
    to the single value."""
    return {"anyOf": [single, {"type": "array", "items": items or single, "minItems": 1}]}


def references(record: type[Record]) -> Schema:
    """The fields of a record by references to their definitions."""
    return {field: {"$ref": f"#/$defs/{field}"} for field in grid_fields(record)}


def definitions(record: type[Record]) -> Schema:
    """The definition of each field of a record: description, default, one value or several."""
    found = {}
    schemas = record.model_json_schema()["properties"]
    for field in grid_fields(record):
        single = schemas[field]
        del single["title"]
        told = {"description": single.pop("description"), "default": single.pop("default", None)}
        if field in BY_RECIPE or told["default"] is None:
            del told["default"]
        if field == "variant":
            named = variants([name for model in MODELS.values() for name in model.variants])
            single = {"anyOf": [named, {"type": "string", "description": "of an own model"}]}
        found[field] = {**told, **one_or_more(single, {"$ref": f"#/$defs/{field}/anyOf/0"})}
    return found


def variants(names: list[str]) -> Schema:
    """The schema of one of some variants, which may be written as a number."""
    numbers = [int(name) for name in names if name.isdigit()]
    return {"enum": [*dict.fromkeys(names), *numbers]}


def variants_of(model: str) -> Schema:
    """The condition that a block of one model has variants of that model."""
    return {
        "if": {"properties": {"model": {"const": model}}, "required": ["model"]},
        "then": {"properties": {"variant": one_or_more(variants([*MODELS[model].variants]))}},
    }


def recipes() -> Schema:
    """The schema of own recipes."""
    fields = Recipe.model_json_schema()["properties"]
    for field in fields.values():
        del field["title"]
        field.pop("default", None)
    like = {"type": "string", "description": "the recipe that sets what is not given (paper)"}
    return {
        "description": "recipes of your own, by name",
        "type": "object",
        "additionalProperties": mapping({"like": like, **fields}, "settings of a training"),
    }


def resources() -> Schema:
    """The schema of what one trial may use."""
    fields = Resources.model_json_schema()["properties"]
    for field in fields.values():
        del field["title"]
    fields["gpu"]["maximum"] = 1
    return mapping(fields, "what one trial may use; in no key")


if __name__ == "__main__":
    text = json.dumps(json_schema(), indent=1)
    # lists without further structure on one line each
    print(re.sub(r"\[[^][{}]*\]", lambda found: " ".join(found[0].split()), text))
