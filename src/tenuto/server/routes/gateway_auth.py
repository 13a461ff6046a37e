"""How gateways in front of the server authenticate: kept for them, not acted upon here."""

from __future__ import annotations

from starlette.responses import Response

from tenuto.server.collection import Collection, checked_name
from tenuto.server.errors import conflict, not_found
from tenuto.server.http import Call, empty, json_response, text_response
from tenuto.server.identity.records import GatewayAuth
from tenuto.server.routing import Family, Text

gateway_auth = Family("Gateway", "ADMIN")


@gateway_auth.post("/gateway/config/auth", body=GatewayAuth, answer=Text)
async def create(call: Call) -> Response:
    """Create a configuration; answers its id."""
    config = await call.decode(GatewayAuth)
    config.id = checked_name(config.id or call.services.new_id(), "a configuration")
    config.created_by = config.updated_by = call.caller.name
    if not await _stored(call).create(config.id, config):
        raise conflict(f"there is a configuration {config.id!r} already")
    return text_response(config.id)


@gateway_auth.get("/gateway/config/auth", answer=list[GatewayAuth])
async def everything(call: Call) -> Response:
    """All configurations."""
    return json_response(_stored(call).all())


@gateway_auth.get("/gateway/config/auth/{id}", answer=GatewayAuth)
async def get(call: Call) -> Response:
    """One configuration."""
    return json_response(_existing(call))


@gateway_auth.put("/gateway/config/auth/{id}", body=GatewayAuth)
async def update(call: Call) -> Response:
    """Replace a configuration."""
    before, config = _existing(call), await call.decode(GatewayAuth)
    config.id, config.created_by, config.updated_by = before.id, before.created_by, call.caller.name
    await _stored(call).put(config.id, config)
    return empty()


@gateway_auth.delete("/gateway/config/auth/{id}")
async def delete(call: Call) -> Response:
    """Delete a configuration."""
    await _stored(call).delete(_existing(call).id)
    return empty()


def _existing(call: Call) -> GatewayAuth:
    config = _stored(call).get(call.path_params["id"])
    if config is None:
        raise not_found(f"there is no configuration {call.path_params['id']!r}")
    return config


def _stored(call: Call) -> Collection[GatewayAuth]:
    return call.services.configuration.gateway_auth
