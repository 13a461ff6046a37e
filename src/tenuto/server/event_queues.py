"""The engine's own event queues: what EVENT tasks publish to `conductor:` sinks, event handlers take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.model.json_values import Json

if TYPE_CHECKING:
    from tenuto.server.services import Services


class EventQueues:
    """The queues of one store."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def publish(self, queue: str, payload: dict[str, Json], *, message_id: str) -> None:
        """Put a message into a queue; it is on record when this returns. A known id is the same message again."""
