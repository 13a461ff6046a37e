"""Decides for each request who makes it, and whether it may be made."""

from __future__ import annotations

import secrets

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from msgspec import Struct

from tenuto.engine.clock import SECOND, Clock
from tenuto.model.errors import ConflictError
from tenuto.server.errors import ApiError
from tenuto.server.identity.access import AREAS, may, permission
from tenuto.server.identity.caller import ANYBODY, STRANGER, Caller
from tenuto.server.identity.directory import Directory
from tenuto.server.identity.records import AccessKey
from tenuto.server.routing import Route
from tenuto.server.tags import Tags
from tenuto.store.protocol import Document, Store

#: The header that carries a token.
HEADER = b"x-authorization"
ALGORITHM = "HS256"
#: Checked tokens that are remembered: to check a signature takes longer than most requests.
REMEMBERED = 10_000


class _Claims(Struct, frozen=True):
    key_id: str
    expires: int
    """In seconds since the epoch."""


class Gate:
    """Gives out tokens and checks them."""

    def __init__(self, store: Store, clock: Clock, directory: Directory, tags: Tags, token_ttl: int) -> None:
        self.directory = directory
        self._tags = tags
        self._store = store
        self._clock = clock
        self._token_ttl = token_ttl
        self._checked: dict[str, _Claims] = {}
        self._signing_key: OctKey

    async def open(self) -> None:
        """Read the key that tokens are signed with; all servers on a store share one."""
        found = await self._store.document("server", "token key")
        if found is None:
            key = Document("server", "token key", secrets.token_bytes(32), updated=self._clock.now())
            try:
                await self._store.put_document(key, expected=0)
                found = key
            except ConflictError:
                found = await self._store.document("server", "token key")
                assert found is not None
        self._signing_key = OctKey.import_key(found.data)

    def token_for(self, key: AccessKey) -> str:
        """A new token of an access key."""
        now = self._now()
        claims = {"sub": key.application_id, "key": key.id, "iat": now, "exp": now + self._token_ttl}
        return jwt.encode({"alg": ALGORITHM}, claims, self._signing_key)

    def identify(self, route: Route, token: str | None) -> Caller:
        """Who calls. Raises ApiError (401) where a good token is needed and there is none."""
        if self.directory.is_open:
            return ANYBODY
        return STRANGER if route.area is None else self._caller(token)

    def permits(self, caller: Caller, route: Route, path_params: dict[str, str]) -> bool:
        """Whether the caller may use a route, as far as the route and its path tell."""
        if not route.area or caller.has(permission(route.area, route.access)):
            return True
        if route.target is None:
            return False
        if route.target == "":
            kinds = {*AREAS[route.area], "TAG"}
            return any(kind in kinds for kind, _ in caller.grants)
        return self.may(caller, route.area, route.access, path_params[route.target])

    def may(self, caller: Caller, area: str, access: str, name: str) -> bool:
        """Whether a caller may do this with the target `name` of an area, by a role, a grant on it or on its tags."""
        if may(caller, area, access, name):
            return True
        if not any(kind == "TAG" for kind, _ in caller.grants):
            return False
        tags = [tag for kind in AREAS[area] for tag in self._tags.of(kind, name)]
        return any(caller.granted(access, "TAG", f"{tag.key}:{tag.value}") for tag in tags)

    def _caller(self, token: str | None) -> Caller:
        if not token:
            raise ApiError(401, "this server needs a token in X-Authorization; POST /api/token", code="INVALID_TOKEN")
        claims = self._checked.get(token) or self._check(token)
        if claims.expires <= self._now():
            self._checked.pop(token, None)
            raise ApiError(401, "the token has expired; get a new one with POST /api/token", code="EXPIRED_TOKEN")
        caller = self.directory.caller(claims.key_id)
        if caller is None:
            raise ApiError(401, "the access key of the token is not active any more", code="INVALID_TOKEN")
        return caller

    def _check(self, token: str) -> _Claims:
        try:
            decoded = jwt.decode(token, self._signing_key, algorithms=[ALGORITHM]).claims
            claims = _Claims(decoded["key"], int(decoded["exp"]))
        except (JoseError, KeyError, ValueError, TypeError):
            raise ApiError(401, "the token is not one of this server", code="INVALID_TOKEN") from None
        if len(self._checked) >= REMEMBERED:
            self._checked.clear()
        self._checked[token] = claims
        return claims

    def _now(self) -> int:
        return self._clock.now() // SECOND
