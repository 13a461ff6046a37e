"""Integrations: providers of models and other services, and what each offers. Configuration only; what they hold may be
a key, so it is encrypted in the store and masked when it is shown."""

from __future__ import annotations

import logging
from typing import Any, Literal

from msgspec import Struct, field

from tenuto.engine.clock import Clock
from tenuto.model.json_values import decode_json, encode_json
from tenuto.server.collection import SEPARATOR, Collection, key_of
from tenuto.server.vault import Unreadable, Vault
from tenuto.store.protocol import Store

logger = logging.getLogger("tenuto.server")

Category = Literal["API", "AI_MODEL", "VECTOR_DB", "RELATIONAL_DB"]

MASK = "********"
_SECRET_WORDS = ("key", "secret", "password", "token", "credential")


class Provider(Struct, rename="camel", kw_only=True):
    """A provider, as stored."""

    name: str
    type: str = ""
    category: Category = "API"
    description: str = ""
    enabled: bool = True
    sealed: bytes = b""
    created_by: str = ""
    created_on: int = 0
    updated_by: str = ""
    updated_on: int = 0


class Offer(Struct, rename="camel", kw_only=True):
    """One model or other API of a provider, as stored."""

    integration_name: str
    api: str
    description: str = ""
    enabled: bool = True
    max_tokens: int | None = None
    frequency: str | None = None
    sealed: bytes = b""
    prompts: list[str] = field(default_factory=list)
    tokens_used: int = 0
    created_by: str = ""
    created_on: int = 0
    updated_by: str = ""
    updated_on: int = 0


class Integrations:
    """All providers and what they offer."""

    def __init__(self, store: Store, clock: Clock, vault: Vault) -> None:
        self.providers = Collection(store, clock, "integration_providers", Provider)
        self.offers = Collection(store, clock, "integration_apis", Offer)
        self._vault = vault

    @property
    def collections(self) -> list[Collection[Any]]:
        return [self.providers, self.offers]

    def offers_of(self, provider: str) -> list[Offer]:
        return self.offers.all(provider + SEPARATOR)

    def seal(self, name: str, configuration: dict[str, Any]) -> bytes:
        return self._vault.seal(f"integration {name}", encode_json(configuration))

    def configuration(self, name: str, sealed: bytes) -> dict[str, Any]:
        """The configuration of a provider, or of an offer (named provider, separator, offer)."""
        if not sealed:
            return {}
        try:
            value = decode_json(self._vault.open(f"integration {name}", sealed))
        except Unreadable as error:
            logger.error("%s", error, extra={"action": "integration_unreadable"})
            return {}
        return value if isinstance(value, dict) else {}

    async def remove(self, provider: str) -> bool:
        """Delete a provider with all it offers; False if there is none."""
        for offer in self.offers_of(provider):
            await self.offers.delete(key_of(provider, offer.api))
        return await self.providers.delete(provider)


def masked(configuration: dict[str, Any]) -> dict[str, Any]:
    """A configuration as it is shown."""
    return {name: MASK if _is_secret(name) and value else value for name, value in configuration.items()}


def unmasked(configuration: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """A configuration as it is saved: whoever sends a mask back means what was there."""
    return {
        name: before.get(name, value) if value == MASK and _is_secret(name) else value
        for name, value in configuration.items()
    }


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET_WORDS)
