"""AMQP 0.9.1, as RabbitMQ speaks it: `amqp_queue:<name>`, `amqp_exchange:<name>`. What is missing is declared."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import AMQPError, DeliveryError

from tenuto.system_tasks.buses.amqp_destination import AmqpDestination, parse_destination
from tenuto.system_tasks.buses.bus import BusError, Handler, Message
from tenuto.system_tasks.buses.shared import Shared
from tenuto.system_tasks.buses.subscriber import Subscriber, redelivery_delay, taken
from tenuto.system_tasks.settings import BusSettings

#: Messages that a subscription takes at a time.
_PREFETCH = 32


class AmqpBus:
    """A `Bus` over queues, or over exchanges. The broker confirms what is published."""

    def __init__(self, kind: Literal["queue", "exchange"], settings: BusSettings) -> None:
        self._kind = kind
        self._settings = settings
        self._publisher = Shared(self._open, _close, lambda opened: not opened[1].is_closed)

    async def publish(self, destination: str, message: Message) -> None:
        where = parse_destination(self._kind, destination)
        body = aio_pika.Message(
            message.payload,
            message_id=message.id,
            headers=dict(message.headers),
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode(2 if where.persistent else 1),
        )
        try:
            async with asyncio.timeout(self._settings.timeout):
                _, channel = await self._publisher.get()
                if where.kind == "queue":
                    await _queue(channel, where)
                    await channel.default_exchange.publish(body, where.name, mandatory=True)
                else:
                    exchange = await _exchange(channel, where)
                    # Not mandatory: an exchange without queues is one that nobody listens to at present.
                    await exchange.publish(body, where.routing_key, mandatory=False)
        except (OSError, TimeoutError, AMQPError, DeliveryError) as error:
            reason = str(error) or f"not accepted within {self._settings.timeout:g} s"
            raise BusError(f"AMQP {where.kind} {where.name}: {reason}") from None

    def subscribe(self, destination: str, handler: Handler) -> Subscriber:
        where = parse_destination(self._kind, destination)
        source = f"amqp_{where.kind}:{where.name}"

        async def deliver(received: AbstractIncomingMessage) -> None:
            headers = {name: str(value) for name, value in received.headers.items()}
            message_id = received.message_id or f"{where.name}:{received.delivery_tag}"
            if await taken(source, handler, Message(message_id, received.body, headers)):
                await received.ack()
            else:
                await asyncio.sleep(redelivery_delay(2 if received.redelivered else 1))
                await received.nack(requeue=True)

        async def consume(connected: Callable[[], None]) -> None:
            async with asyncio.timeout(self._settings.timeout):
                connection, channel = await self._open()
            try:
                async with asyncio.timeout(self._settings.timeout):
                    lost = await _loss(channel)
                    await channel.set_qos(prefetch_count=_PREFETCH)
                    queue = await _queue_to_consume(channel, where)
                    await queue.consume(deliver)
                connected()
                await lost.wait()
            finally:
                await connection.close()

        return Subscriber(source, consume)

    async def aclose(self) -> None:
        await self._publisher.aclose()

    async def _open(self) -> tuple[AbstractConnection, AbstractChannel]:
        connection = await aio_pika.connect(self._settings.amqp.url, timeout=self._settings.timeout)
        return connection, await connection.channel(publisher_confirms=True, on_return_raises=True)


async def _loss(channel: AbstractChannel) -> asyncio.Event:
    """Set once nothing can come through `channel` any more: it was closed, or the broker has dropped its consumer, as
    it does when somebody deletes the queue."""
    lost = asyncio.Event()
    channel.close_callbacks.add(lambda *_: lost.set())
    (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(lambda _: lost.set())
    return lost


async def _queue(channel: AbstractChannel, where: AmqpDestination) -> AbstractQueue:
    return await channel.declare_queue(
        where.name,
        durable=where.durable,
        auto_delete=where.auto_delete,
        exclusive=where.exclusive,
        arguments=None if where.max_priority is None else {"x-max-priority": where.max_priority},
    )


async def _exchange(channel: AbstractChannel, where: AmqpDestination) -> AbstractExchange:
    return await channel.declare_exchange(
        where.name, where.exchange_type, durable=where.durable, auto_delete=where.auto_delete
    )


async def _queue_to_consume(channel: AbstractChannel, where: AmqpDestination) -> AbstractQueue:
    if where.kind == "queue":
        return await _queue(channel, where)
    exchange = await _exchange(channel, where)
    queue = await channel.declare_queue(where.bind_queue, durable=where.durable)
    await queue.bind(exchange, where.routing_key or ("#" if where.exchange_type == "topic" else ""))
    return queue


async def _close(opened: tuple[AbstractConnection, AbstractChannel]) -> None:
    await opened[0].close()
