"""KAFKA_PUBLISH: one record to brokers that the task names."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tenuto.model.json_values import Json, encode_json
from tenuto.model.system_tasks import SystemTask, SystemTaskResult
from tenuto.system_tasks.bad_input import BadInput
from tenuto.system_tasks.buses.bus import BusError
from tenuto.system_tasks.http_request import number
from tenuto.system_tasks.settings import BusSettings

if TYPE_CHECKING:
    from tenuto.system_tasks.buses.kafka import KafkaProducer

#: Sets of brokers to which connections are kept.
_MOST_PRODUCERS = 64
_INTEGERS = {"IntegerSerializer": ">i", "LongSerializer": ">q"}


class KafkaPublish:
    """The KAFKA_PUBLISH task."""

    def __init__(self, settings: BusSettings) -> None:
        self._settings = settings
        self._producers: dict[tuple[str, ...], KafkaProducer] = {}

    async def run(self, task: SystemTask) -> SystemTaskResult:
        """Send the record; raises BadInput for an input that describes none."""
        request = task.input.get("kafka_request")
        if not isinstance(request, dict):
            raise BadInput("kafka_request must be an object with bootStrapServers, topic and value")
        servers = tuple(part.strip() for part in _text(request, "bootStrapServers").split(",") if part.strip())
        topic = _text(request, "topic")
        if request.get("value") is None:
            raise BadInput("kafka_request.value is missing")
        key, headers = _key(request), _headers(request.get("headers"))
        default = self._settings.timeout * 1000
        connect_timeout = number(request, "maxBlockMs", default) / 1000
        timeout = number(request, "requestTimeoutMs", default) / 1000
        try:
            from tenuto.system_tasks.buses.kafka import KafkaProducer, KafkaRecord
        except ImportError as error:
            raise BadInput(f"{error.name} is not installed on the server; pip install 'tenuto[kafka]'") from error
        producer = self._producers.get(servers) or KafkaProducer(replace(self._settings.kafka, servers=servers))
        if len(self._producers) < _MOST_PRODUCERS:
            self._producers[servers] = producer
        record = KafkaRecord(topic, encode_json(request["value"]), key, headers)
        try:
            await producer.send(record, connect_timeout=connect_timeout, timeout=timeout)
        except BusError as error:
            return SystemTaskResult("FAILED", reason=str(error))
        finally:
            if servers not in self._producers:
                await producer.aclose()
        return SystemTaskResult("COMPLETED")

    async def aclose(self) -> None:
        """Close the connections."""
        for producer in self._producers.values():
            await producer.aclose()


def _text(request: dict[str, Json], key: str) -> str:
    value = request.get(key)
    if not isinstance(value, str) or not value.strip():
        raise BadInput(f"kafka_request.{key} is missing")
    return value.strip()


def _key(request: dict[str, Json]) -> bytes | None:
    key = request.get("key")
    if key is None or key == "":
        return None
    serializer = str(request.get("keySerializer") or "StringSerializer").rpartition(".")[2]
    if serializer == "StringSerializer":
        return key.encode() if isinstance(key, str) else encode_json(key)
    if serializer not in _INTEGERS:
        known = ", ".join(["StringSerializer", *_INTEGERS])
        raise BadInput(f"kafka_request.keySerializer {serializer} is unknown; give one of {known}")
    try:
        return struct.pack(_INTEGERS[serializer], int(key))
    except (ValueError, TypeError, OverflowError, struct.error):
        raise BadInput(f"kafka_request.key is no number that {serializer} can write") from None


def _headers(value: Json) -> list[tuple[str, bytes]]:
    if value is None:
        return []
    if not isinstance(value, dict):
        raise BadInput("kafka_request.headers must be an object of names and values")
    return [(name, item.encode() if isinstance(item, str) else encode_json(item)) for name, item in value.items()]
