"""Configurations of event queues, as clients store them; encrypted, because they hold credentials."""

from __future__ import annotations

from msgspec import Struct

from tenuto.engine.clock import Clock
from tenuto.model.json_values import Json, decode_json, encode_json
from tenuto.server.collection import Collection, key_of
from tenuto.server.vault import Unreadable, Vault
from tenuto.store.protocol import Store


class QueueConfig(Struct, rename="camel", kw_only=True):
    """As stored; `sealed` is the JSON that was given."""

    queue_type: str
    queue_name: str
    sealed: bytes


class QueueConfigs(Collection[QueueConfig]):
    """The configurations, by type and name of the queue."""

    def __init__(self, store: Store, clock: Clock, vault: Vault) -> None:
        super().__init__(store, clock, "event_queue_configs", QueueConfig)
        self._vault = vault

    async def save(self, queue_type: str, queue_name: str, value: Json) -> None:
        key = key_of(queue_type, queue_name)
        sealed = self._vault.seal(f"event queue {key}", encode_json(value))
        await self.put(key, QueueConfig(queue_type=queue_type, queue_name=queue_name, sealed=sealed))

    def value(self, queue_type: str, queue_name: str) -> Json:
        """What was given; None if there is nothing (that this server can read)."""
        key = key_of(queue_type, queue_name)
        config = self.get(key)
        if config is None:
            return None
        try:
            return decode_json(self._vault.open(f"event queue {key}", config.sealed))
        except Unreadable:
            return None
