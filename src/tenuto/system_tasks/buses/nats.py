"""Core NATS: `nats:<subject>` or `nats:<subject>:<queue group>`.

Core NATS keeps no messages: one that nobody is subscribed to is gone, one that was delivered is not delivered again. A
handler that fails is therefore called again here, a few times.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable

import nats.errors

from tenuto.system_tasks.buses.bus import BusError, Handler, Message
from tenuto.system_tasks.buses.nats_connection import MESSAGE_ID, NatsConnection
from tenuto.system_tasks.buses.subscriber import Subscriber, redelivery_delay, taken
from tenuto.system_tasks.settings import BusSettings

_log = logging.getLogger(__name__)

_MOST_TRIES = 6


class NatsBus:
    """A `Bus` without memory."""

    def __init__(self, settings: BusSettings) -> None:
        self._connection = NatsConnection(settings)
        self._group = settings.group

    async def publish(self, destination: str, message: Message) -> None:
        subject, _ = subject_and_group(destination, self._group)
        client = await self._connection.get()
        try:
            await client.publish(subject, message.payload, headers={**message.headers, MESSAGE_ID: message.id})
            # The server's answer to the ping behind the message shows that it has the message.
            await client.flush(max(1, round(self._connection.timeout)))
        except (OSError, TimeoutError, nats.errors.Error) as error:
            raise BusError(f"NATS subject {subject}: {error or type(error).__name__}") from None

    def subscribe(self, destination: str, handler: Handler) -> Subscriber:
        subject, group = subject_and_group(destination, self._group)

        async def consume(connected: Callable[[], None]) -> None:
            client = await self._connection.get()
            subscription = await client.subscribe(subject, queue=group)
            try:
                await client.flush(max(1, round(self._connection.timeout)))
                connected()
                async for received in subscription.messages:
                    headers = dict(received.headers or {})
                    message_id = headers.pop(MESSAGE_ID, None) or str(uuid.uuid4())
                    await _insist(f"nats:{subject}", handler, Message(message_id, received.data, headers))
            finally:
                if not client.is_closed:
                    await subscription.unsubscribe()

        return Subscriber(f"nats:{subject}", consume)

    async def aclose(self) -> None:
        await self._connection.aclose()


async def _insist(source: str, handler: Handler, message: Message) -> None:
    for tries in range(_MOST_TRIES):
        if await taken(source, handler, message):
            return
        await asyncio.sleep(redelivery_delay(tries))
    _log.error("Message %s of %s is lost: it was not taken in %d tries", message.id, source, _MOST_TRIES)


def subject_and_group(destination: str, default_group: str) -> tuple[str, str]:
    """The two parts of `<subject>[:<queue group>]`. Raises BusError."""
    subject, _, group = destination.partition(":")
    if not subject or any(character.isspace() for character in destination) or ":" in group:
        raise BusError(f"{destination!r} is no NATS destination; write <subject> or <subject>:<queue group>")
    return subject, group or default_group
