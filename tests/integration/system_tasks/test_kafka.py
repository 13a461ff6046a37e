"""Kafka against the broker inside librdkafka, which speaks the real protocol over TCP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from tenuto.model.system_tasks import SystemTaskResult
from tenuto.system_tasks.buses.bus import BusError, Message
from tenuto.system_tasks.buses.buses import Buses
from tenuto.system_tasks.registry import SystemTasks
from tenuto.system_tasks.settings import BusSettings, KafkaSettings, SystemTaskSettings
from tests.integration.system_tasks.brokers import free_port
from tests.integration.system_tasks.received import Received
from tests.integration.system_tasks.running import running_tasks, system_task


def settings_for(servers: str, timeout: float = 10.0) -> BusSettings:
    return BusSettings(timeout=timeout, kafka=KafkaSettings(servers=(servers,)))


@asynccontextmanager
async def buses_at(servers: str, timeout: float = 10.0) -> AsyncIterator[Buses]:
    buses = Buses(settings_for(servers, timeout))
    try:
        yield buses
    finally:
        await buses.aclose()


@pytest.fixture
def servers() -> Iterator[str]:
    confluent_kafka = pytest.importorskip("confluent_kafka")
    owner = confluent_kafka.Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "ignored"})
    [broker] = owner.list_topics(timeout=10).brokers.values()
    yield f"{broker.host}:{broker.port}"
    del owner


async def publish(tasks: SystemTasks, servers: str, **keys: Any) -> SystemTaskResult:
    request = {"bootStrapServers": servers, "topic": "orders", "value": {"a": 1}, **keys}
    return await tasks.run(system_task("KAFKA_PUBLISH", {"kafka_request": request}))


async def committed(servers: str) -> int:
    """How many messages of the topic `orders` are committed for the group."""
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, group_id="tenuto", enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition("orders", number) for number in range(4)]
        consumer.assign(partitions)
        return sum([await consumer.committed(partition) or 0 for partition in partitions])
    finally:
        await consumer.stop()


async def test_messages_of_both_tasks_arrive_and_once(servers: str) -> None:
    received = Received(refuse=1)
    async with running_tasks(SystemTaskSettings(buses=settings_for(servers))) as tasks:
        result = await publish(tasks, servers, key="k", headers={"kind": "test", "n": 1})
        assert (result.status, result.output, result.reason) == ("COMPLETED", {}, None)
        result = await tasks.run(system_task("EVENT", {}, node={"sink": "kafka:orders"}))
        assert (result.status, result.reason) == ("COMPLETED", None)

        subscription = tasks.buses.subscribe("kafka:orders", received)
        # The topic has several partitions, so either may come first.
        told, published = sorted(await received.count(2), key=lambda message: message.id != "task-1")
        await subscription.aclose()

        # A third is for whoever subscribes next: only what was taken is committed.
        await tasks.buses.publish("kafka:orders", Message("three", b"3"))
        assert await committed(servers) == 2
    assert told.payload.startswith(b'{"workflowInstanceId":"workflow-1"')
    assert published.payload == b'{"a":1}'
    assert published.headers == {"kind": "test", "n": "1"}
    assert received.refused in ([told], [published])


@pytest.mark.parametrize(
    ("key", "serializer", "written"),
    [
        ("12", "org.apache.kafka.common.serialization.IntegerSerializer", b"\0\0\0\x0c"),
        (12, "org.apache.kafka.common.serialization.LongSerializer", b"\0\0\0\0\0\0\0\x0c"),
        ("k", None, b"k"),
    ],
)
async def test_keys(servers: str, tasks: SystemTasks, key: Any, serializer: str | None, written: bytes) -> None:
    result = await publish(tasks, servers, key=key, keySerializer=serializer)
    assert (result.status, result.reason) == ("COMPLETED", None)
    consumer = AIOKafkaConsumer("orders", bootstrap_servers=servers, auto_offset_reset="earliest")
    await consumer.start()
    record = await consumer.getone()
    await consumer.stop()
    assert record.key == written


async def test_nobody_listens(tasks: SystemTasks) -> None:
    address = f"127.0.0.1:{free_port()}"
    result = await publish(tasks, address, maxBlockMs=300)
    assert result.status == "FAILED"
    assert f"Kafka topic orders at {address}" in (result.reason or "")
    async with buses_at(address, timeout=0.3) as buses:
        with pytest.raises(BusError, match="Kafka topic orders"):
            await buses.publish("kafka:orders", Message("one", b""))
        subscription = buses.subscribe("kafka:orders", Received())
        await subscription.aclose()


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"topic": ""}, "topic is missing"),
        ({"value": None}, "value is missing"),
        ({"bootStrapServers": None}, "bootStrapServers is missing"),
        ({"key": "x", "keySerializer": "LongSerializer"}, "key is no number"),
        ({"key": "x", "keySerializer": "AvroSerializer"}, "AvroSerializer is unknown"),
        ({"headers": ["x"]}, "headers must be an object"),
        ({"requestTimeoutMs": "soon"}, "requestTimeoutMs must be a number"),
    ],
)
async def test_bad_input(tasks: SystemTasks, keys: dict[str, Any], says: str) -> None:
    result = await publish(tasks, "127.0.0.1:1", **keys)
    assert result.status == "FAILED"
    assert says in (result.reason or "")
