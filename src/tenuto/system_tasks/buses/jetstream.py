"""NATS JetStream: `jsm:<subject>` or `nats_stream:<subject>`, with `:<durable consumer>` after it if wanted.

A subject that no stream keeps gets a stream of its own, so that what is published is kept until it is taken.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable

import nats.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NoStreamResponseError, NotFoundError

from tenuto.system_tasks.buses.bus import BusError, Handler, Message
from tenuto.system_tasks.buses.nats import subject_and_group
from tenuto.system_tasks.buses.nats_connection import MESSAGE_ID, NatsConnection
from tenuto.system_tasks.buses.subscriber import Subscriber, redelivery_delay, taken
from tenuto.system_tasks.settings import BusSettings

_BATCH = 32
#: Seconds that one request for messages waits at the server, and at most for a server that died meanwhile.
_FETCH = 2.0


class JetStreamBus:
    """A `Bus` that keeps messages until they are acknowledged, and tells repeated ones for a while."""

    def __init__(self, settings: BusSettings) -> None:
        self._connection = NatsConnection(settings)
        self._group = settings.group

    async def publish(self, destination: str, message: Message) -> None:
        subject, _ = subject_and_group(destination, self._group)
        stream = await self._jetstream()
        headers = {**message.headers, MESSAGE_ID: message.id}
        try:
            try:
                await stream.publish(subject, message.payload, headers=headers)
            except NoStreamResponseError:
                await _stream_of(stream, subject)
                await stream.publish(subject, message.payload, headers=headers)
        except (OSError, TimeoutError, nats.errors.Error, JetStreamError) as error:
            raise BusError(f"JetStream subject {subject}: {error or type(error).__name__}") from None

    def subscribe(self, destination: str, handler: Handler) -> Subscriber:
        subject, durable = subject_and_group(destination, f"{self._group}-{_name(destination)}")
        source = f"jsm:{subject}"

        async def consume(connected: Callable[[], None]) -> None:
            jetstream = await self._jetstream()
            pull = await jetstream.pull_subscribe(subject, _name(durable), stream=await _stream_of(jetstream, subject))
            connected()
            try:
                while True:
                    try:
                        received = await pull.fetch(_BATCH, _FETCH)
                    except nats.errors.TimeoutError:
                        continue
                    await asyncio.gather(*(_deliver(source, handler, message) for message in received))
            finally:
                await pull.unsubscribe()

        return Subscriber(source, consume)

    async def aclose(self) -> None:
        await self._connection.aclose()

    async def _jetstream(self) -> JetStreamContext:
        return (await self._connection.get()).jetstream(timeout=self._connection.timeout)


async def _deliver(source: str, handler: Handler, received: Msg) -> None:
    headers = dict(received.headers or {})
    place = received.metadata.sequence.stream
    message_id = headers.pop(MESSAGE_ID, None) or f"{received.metadata.stream}:{place}"
    if await taken(source, handler, Message(message_id, received.data, headers)):
        await received.ack()
    else:
        await received.nak(redelivery_delay(received.metadata.num_delivered or 1))


async def _stream_of(jetstream: JetStreamContext, subject: str) -> str:
    """The stream that keeps `subject`; made if there is none."""
    try:
        return await jetstream.find_stream_name_by_subject(subject)
    except NotFoundError:
        name = _name(subject)
        await jetstream.add_stream(name=name, subjects=[subject])
        return name


def _name(text: str) -> str:
    """`text` as the name of a stream or consumer, in which NATS permits fewer characters. Different texts differ."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", text)
    return name if name == text else f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
