"""Tokens: given for an access key, and what they say."""

from __future__ import annotations

from msgspec import Struct
from starlette.responses import Response

from tenuto.server.errors import ApiError
from tenuto.server.http import Call, json_response
from tenuto.server.routing import Family

token = Family("Tokens", None)
caller = Family("Tokens", "")


class TokenRequest(Struct, rename="camel"):
    key_id: str
    key_secret: str


class Token(Struct, rename="camel"):
    token: str
    user_id: str


@token.post("/token", body=TokenRequest, answer=Token)
async def get_token(call: Call) -> Response:
    """A token for an access key, to send as X-Authorization; 404 while the server is open."""
    await call.services.fresh()
    directory = call.services.configuration.directory
    if directory.is_open:
        raise ApiError(404, "this server is open: there is no access key, and no token is needed")
    request = await call.decode(TokenRequest)
    key = directory.key_for(request.key_id, request.key_secret)
    if key is None:
        raise ApiError(401, "no active access key has this id and secret", code="INVALID_CREDENTIALS")
    known = directory.caller(key.id)
    return json_response(Token(call.services.gate.token_for(key), known.name if known else key.application_id))


@caller.get("/token/userInfo", answer=dict)
async def user_info(call: Call) -> Response:
    """Who the caller is, and what roles it has."""
    who = call.caller
    directory = call.services.configuration.directory
    return json_response(
        {
            "id": who.name,
            "name": who.name,
            "applicationUser": not directory.is_open,
            "roles": [directory.role_view(role) for role in who.roles],
            "groups": [],
            "grantedAccess": [
                {"target": {"type": kind, "id": name}, "access": sorted(access)}
                for (kind, name), access in sorted(who.grants.items())
            ],
        }
    )
