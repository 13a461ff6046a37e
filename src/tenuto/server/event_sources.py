"""Subscriptions to the buses that active event handlers want messages of."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from tenuto.system_tasks.buses.bus import Message, Subscription

if TYPE_CHECKING:
    from tenuto.server.services import Services

logger = logging.getLogger("tenuto.events")

#: Seconds after which a source that could not be read is tried again.
AGAIN = 60.0

Received = Callable[[str, Message], Awaitable[None]]


class EventSources:
    """Keeps the subscriptions in step with the handlers."""

    def __init__(self, services: Services, received: Received) -> None:
        self._services = services
        self._received = received
        self._subscriptions: dict[str, Subscription] = {}
        self._refused: dict[str, str] = {}
        self._changed = asyncio.Event()

    def look_again(self) -> None:
        """The handlers have changed."""
        self._changed.set()

    def subscribed(self) -> set[str]:
        """The queues of buses that are listened to."""
        return set(self._subscriptions)

    def problem(self, event: str) -> str | None:
        """Why no messages come from a queue at present; None while they can, or nobody wants them."""
        subscription = self._subscriptions.get(event)
        return self._refused.get(event) if subscription is None else subscription.failure

    async def follow(self) -> None:
        """Subscribe to what is wanted, for ever."""
        try:
            while True:
                self._changed.clear()
                await self._adjust()
                try:
                    async with asyncio.timeout(AGAIN if self._refused else None):
                        await self._changed.wait()
                except TimeoutError:
                    continue
        finally:
            for subscription in self._subscriptions.values():
                await subscription.aclose()
            self._subscriptions.clear()

    async def _adjust(self) -> None:
        wanted = self._services.configuration.event_handlers.sources()
        for event in [event for event in self._subscriptions if event not in wanted]:
            await self._subscriptions.pop(event).aclose()
        self._refused.clear()
        for event in sorted(wanted - self._subscriptions.keys()):
            try:
                self._subscriptions[event] = self._services.system_tasks.buses.subscribe(
                    event, partial(self._received, event)
                )
            except Exception as error:  # noqa: BLE001 - BusError, or whatever a broker's client makes of its settings
                self._refused[event] = str(error) or type(error).__name__
                logger.error("no messages from %s: %s", event, self._refused[event])
