"""Everybody who may call, and what each may do: applications, keys, users, groups, roles and grants."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Any

from tenuto.engine.clock import Clock
from tenuto.server.collection import Collection
from tenuto.server.identity.access import ACCESSES, AREAS, SYSTEM_ROLES, permission
from tenuto.server.identity.caller import Caller
from tenuto.server.identity.records import APPLICATION_USER, AccessKey, Application, Grant, Group, Role, User
from tenuto.server.settings import SettingsError
from tenuto.store.protocol import Store

#: The id under which the key of the setting `admin_key` acts.
CONFIGURED_ADMIN = "configured admin"


class Directory:
    """What is stored about callers. What a caller may do is worked out once, and anew after every change."""

    def __init__(self, store: Store, clock: Clock, admin_key: str) -> None:
        self.applications = Collection(store, clock, "applications", Application)
        self.keys = Collection(store, clock, "access_keys", AccessKey)
        self.users = Collection(store, clock, "users", User)
        self.groups = Collection(store, clock, "groups", Group)
        self.roles = Collection(store, clock, "roles", Role)
        self.grants = Collection(store, clock, "grants", Grant)
        self._callers: dict[str, Caller | None] = {}
        self._admin_key = _configured(admin_key)
        for collection in self.collections:
            collection.changed = self._callers.clear

    @property
    def collections(self) -> list[Collection[Any]]:
        return [self.applications, self.keys, self.users, self.groups, self.roles, self.grants]

    @property
    def is_open(self) -> bool:
        """Whether there is no access key, so that everybody may do everything."""
        return not len(self.keys) and self._admin_key is None

    def key(self, key_id: str) -> AccessKey | None:
        """An access key, also the configured one."""
        if self._admin_key is not None and key_id == self._admin_key.id:
            return self._admin_key
        return self.keys.get(key_id)

    def key_for(self, key_id: str, secret: str) -> AccessKey | None:
        """The active access key of this id, if `secret` is its own."""
        key = self.key(key_id)
        expected = b"" if key is None else key.secret_hash
        if not hmac.compare_digest(expected, hash_of(secret)) or key is None or key.status != "ACTIVE":
            return None
        return key

    def caller(self, key_id: str) -> Caller | None:
        """Who calls with this key; None if it is not active (any more)."""
        if key_id not in self._callers:
            self._callers[key_id] = self._caller(key_id)
        return self._callers[key_id]

    def _caller(self, key_id: str) -> Caller | None:
        key = self.key(key_id)
        if key is None or key.status != "ACTIVE":
            return None
        if key.application_id == CONFIGURED_ADMIN:
            return Caller(CONFIGURED_ADMIN, unlimited=True, roles=("ADMIN",))
        application = self.applications.get(key.application_id)
        return None if application is None else self.caller_of(application)

    def caller_of(self, application: Application) -> Caller:
        """What an application may do."""
        return self._as_caller(APPLICATION_USER + application.id, application.roles, application.groups)

    def _as_caller(self, name: str, own_roles: list[str], own_groups: list[str]) -> Caller:
        groups = [group for group_id in own_groups if (group := self.groups.get(group_id)) is not None]
        roles = _union([own_roles, *(group.roles for group in groups)])
        return Caller(
            name,
            unlimited="ADMIN" in roles,
            permissions=frozenset().union(*(self.permissions(role) for role in roles)),
            grants=self._granted(name, [group.id for group in groups], roles),
            roles=tuple(roles),
        )

    def permissions(self, role: str) -> frozenset[str]:
        """What a role gives; nothing if there is no such role."""
        if role in SYSTEM_ROLES:
            return SYSTEM_ROLES[role]
        custom = self.roles.get(role)
        return frozenset(custom.permissions) if custom else frozenset()

    def has_role(self, name: str) -> bool:
        return name in SYSTEM_ROLES or self.roles.get(name) is not None

    def granted(self, type: str, id: str) -> list[Grant]:
        """The grants of one subject."""
        return [grant for grant in self.grants.all() if (grant.subject.type, grant.subject.id) == (type, id)]

    def accesses(self, user: User, kind: str, name: str) -> set[str]:
        """What a user may do with one target, by its roles, its groups and its grants."""
        caller = self._as_caller(user.id, user.roles, user.groups)
        if caller.unlimited:
            return set(ACCESSES)
        areas = [area for area, kinds in AREAS.items() if kind in kinds]
        by_role = {access for access in ACCESSES if any(caller.has(permission(area, access)) for area in areas)}
        return by_role | set(caller.grants.get((kind, name), ()))

    @property
    def has_admin(self) -> bool:
        """Whether there is an active key whose caller may do everything."""
        keys = [key.id for key in self.keys.all()] + ([self._admin_key.id] if self._admin_key else [])
        return any(caller.unlimited for key in keys if (caller := self.caller(key)) is not None)

    def role_view(self, name: str) -> dict[str, Any]:
        """A role as it is shown."""
        return {"name": name, "permissions": [{"name": permission} for permission in sorted(self.permissions(name))]}

    async def forget(self, type: str, id: str) -> None:
        """A subject is deleted: so is what it was granted."""
        for key, grant in list(self.grants.items()):
            if (grant.subject.type, grant.subject.id) == (type, id):
                await self.grants.delete(key)

    def _granted(self, user: str, groups: list[str], roles: Iterable[str]) -> dict[tuple[str, str], set[str]]:
        subjects = {("USER", user), *(("GROUP", group) for group in groups), *(("ROLE", role) for role in roles)}
        found: dict[tuple[str, str], set[str]] = {}
        for grant in self.grants.all():
            if (grant.subject.type, grant.subject.id) in subjects:
                found.setdefault((grant.target.type, grant.target.id), set()).update(grant.access)
        return found


def hash_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _configured(admin_key: str) -> AccessKey | None:
    if not admin_key:
        return None
    key_id, _, secret = admin_key.partition(":")
    if not key_id or not secret:
        raise SettingsError("admin_key is no access key: an id, a colon and a secret are expected")
    return AccessKey(id=key_id, application_id=CONFIGURED_ADMIN, secret_hash=hash_of(secret))


def _union(lists: list[list[str]]) -> list[str]:
    return list(dict.fromkeys(item for items in lists for item in items))
