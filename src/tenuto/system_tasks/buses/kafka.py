"""Apache Kafka: `kafka:<topic>`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition  # type: ignore[import-untyped]
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]
from msgspec import Struct

from tenuto.system_tasks.buses.bus import BusError, Handler, Message
from tenuto.system_tasks.buses.shared import Shared
from tenuto.system_tasks.buses.subscriber import Subscriber, redelivery_delay, taken
from tenuto.system_tasks.settings import BusSettings, KafkaSettings

#: The header that carries a message's id.
MESSAGE_ID = "message-id"


class KafkaRecord(Struct, frozen=True):
    """What a producer sends."""

    topic: str
    value: bytes
    key: bytes | None
    headers: list[tuple[str, bytes]]


class KafkaProducer:
    """Sends records to one set of brokers."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer = Shared[AIOKafkaProducer](self._connect, _stop)

    async def send(self, record: KafkaRecord, *, connect_timeout: float, timeout: float) -> None:
        """Returns once the brokers have the record. Raises BusError if they can't be reached within `connect_timeout`
        seconds, or don't accept it within `timeout` further ones."""
        stage = f"no connection within {connect_timeout:g} s"
        try:
            async with asyncio.timeout(connect_timeout):
                producer = await self._producer.get()
            stage = f"not accepted within {timeout:g} s"
            async with asyncio.timeout(timeout):
                await producer.send_and_wait(record.topic, record.value, key=record.key, headers=record.headers)
        except (OSError, TimeoutError, KafkaError, ValueError) as error:
            brokers = ", ".join(self._settings.servers)
            raise BusError(f"Kafka topic {record.topic} at {brokers}: {str(error) or stage}") from None

    async def aclose(self) -> None:
        await self._producer.aclose()

    async def _connect(self) -> Any:
        producer = AIOKafkaProducer(**client_options(self._settings), acks="all", enable_idempotence=True)
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer


class KafkaBus:
    """A `Bus` whose subscriptions are one consumer group. A message that is not taken holds up those behind it, for
    Kafka acknowledges only in order."""

    def __init__(self, settings: BusSettings) -> None:
        self._settings = settings
        self._producer = KafkaProducer(settings.kafka)

    async def publish(self, destination: str, message: Message) -> None:
        headers = [(name, value.encode()) for name, value in {**message.headers, MESSAGE_ID: message.id}.items()]
        timeout = self._settings.timeout
        record = KafkaRecord(_topic(destination), message.payload, None, headers)
        await self._producer.send(record, connect_timeout=timeout, timeout=timeout)

    def subscribe(self, destination: str, handler: Handler) -> Subscriber:
        topic = _topic(destination)
        source = f"kafka:{topic}"

        async def consume(connected: Callable[[], None]) -> None:
            consumer = AIOKafkaConsumer(
                topic,
                **client_options(self._settings.kafka),
                group_id=self._settings.group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
            )
            try:
                async with asyncio.timeout(self._settings.timeout):
                    await consumer.start()
                connected()
                async for record in consumer:
                    await _insist(source, handler, record)
                    await consumer.commit({TopicPartition(record.topic, record.partition): record.offset + 1})
            finally:
                await consumer.stop()

        return Subscriber(source, consume)

    async def aclose(self) -> None:
        await self._producer.aclose()


async def _insist(source: str, handler: Handler, record: ConsumerRecord) -> None:
    headers = {name: value.decode(errors="replace") for name, value in record.headers if value is not None}
    message_id = headers.pop(MESSAGE_ID, None) or f"{record.topic}:{record.partition}:{record.offset}"
    message = Message(message_id, record.value or b"", headers)
    tries = 0
    while not await taken(source, handler, message):
        tries += 1
        await asyncio.sleep(redelivery_delay(tries))


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """What producers and consumers are made with."""
    options: dict[str, Any] = {
        "bootstrap_servers": list(settings.servers),
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.endswith("SSL"):
        from aiokafka.helpers import create_ssl_context  # type: ignore[import-untyped]

        options["ssl_context"] = create_ssl_context()
    if settings.user is not None:
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.user,
            "sasl_plain_password": settings.password,
        }
    return options


async def _stop(producer: Any) -> None:
    await producer.stop()


def _topic(destination: str) -> str:
    if not destination:
        raise BusError("a Kafka destination is the name of a topic: kafka:<topic>")
    return destination
