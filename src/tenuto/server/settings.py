"""What can be set about a server, and where from: flags, then `TENUTO_*` in the environment, then a TOML file.

A setting has one name everywhere: `body_limit` in the file, `TENUTO_BODY_LIMIT` in the environment, `--body-limit`
where there is a flag. Lists are separated by commas in the environment.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct, field

from tenuto.system_tasks.settings import (
    AmqpSettings,
    BusSettings,
    HttpSettings,
    KafkaSettings,
    NatsSettings,
    SqsSettings,
    SystemTaskSettings,
)

PREFIX = "TENUTO_"


class SettingsError(ValueError):
    """A setting that can't be used; the message says which, from where, and why."""


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one server process."""

    db: str = "sqlite:///tenuto.db"
    """The store, as in `Client.connect`."""
    host: str = "127.0.0.1"
    """The address to listen on; "" means all."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    """0 takes a free one."""
    body_limit: Annotated[int, Meta(ge=1)] = 16 * 1024 * 1024
    """Bytes of a request's body; more is refused with 413."""
    http_allow: list[str] = []
    """Hosts, `*.domains` and networks that HTTP tasks may call; empty means any."""
    http_deny: list[str] = []
    """Hosts, `*.domains` and networks that HTTP tasks may not call; counts before `http_allow`."""
    secrets_key: str = ""
    """What secrets are encrypted with: 32 bytes in URL-safe base64. Best given in the environment."""
    secrets_key_file: str = ""
    """A file that holds `secrets_key`. Without both a key is generated and kept beside the database file."""
    retention_days: Annotated[float, Meta(ge=0)] = 30.0
    """How long closed executions are kept."""
    token_ttl: Annotated[int, Meta(ge=1)] = 3600
    """Seconds that a token is good for. Clients renew theirs after 45 minutes."""
    admin_key: str = ""
    """`id:secret` of an access key with the role ADMIN that needs not be created; with it the server is never open."""
    cached_workflows: Annotated[int, Meta(ge=1)] = 10_000
    """How many open executions are kept in memory; the others are read when something happens to them."""
    bus_group: str = "tenuto"
    """Under this name all servers of one installation share the messages of an event bus."""
    nats_servers: list[str] = field(default_factory=lambda: list(NatsSettings().servers))
    """Of `nats:`, `nats_stream:` and `jsm:` events and sinks."""
    nats_user: str = ""
    nats_password: str = ""
    nats_token: str = ""
    kafka_servers: list[str] = field(default_factory=lambda: list(KafkaSettings().servers))
    """Of `kafka:` events and sinks."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: str = "PLAIN"
    kafka_user: str = ""
    kafka_password: str = ""
    sqs_endpoint_url: str = ""
    """Of `sqs:` events and sinks; empty for AWS itself. Credentials come from where AWS clients look for them."""
    sqs_region: str = ""
    amqp_url: str = "amqp://guest:guest@127.0.0.1/"
    """Of `amqp:`, `amqp_queue:` and `amqp_exchange:` events and sinks."""
    shutdown_grace: Annotated[float, Meta(ge=0)] = 10.0
    """Seconds that requests may go on when the server stops."""
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    access_log: bool = False
    """Whether every request is logged."""


#: Never shown to anybody.
SECRET = frozenset(
    {
        "secrets_key",
        "secrets_key_file",
        "admin_key",
        "db",
        "nats_servers",
        "nats_password",
        "nats_token",
        "kafka_password",
        "amqp_url",
    }
)


def load_settings(flags: Mapping[str, Any], environ: Mapping[str, str], config: str | None = None) -> Settings:
    """The settings; a flag that is None was not given.

    Raises SettingsError that names the source and the setting that can't be used."""
    values = _from_file(config) if config else {}
    values |= _from_environment(environ)
    values |= {name: value for name, value in flags.items() if value is not None}
    return _settings(values, "the settings")


def public_settings(settings: Settings) -> dict[str, Any]:
    """The settings that may be shown."""
    return {name: value for name, value in msgspec.structs.asdict(settings).items() if name not in SECRET}


def system_task_settings(settings: Settings) -> SystemTaskSettings:
    """What the settings say about system tasks and event buses."""
    http = HttpSettings(allow=tuple(settings.http_allow), deny=tuple(settings.http_deny))
    return SystemTaskSettings(http=http, buses=_bus_settings(settings))


def _bus_settings(settings: Settings) -> BusSettings:
    return BusSettings(
        group=settings.bus_group,
        nats=NatsSettings(
            servers=tuple(settings.nats_servers),
            user=settings.nats_user or None,
            password=settings.nats_password or None,
            token=settings.nats_token or None,
        ),
        kafka=KafkaSettings(
            servers=tuple(settings.kafka_servers),
            security_protocol=settings.kafka_security_protocol,
            sasl_mechanism=settings.kafka_sasl_mechanism,
            user=settings.kafka_user or None,
            password=settings.kafka_password or None,
        ),
        sqs=SqsSettings(endpoint_url=settings.sqs_endpoint_url or None, region=settings.sqs_region or None),
        amqp=AmqpSettings(url=settings.amqp_url),
    )


def _from_file(path: str) -> dict[str, Any]:
    try:
        with Path(path).open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"the configuration {path} can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"the configuration {path} is not valid TOML: {error}") from None
    _settings(values, path)
    return values


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, hint in get_type_hints(Settings).items():
        text = environ.get(PREFIX + name.upper())
        if text is None:
            continue
        value = [part.strip() for part in text.split(",") if part.strip()] if get_origin(hint) is list else text
        _settings({name: value}, PREFIX + name.upper())
        values[name] = value
    return values


def _settings(values: Mapping[str, Any], source: str) -> Settings:
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{source}: {error}") from None
