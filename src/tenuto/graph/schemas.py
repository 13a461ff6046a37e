"""Inputs and outputs checked against the schemas of their definitions."""

from __future__ import annotations

from functools import lru_cache

import jsonschema_rs

from tenuto.graph.context import Definitions
from tenuto.graph.definitions import SchemaDef, WorkflowDef
from tenuto.model.json_values import Json, decode_json, encode_json

#: Characters of a problem that are told.
LONGEST = 300


class BadSchema(Exception):
    """The schema itself is none."""


def problem(schema: SchemaDef, value: Json, definitions: Definitions) -> str:
    """What is wrong with `value`, with the path in it; empty if nothing is. A schema without data is looked up by its
    name; one that can't be applied counts as a problem. Only JSON Schema is checked, no other type."""
    if schema.type != "JSON":
        return ""
    data = schema.data if schema.data is not None else definitions.schema(schema.name, schema.version)
    if data is None:
        return f"there is no schema {schema.name!r} version {schema.version}"
    try:
        validator = _validator(encode_json(data))
    except BadSchema as error:
        return f"the schema {schema.name!r} can't be used: {error}"
    first = next(iter(validator.iter_errors(value)), None)
    if first is None:
        return ""
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first.instance_path)
    message = first.message if len(first.message) <= LONGEST else first.message[:LONGEST] + "..."
    return f"{message} (at ${path})"


def input_problem(definition: WorkflowDef, input: dict[str, Json], definitions: Definitions) -> str:
    """What is wrong with the input of a workflow; empty if nothing is."""
    if not definition.enforce_schema or definition.input_schema is None:
        return ""
    found = problem(definition.input_schema, definition.input_template | input, definitions)
    return found and f"the input of {definition.name} is not what its inputSchema allows: {found}"


@lru_cache(maxsize=256)
def _validator(data: bytes) -> jsonschema_rs.Validator:
    try:
        return jsonschema_rs.validator_for(decode_json(data), retriever=_refuse)
    except (ValueError, jsonschema_rs.ValidationError) as error:
        raise BadSchema(str(error)[:LONGEST]) from None


def _refuse(uri: str) -> Json:
    raise ValueError(f"{uri}: schemas can't refer to other documents")
