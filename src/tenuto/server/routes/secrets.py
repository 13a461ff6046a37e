"""Secrets: put, looked at by those who may, never shown elsewhere."""

from __future__ import annotations

import re

from msgspec import Struct
from starlette.responses import Response

from tenuto.server.errors import ApiError, bad_request, conflict, not_found
from tenuto.server.http import Call, empty, json_response, text_response
from tenuto.server.routes.tags import tag_routes
from tenuto.server.routing import Family, Text
from tenuto.server.secrets import Secrets
from tenuto.server.tags import Tag

secrets = Family("Secrets", "SECRET")

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,255}")


class SecretName(Struct):
    name: str
    tags: list[Tag] = []


@secrets.post("/secrets", answer=list[str], access="READ", target="")
async def names(call: Call) -> Response:
    """The names of all secrets."""
    return json_response(_names(call))


@secrets.get("/secrets", answer=list[str], target="")
async def usable_names(call: Call) -> Response:
    """The names of the secrets that the caller may give access to."""
    return json_response(_names(call))


@secrets.get("/secrets-v2", answer=list[SecretName], target="")
@secrets.get("/secrets/v2", answer=list[SecretName], target="")
async def names_with_tags(call: Call) -> Response:
    """The names of all secrets, with their tags."""
    tags = call.services.configuration.tags
    return json_response([SecretName(name, tags.of("SECRET_NAME", name)) for name in _names(call)])


@secrets.get("/secrets/{key}", answer=Text, target="key")
async def get(call: Call) -> Response:
    """The value of a secret."""
    name = _existing(call)
    value = _secrets(call).lookup(name)
    if value is None:
        raise conflict(f"the secret {name!r} was stored with another secrets_key and can't be read; put it again")
    return text_response(value)


@secrets.put("/secrets/{key}", body=Text, target="key")
async def put(call: Call) -> Response:
    """Create or replace a secret; the body is its value."""
    name = call.path_params["key"]
    if not _NAME.fullmatch(name):
        raise bad_request(f"a secret can't be named {name!r}: letters, digits, _ and - are possible, at most 255")
    await _secrets(call).put(name, await call.raw_text(), call.caller.name, call.services.now_ms())
    return empty()


@secrets.delete("/secrets/{key}", target="key")
async def delete(call: Call) -> Response:
    """Delete a secret."""
    name = call.path_params["key"]
    if not await _secrets(call).stored.delete(name):
        raise _unknown(name)
    await call.services.configuration.tags.forget("SECRET_NAME", name)
    return empty()


@secrets.get("/secrets/{key}/exists", answer=bool, target="key")
async def exists(call: Call) -> Response:
    """Whether there is a secret of this name."""
    return json_response(_secrets(call).stored.get(call.path_params["key"]) is not None)


def _existing(call: Call) -> str:
    name: str = call.path_params["key"]
    if _secrets(call).stored.get(name) is None:
        raise _unknown(name)
    return name


def _must_exist(call: Call) -> None:
    _existing(call)


tag_routes(secrets, "/secrets/{key}/tags", "SECRET_NAME", ("key",), must_exist=_must_exist)


def _unknown(name: str) -> ApiError:
    return not_found(f"there is no secret {name!r}")


def _names(call: Call) -> list[str]:
    return [name for name, _ in _secrets(call).stored.items() if call.may("SECRET", "READ", name)]


def _secrets(call: Call) -> Secrets:
    return call.services.configuration.secrets
