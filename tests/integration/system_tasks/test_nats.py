"""NATS and JetStream against a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tenuto.system_tasks.buses.bus import BusError, Message
from tenuto.system_tasks.buses.buses import Buses
from tenuto.system_tasks.settings import BusSettings, NatsSettings, SystemTaskSettings
from tests.integration.system_tasks.brokers import free_port, nats_server
from tests.integration.system_tasks.received import Received
from tests.integration.system_tasks.running import running_tasks, system_task


def settings_for(port: int, timeout: float = 10.0) -> BusSettings:
    return BusSettings(timeout=timeout, nats=NatsSettings(servers=(f"nats://127.0.0.1:{port}",)))


@asynccontextmanager
async def buses_at(port: int, timeout: float = 10.0) -> AsyncIterator[Buses]:
    buses = Buses(settings_for(port, timeout))
    try:
        yield buses
    finally:
        await buses.aclose()


async def test_an_event_task_publishes(tmp_path: Path) -> None:
    received = Received()
    port = free_port()
    settings = SystemTaskSettings(buses=settings_for(port))
    async with nats_server(tmp_path, port), running_tasks(settings) as tasks:
        subscription = tasks.buses.subscribe("nats:orders.new", received)
        await subscription.ready()
        assert subscription.failure is None
        result = await tasks.run(system_task("EVENT", {"a": "secret"}, node={"sink": "nats:orders.new"}))
        [message] = await received.count(1)
        await subscription.aclose()
    assert (result.status, result.output["event_produced"]) == ("COMPLETED", "nats:orders.new")
    assert message.id == "task-1"
    assert message.payload.startswith(b'{"a":"secret","workflowInstanceId":"workflow-1"')


async def test_subscribers_of_one_group_share_messages_and_refused_ones_come_again(tmp_path: Path) -> None:
    port = free_port()
    received = Received(refuse=2)
    async with nats_server(tmp_path, port), buses_at(port) as buses, buses_at(port) as others:
        subscriptions = [bus.subscribe("nats:shared", received) for bus in (buses, others)]
        for subscription in subscriptions:
            await subscription.ready()
        for number in range(20):
            await buses.publish("nats:shared", Message(str(number), b"{}", {"kind": "test"}))
        messages = await received.count(20)
        for subscription in subscriptions:
            await subscription.aclose()
    assert sorted(received.ids, key=int) == [str(number) for number in range(20)]
    assert all(message.headers == {"kind": "test"} for message in messages)
    assert len(received.refused) == 2


async def test_jetstream_keeps_messages_until_they_are_taken(tmp_path: Path) -> None:
    port = free_port()
    async with nats_server(tmp_path, port), buses_at(port) as buses:
        await buses.publish("jsm:orders.paid", Message("one", b"1"))
        await buses.publish("jsm:orders.paid", Message("one", b"1"))  # the same again
        await buses.publish("nats_stream:orders.paid", Message("two", b"2", {"kind": "test"}))

        received = Received(refuse=1)
        subscription = buses.subscribe("jsm:orders.paid", received)
        messages = sorted(await received.count(2), key=lambda message: message.id)
        await subscription.aclose()
        assert [(message.id, message.payload) for message in messages] == [("one", b"1"), ("two", b"2")]
        assert messages[1].headers == {"kind": "test"}
        assert len(received.refused) == 1

        await buses.publish("jsm:orders.paid", Message("three", b"3"))
        again = Received()
        subscription = buses.subscribe("jsm:orders.paid", again)
        await again.count(1)
        await subscription.aclose()
        assert again.ids == ["three"]


async def test_subscriptions_survive_the_server(tmp_path: Path) -> None:
    port = free_port()
    kept = Received()
    async with buses_at(port) as buses:
        subscription = buses.subscribe("jsm:kept", kept)
        for _ in range(2):
            async with nats_server(tmp_path, port):
                await buses.publish("jsm:kept", Message(f"kept {len(kept.messages)}", b""))
                await kept.count(len(kept.messages) + 1)
        assert kept.ids == ["kept 0", "kept 1"]
        await subscription.aclose()


@pytest.mark.parametrize("scheme", ["nats", "jsm"])
async def test_nobody_listens(scheme: str) -> None:
    async with buses_at(free_port(), timeout=0.3) as buses:
        subscription = buses.subscribe(f"{scheme}:a", Received())
        with pytest.raises(BusError, match="no connection within"):
            await buses.publish(f"{scheme}:a", Message("one", b""))
        assert subscription.failure is not None
        await subscription.aclose()
