"""How an AMQP queue or exchange is named: `<name>?durable=true&exchangeType=topic&routingKey=orders`."""

from __future__ import annotations

from typing import Literal
from urllib.parse import parse_qsl, unquote

from msgspec import Struct

from tenuto.system_tasks.buses.bus import BusError

_SWITCHES = ("durable", "autoDelete", "exclusive")
_OPTIONS = {*_SWITCHES, "deliveryMode", "exchangeType", "routingKey", "bindQueueName", "maxPriority"}
_EXCHANGE_TYPES = ("direct", "fanout", "headers", "topic")


class AmqpDestination(Struct, frozen=True, kw_only=True):
    """A queue, or an exchange and what binds a queue to it."""

    kind: Literal["queue", "exchange"]
    name: str
    durable: bool = True
    auto_delete: bool = False
    exclusive: bool = False
    persistent: bool = True
    exchange_type: str = "topic"
    routing_key: str = ""
    max_priority: int | None = None
    bind_queue: str = ""
    """The queue that subscribers of an exchange share."""


def parse_destination(kind: Literal["queue", "exchange"], text: str) -> AmqpDestination:
    """Raises BusError, which names what can't be read."""
    name, _, query = text.partition("?")
    name = unquote(name)
    options = dict(parse_qsl(query, keep_blank_values=True))
    if not name:
        raise BusError(f"an AMQP destination begins with a name: amqp_{kind}:<name>")
    if unknown := options.keys() - _OPTIONS:
        raise BusError(f"amqp_{kind}:{name}: unknown option {min(unknown)}; known are {', '.join(sorted(_OPTIONS))}")
    for switch in _SWITCHES:
        if options.get(switch, "true") not in ("true", "false"):
            raise BusError(f"amqp_{kind}:{name}: {switch} is true or false")
    exchange_type = options.get("exchangeType", "topic")
    if exchange_type not in _EXCHANGE_TYPES:
        raise BusError(f"amqp_{kind}:{name}: exchangeType is one of {', '.join(_EXCHANGE_TYPES)}")
    max_priority = options.get("maxPriority")
    if max_priority is not None and not (max_priority.isdecimal() and 0 < int(max_priority) < 256):
        raise BusError(f"amqp_{kind}:{name}: maxPriority is a number from 1 to 255")
    if options.get("deliveryMode", "2") not in ("1", "2"):
        raise BusError(f"amqp_{kind}:{name}: deliveryMode is 1 (transient) or 2 (persistent)")
    return AmqpDestination(
        kind=kind,
        name=name,
        durable=options.get("durable") != "false",
        auto_delete=options.get("autoDelete") == "true",
        exclusive=options.get("exclusive") == "true",
        persistent=options.get("deliveryMode") != "1",
        exchange_type=exchange_type,
        routing_key=options.get("routingKey", ""),
        max_priority=None if max_priority is None else int(max_priority),
        bind_queue=options.get("bindQueueName") or f"bound_to_{name}",
    )
