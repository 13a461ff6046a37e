"""SQS against moto's server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tenuto.system_tasks.buses.bus import BusError, Message
from tenuto.system_tasks.buses.buses import Buses
from tenuto.system_tasks.settings import BusSettings, SqsSettings
from tests.integration.system_tasks.brokers import free_port, sqs_server
from tests.integration.system_tasks.received import Received


@asynccontextmanager
async def buses_at(address: str, timeout: float = 10.0) -> AsyncIterator[Buses]:
    settings = SqsSettings(
        endpoint_url=address, region="eu-central-1", access_key_id="key", secret_access_key="secret", wait=1
    )
    buses = Buses(BusSettings(timeout=timeout, sqs=settings))
    try:
        yield buses
    finally:
        await buses.aclose()


async def test_messages_are_kept_until_they_are_taken() -> None:
    async with sqs_server() as address, buses_at(address) as buses:
        await buses.publish("sqs:orders", Message("one", b'{"a":1}', {"kind": "test"}))
        received = Received(refuse=1)
        subscription = buses.subscribe("sqs:orders", received)
        assert await received.count(1) == [Message("one", b'{"a":1}', {"kind": "test"})]
        assert received.refused == received.messages
        await buses.publish("sqs:orders", Message("two", b"2"))
        await received.count(2)
        await subscription.aclose()
        assert subscription.failure is None
        assert received.ids == ["one", "two"]

        for message_id in ("one", "one", "two"):
            await buses.publish("sqs:lined-up.fifo", Message(message_id, b"1"))
        lined_up = Received()
        subscription = buses.subscribe("sqs:lined-up.fifo", lined_up)
        await lined_up.count(2)
        await subscription.aclose()
        assert sorted(lined_up.ids) == ["one", "two"]

        with pytest.raises(BusError, match="SQS takes only text"):
            await buses.publish("sqs:orders", Message("three", b"\xff"))


async def test_nobody_listens() -> None:
    async with buses_at(f"http://127.0.0.1:{free_port()}", timeout=0.3) as buses:
        with pytest.raises(BusError, match="SQS queue orders"):
            await buses.publish("sqs:orders", Message("one", b""))
