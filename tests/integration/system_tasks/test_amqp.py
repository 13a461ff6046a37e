"""AMQP against a real RabbitMQ, where it is installed (Debian: rabbitmq-server)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aio_pika
import pytest

from tenuto.system_tasks.buses.bus import BusError, Message
from tenuto.system_tasks.buses.buses import Buses
from tenuto.system_tasks.settings import AmqpSettings, BusSettings
from tests.integration.system_tasks.brokers import free_port, rabbitmq_script, rabbitmq_server
from tests.integration.system_tasks.received import Received


@asynccontextmanager
async def buses_at(url: str, timeout: float = 10.0) -> AsyncIterator[Buses]:
    buses = Buses(BusSettings(timeout=timeout, amqp=AmqpSettings(url=url)))
    try:
        yield buses
    finally:
        await buses.aclose()


async def queue(url: str, buses: Buses) -> None:
    await buses.publish("amqp_queue:orders?maxPriority=5", Message("one", b'{"a":1}', {"kind": "test"}))
    received = Received(refuse=1)
    subscription = buses.subscribe("amqp:orders?maxPriority=5", received)
    assert await received.count(1) == [Message("one", b'{"a":1}', {"kind": "test"})]
    assert received.refused == received.messages
    await buses.publish("amqp_queue:orders?maxPriority=5", Message("two", b"2"))
    await received.count(2)
    await subscription.aclose()
    assert received.ids == ["one", "two"]

    with pytest.raises(BusError, match="AMQP queue orders: PRECONDITION_FAILED"):
        await buses.publish("amqp_queue:orders?durable=false", Message("three", b""))
    await buses.publish("amqp_queue:orders?maxPriority=5", Message("three", b""))  # the bus has a new channel


async def exchange(url: str, buses: Buses) -> None:
    everything, paid = Received(), Received()
    subscriptions = [
        buses.subscribe("amqp_exchange:shop", everything),
        buses.subscribe("amqp_exchange:shop?routingKey=*.paid&bindQueueName=paid", paid),
    ]
    for subscription in subscriptions:
        await subscription.ready()
    await buses.publish("amqp_exchange:shop?routingKey=order.new", Message("one", b"1"))
    await buses.publish("amqp_exchange:shop?routingKey=order.paid", Message("two", b"2"))
    await everything.count(2)
    await paid.count(1)
    for subscription in subscriptions:
        await subscription.aclose()
    assert everything.ids == ["one", "two"]
    assert paid.ids == ["two"]
    await buses.publish("amqp_exchange:quiet?exchangeType=fanout", Message("one", b"1"))  # nobody listens


async def lost(url: str, buses: Buses) -> None:
    """The broker drops the queue, and with it the consumer."""
    received = Received()
    subscription = buses.subscribe("amqp_queue:dropped", received)
    await subscription.ready()
    connection = await aio_pika.connect(url)
    async with connection, connection.channel() as channel:
        await channel.queue_delete("dropped")
    await buses.publish("amqp_queue:dropped", Message("one", b""))
    await received.count(1)
    await subscription.aclose()


@pytest.mark.skipif(rabbitmq_script() is None, reason="RabbitMQ is not installed")
async def test_queues_and_exchanges(tmp_path: Path) -> None:
    # One server for all: it takes seconds to start.
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(rabbitmq_server(tmp_path))
        async with buses_at(url) as buses:
            await queue(url, buses)
            await exchange(url, buses)
            await lost(url, buses)

            subscription = buses.subscribe("amqp_queue:orphaned", Received())
            await subscription.ready()
            assert subscription.failure is None
            await stack.aclose()
            async with asyncio.timeout(10):
                while subscription.failure is None:  # noqa: ASYNC110 - it is not an event
                    await asyncio.sleep(0.02)
            await subscription.aclose()


async def test_nobody_listens() -> None:
    async with buses_at(f"amqp://guest:hidden@127.0.0.1:{free_port()}/", timeout=1.0) as buses:
        subscription = buses.subscribe("amqp_queue:orders", Received())
        with pytest.raises(BusError, match="AMQP queue orders") as caught:
            await buses.publish("amqp_queue:orders", Message("one", b""))
        await subscription.aclose()
    assert "hidden" not in str(caught.value)
    assert "hidden" not in str(subscription.failure)
