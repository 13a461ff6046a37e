"""Who makes a request, as the rest of the server sees it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import Struct


class Caller(Struct, frozen=True, eq=False):
    """A caller and what it may do.

    `permissions` are those of its roles (see `identity.access`), `grants` the accesses to single targets by (kind,
    name)."""

    name: str
    unlimited: bool = False
    permissions: Collection[str] = frozenset()
    grants: Mapping[tuple[str, str], Collection[str]] = {}
    roles: Collection[str] = frozenset()

    def has(self, permission: str) -> bool:
        return self.unlimited or permission in self.permissions

    def covers(self, other: Caller) -> bool:
        """Whether this caller may do all that the other may by its roles: only then may it act as the other."""
        return self.unlimited or (not other.unlimited and set(other.permissions) <= set(self.permissions))

    def granted(self, access: str, kind: str, name: str) -> bool:
        """Whether there is a grant for this target."""
        return access in self.grants.get((kind, name), ())


#: Whoever calls while the server is open.
ANYBODY = Caller("anonymous", unlimited=True)

#: Whoever calls what is open to everybody on a server that is not.
STRANGER = Caller("anonymous")
