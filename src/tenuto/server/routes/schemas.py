"""The registry of schemas."""

from __future__ import annotations

from msgspec import Struct
from starlette.responses import Response

from tenuto.server.collection import checked_name, versioned
from tenuto.server.errors import ApiError, bad_request, not_found
from tenuto.server.http import Call, empty, json_response
from tenuto.server.routing import Family
from tenuto.server.schemas import Schema, Schemas

schemas = Family("Schemas", "SCHEMA")


class SaveQuery(Struct, rename="camel"):
    new_version: bool = False


@schemas.post("/schema", query=SaveQuery, body=Schema)
async def save(call: Call) -> Response:
    """Create or replace a version of a schema, or of several; `newVersion` always makes a new one."""
    given: Schema | list[Schema] = await call.decode(Schema | list[Schema])  # type: ignore[arg-type]
    query = call.query(SaveQuery)
    for schema in given if isinstance(given, list) else [given]:
        checked_name(schema.name, "a schema")
    for schema in given if isinstance(given, list) else [given]:
        await _save(call, schema, query.new_version)
    return empty()


async def _save(call: Call, schema: Schema, new_version: bool) -> None:
    schemas = _schemas(call)
    now, name = call.services.now_ms(), call.caller.name
    schema.create_time, schema.created_by, schema.update_time, schema.updated_by = now, name, now, name
    if not new_version:
        before = schemas.find(schema.name, schema.version)
        if before is not None:
            schema.create_time, schema.created_by = before.create_time, before.created_by
        await schemas.put(versioned(schema.name, schema.version), schema)
        return
    while True:
        latest = schemas.find(schema.name)
        schema.version = 1 if latest is None else latest.version + 1
        if await schemas.create(versioned(schema.name, schema.version), schema):
            return
        await schemas.refresh()


@schemas.get("/schema", answer=list[Schema])
async def everything(call: Call) -> Response:
    """All versions of all schemas."""
    return json_response(_schemas(call).all())


@schemas.get("/schema/{name}", answer=Schema)
async def latest(call: Call) -> Response:
    """The latest version of a schema."""
    return json_response(_existing(call, None))


@schemas.get("/schema/{name}/{version}", answer=Schema)
async def one_version(call: Call) -> Response:
    """One version of a schema."""
    return json_response(_existing(call, _version(call)))


@schemas.delete("/schema/{name}")
async def delete(call: Call) -> Response:
    """Delete all versions of a schema."""
    found = _schemas(call).versions(call.path_params["name"])
    if not found:
        raise _unknown(call)
    for schema in found:
        await _schemas(call).delete(versioned(schema.name, schema.version))
    return empty()


@schemas.delete("/schema/{name}/{version}")
async def delete_version(call: Call) -> Response:
    """Delete one version of a schema."""
    schema = _existing(call, _version(call))
    await _schemas(call).delete(versioned(schema.name, schema.version))
    return empty()


def _existing(call: Call, version: int | None) -> Schema:
    schema = _schemas(call).find(call.path_params["name"], version)
    if schema is None:
        raise _unknown(call)
    return schema


def _version(call: Call) -> int:
    text: str = call.path_params["version"]
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise bad_request(f"the version in the path must be a number, not {text!r}")
    return int(text)


def _unknown(call: Call) -> ApiError:
    version = call.path_params.get("version")
    return not_found(f"there is no schema {call.path_params['name']!r}" + (f" version {version}" if version else ""))


def _schemas(call: Call) -> Schemas:
    return call.services.configuration.schemas
