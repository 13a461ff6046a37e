"""Secrets, encrypted in the store, and environment variables, which are not."""

from __future__ import annotations

import logging

from msgspec import Struct

from tenuto.engine.clock import Clock
from tenuto.server.collection import Collection
from tenuto.server.vault import Unreadable, Vault
from tenuto.store.protocol import Store

logger = logging.getLogger("tenuto.server")


class StoredSecret(Struct, rename="camel"):
    """A secret as the store has it."""

    name: str
    sealed: bytes
    updated_by: str = ""
    update_time: int = 0


class Secrets:
    """The secrets of this store."""

    def __init__(self, store: Store, clock: Clock, vault: Vault) -> None:
        self.stored = Collection(store, clock, "secrets", StoredSecret)
        self.stored.changed = self._open
        self._vault = vault
        self._values: dict[str, tuple[bytes, str | None]] = {}

    def lookup(self, name: str) -> str | None:
        """The value of a secret, None if there is none (that this server can read)."""
        entry = self._values.get(name)
        return None if entry is None else entry[1]

    def readable(self, name: str) -> bool:
        """Whether a secret that is there was stored with the key that this server has."""
        return self.lookup(name) is not None

    async def put(self, name: str, value: str, by: str, now_ms: int) -> None:
        sealed = self._vault.seal(_sealed_name(name), value.encode())
        await self.stored.put(name, StoredSecret(name, sealed, by, now_ms))

    def _open(self) -> None:
        """Decrypt what is new."""
        before, self._values = self._values, {}
        for name, secret in self.stored.items():
            known = before.get(name)
            if known is None or known[0] != secret.sealed:
                known = (secret.sealed, self._opened(secret))
            self._values[name] = known

    def _opened(self, secret: StoredSecret) -> str | None:
        try:
            return self._vault.open(_sealed_name(secret.name), secret.sealed).decode()
        except Unreadable as error:
            logger.error("%s", error, extra={"action": "secret_unreadable"})
            return None


class Variable(Struct):
    """An environment variable."""

    name: str
    value: str


class Environment(Collection[Variable]):
    """The environment variables that definitions can name; never those of this process."""

    def __init__(self, store: Store, clock: Clock) -> None:
        super().__init__(store, clock, "environment", Variable)

    def lookup(self, name: str) -> str | None:
        variable = self.get(name)
        return None if variable is None else variable.value


def _sealed_name(name: str) -> str:
    return f"secret {name}"
