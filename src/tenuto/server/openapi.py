"""The OpenAPI document, made of the routes as they are declared."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct

from tenuto import __version__
from tenuto.server.routing import Route, Text

JsonSchema = dict[str, Any]

_REFERENCE = "#/components/schemas/{name}"
_NAMES = re.compile(r"\{(\w+)\}")


class ValidationError(Struct, rename="camel"):
    """One thing that is wrong with a document."""

    path: str
    message: str
    invalid_value: Any = None


class Error(Struct, rename="camel", omit_defaults=True):
    """Why a request could not be done."""

    status: int
    message: str
    instance: str
    retryable: bool
    error: str | None = None
    validation_errors: list[ValidationError] = []


def document(routes: Sequence[Route]) -> JsonSchema:
    """The OpenAPI 3.1 document of these routes."""
    types = [kind for route in routes for kind in (route.query, route.body, route.answer) if _has_schema(kind)]
    unique = list(dict.fromkeys([*types, Error]))
    schemas, components = msgspec.json.schema_components(unique, schema_hook=_unknown, ref_template=_REFERENCE)
    by_type = dict(zip(unique, schemas, strict=True))
    queries = {by_type[route.query]["$ref"].rpartition("/")[2] for route in routes if route.query is not None}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_type, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tenuto",
            "version": __version__,
            "description": "Durable workflows over the REST API of the Conductor workflow server.",
        },
        "tags": [{"name": name} for name in dict.fromkeys(route.family for route in routes)],
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in components.items() if name not in queries},
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Authorization"}},
        },
    }


def _unknown(kind: type) -> JsonSchema:
    """The schema of a type that has none: it may be anything."""
    return {"description": "any JSON"}


def _has_schema(kind: Any) -> bool:
    return kind is not None and kind is not Text


def _operation(route: Route, by_type: dict[Any, JsonSchema], components: dict[str, JsonSchema]) -> JsonSchema:
    operation: JsonSchema = {
        "operationId": f"{route.method.lower()}{route.path.replace('{', 'by_').replace('}', '').replace('/', '_')}",
        "summary": route.summary,
        "tags": [route.family],
        "parameters": _parameters(route, by_type, components),
        "responses": {
            str(route.status): {
                "description": HTTPStatus(route.status).phrase,
                **_content(route.answer, by_type),
            },
            "default": {"description": "What went wrong", **_content(Error, by_type)},
        },
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, **_content(route.body, by_type)}
    if route.area is not None:
        operation["security"] = [{}, {"token": []}]
    return operation


def _parameters(route: Route, by_type: dict[Any, JsonSchema], components: dict[str, JsonSchema]) -> list[JsonSchema]:
    found: list[JsonSchema] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _NAMES.findall(route.path)
    ]
    if route.query is not None:
        schema = components[by_type[route.query]["$ref"].rpartition("/")[2]]
        required = schema.get("required", ())
        found += [
            {"name": name, "in": "query", "required": name in required, "schema": field}
            for name, field in schema["properties"].items()
        ]
    return found


def _content(kind: Any, by_type: dict[Any, JsonSchema]) -> JsonSchema:
    if kind is None:
        return {}
    if kind is Text:
        return {"content": {"text/plain": {"schema": {"type": "string"}}}}
    return {"content": {"application/json": {"schema": by_type[kind]}}}
