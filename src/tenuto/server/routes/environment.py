"""Environment variables that definitions can name."""

from __future__ import annotations

from starlette.responses import Response

from tenuto.server.collection import checked_name
from tenuto.server.errors import not_found
from tenuto.server.http import Call, empty, json_response, text_response
from tenuto.server.routes.tags import tag_routes
from tenuto.server.routing import Family, Text
from tenuto.server.secrets import Environment, Variable

environment = Family("Environment", "ENVIRONMENT")


@environment.get("/environment", answer=list[Variable])
async def variables(call: Call) -> Response:
    """All environment variables."""
    return json_response(_environment(call).all())


@environment.get("/environment/{key}", answer=Text)
async def get(call: Call) -> Response:
    """The value of an environment variable."""
    return text_response(_existing(call).value)


@environment.put("/environment/{key}", body=Text)
async def put(call: Call) -> Response:
    """Create or replace an environment variable; the body is its value."""
    name = checked_name(call.path_params["key"], "an environment variable")
    await _environment(call).put(name, Variable(name, await call.raw_text()))
    return empty()


@environment.delete("/environment/{key}")
async def delete(call: Call) -> Response:
    """Delete an environment variable."""
    name = _existing(call).name
    await _environment(call).delete(name)
    await call.services.configuration.tags.forget("ENVIRONMENT", name)
    return empty()


def _existing(call: Call) -> Variable:
    name = call.path_params["key"]
    variable = _environment(call).get(name)
    if variable is None:
        raise not_found(f"there is no environment variable {name!r}")
    return variable


def _must_exist(call: Call) -> None:
    _existing(call)


tag_routes(environment, "/environment/{key}/tags", "ENVIRONMENT", ("key",), must_exist=_must_exist)


def _environment(call: Call) -> Environment:
    return call.services.configuration.environment
