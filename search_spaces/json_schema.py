"""JSON Schema of the search space: editors complete keys by it, and mark typos.

Pydantic makes the schema from the models. This file adds the meaning of each key, which stands as a text below its
field, and what pydantic cannot know: how distributions are spelt. Checks across keys stay with the loader.
"""

from __future__ import annotations

import inspect
import json
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaValue

from flyp_sweep.search_spaces.meanings import meanings, plain

DRAFT = "https://json-schema.org/draft/2020-12/schema"
FILE = "flyp-sweep.schema.json"
"""The name of the file that `flyp-sweep init` writes beside a search space."""
_SCALAR = {"type": ["number", "string", "boolean"]}
_BOUNDS = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
DISTRIBUTION: JsonSchemaValue = {
    "description": "a fixed value, or {loguniform: [low, high]}, {uniform: [low, high]}, {int: [low, high]}, "
    "{choice: [a, b]}",
    "anyOf": [
        _SCALAR,
        *(
            {"type": "object", "properties": {kind: held}, "required": [kind], "additionalProperties": False}
            for kind, held in {
                "loguniform": {**_BOUNDS, "items": {"type": "number", "exclusiveMinimum": 0}},
                "uniform": _BOUNDS,
                "int": {**_BOUNDS, "items": {"type": "integer"}},
                "choice": {"type": "array", "items": _SCALAR, "minItems": 1},
            }.items()
        ),
    ],
}
"""What `distributions.parse` reads."""


def schema() -> str:
    """The JSON Schema of a search space, as text."""
    from flyp_sweep.search_spaces.model import SearchSpace

    made = {"$schema": DRAFT, **SearchSpace.model_json_schema(), "title": "flyp-sweep search space"}
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def described(model: type[BaseModel], made: JsonSchemaValue) -> JsonSchemaValue:
    """The schema of `model` with what each key means, and then which values it takes, as its description."""
    told = meanings(model)
    for name, field in model.model_fields.items():
        key: dict[str, Any] = made["properties"][field.alias or name]
        key.pop("title", None)
        texts = [plain(told[name])] if name in told else []
        if field.description is not None:
            texts.append(f"Value: {field.description}." if texts else field.description)
        if texts:
            key["description"] = " ".join(texts)
    if model.__doc__:
        made["description"] = inspect.cleandoc(model.__doc__)
    return made


def name_is_optional(made: JsonSchemaValue) -> None:
    """Take `name` out of the required keys: a reader makes it from its other keys."""
    made["required"] = [key for key in made["required"] if key != "name"]
