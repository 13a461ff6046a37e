"""What an operator may set about system tasks and event buses."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field


class HttpSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How HTTP and HTTP_POLL reach the world."""

    concurrency: Annotated[int, Meta(ge=1)] = 100
    """Calls at a time; further ones wait."""
    response_limit: Annotated[int, Meta(ge=1)] = 4 * 1024 * 1024
    """Bytes of a response's body, unpacked. A longer one fails the task, and the rest is not read."""
    allow: tuple[str, ...] = ()
    """Which hosts may be called: names (`api.example.com`, `*.example.com`), addresses, networks (`10.0.0.0/8`).
    Empty: any. Addresses and networks are compared with what a name resolves to."""
    deny: tuple[str, ...] = ()
    """Which hosts may not be called, in the same forms; outranks `allow`."""


class NatsSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of `nats:` and `jsm:` sinks."""

    servers: tuple[str, ...] = ("nats://127.0.0.1:4222",)
    user: str | None = None
    password: str | None = None
    token: str | None = None


class KafkaSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of `kafka:` sinks; a KAFKA_PUBLISH task names its own servers."""

    servers: tuple[str, ...] = ("127.0.0.1:9092",)
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    user: str | None = None
    password: str | None = None


class SqsSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of `sqs:` sinks. What is not given comes from where AWS clients look: environment, profile, instance role."""

    endpoint_url: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None
    wait: Annotated[int, Meta(ge=0, le=20)] = 20
    """Seconds, 0 to 20: how long one request waits for messages."""


class AmqpSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of `amqp_queue:` and `amqp_exchange:` sinks."""

    url: str = "amqp://guest:guest@127.0.0.1/"


class BusSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How event buses are reached."""

    group: str = "tenuto"
    """Under this name all servers of one installation share the messages of a bus."""
    timeout: float = 10.0
    """Seconds to connect, or to have a message accepted."""
    nats: NatsSettings = field(default_factory=NatsSettings)
    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    sqs: SqsSettings = field(default_factory=SqsSettings)
    amqp: AmqpSettings = field(default_factory=AmqpSettings)


class SystemTaskSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it."""

    longest: float = 300.0
    """Seconds that one run of a system task may take, whatever the task itself allows."""
    http: HttpSettings = field(default_factory=HttpSettings)
    buses: BusSettings = field(default_factory=BusSettings)
