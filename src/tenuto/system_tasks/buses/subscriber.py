"""The subscription that all buses use: consume, and after a failure connect again, with back-off."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from tenuto.system_tasks.buses.bus import Handler, Message

_log = logging.getLogger(__name__)

_FIRST_DELAY = 0.2
_LONGEST_DELAY = 30.0

Consume: TypeAlias = Callable[[Callable[[], None]], Awaitable[None]]
"""Connects, calls its argument, and hands out messages until the connection is lost."""


class Subscriber:
    """A `Subscription`. Its task runs until `aclose`; what goes wrong is logged and shown as `failure`."""

    def __init__(self, source: str, consume: Consume) -> None:
        """`source`: what is consumed, for texts."""
        self.failure: str | None = f"not connected to {source} yet"
        self._source = source
        self._consume = consume
        self._closing = False
        self._ready = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"subscription to {source}")

    async def ready(self) -> None:
        await self._ready.wait()

    async def aclose(self) -> None:
        self._closing = True
        while not self._task.done():  # brokers' clients may swallow a cancellation
            self._task.cancel()
            await asyncio.wait([self._task], timeout=0.5)

    def _connected(self) -> None:
        self.failure = None
        self._ready.set()

    async def _run(self) -> None:
        delay = _FIRST_DELAY
        while not self._closing:
            began = time.monotonic()
            try:
                await self._consume(self._connected)
                reason = "the connection was closed"
            except Exception as error:  # noqa: BLE001 - a broker's client may raise anything; the subscription goes on
                reason = str(error) or type(error).__name__
            self._ready.clear()
            self.failure = f"{self._source}: {reason}"
            _log.warning("No messages from %s for now: %s. Connecting again in %.1f s", self._source, reason, delay)
            if time.monotonic() - began > _LONGEST_DELAY:
                delay = _FIRST_DELAY
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)


async def taken(source: str, handler: Handler, message: Message) -> bool:
    """Whether `handler` took the message; a failure is logged."""
    try:
        await handler(message)
    except Exception as error:  # noqa: BLE001 - whatever the handler's reason is, the message must come again
        _log.warning(
            "Message %s of %s was not taken and will come again: %s: %s",
            message.id,
            source,
            type(error).__name__,
            error,
        )
        return False
    return True


def redelivery_delay(deliveries: int) -> float:
    """Seconds after which a message that was not taken comes again, when it has come `deliveries` times."""
    return min(_FIRST_DELAY * 2.0 ** min(deliveries, 16), _LONGEST_DELAY)
