"""The JSON schema of a grid file, for editors:
`python -m rotgrid.grid.schema > grids/schema.json`."""

import json
from typing import Any

from rotgrid.grid import Resources
from rotgrid.spec import Probe, Record, Trial


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
