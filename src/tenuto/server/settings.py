"""What can be set about a server, and where from: flags, then `TENUTO_*` in the environment, then a TOML file.

A setting has one name everywhere: `body_limit` in the file, `TENUTO_BODY_LIMIT` in the environment, `--body-limit`
where there is a flag; `servers` in the file's table `[nats]`, `TENUTO_NATS_SERVERS` in the environment. Lists are
separated by commas in the environment, and what is empty there is not set.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct, field

from tenuto.system_tasks.address_rules import AddressRules
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
    secrets_key: str = ""
    """What secrets are encrypted with: 32 bytes in URL-safe base64. Best given in the environment."""
    secrets_key_file: str = ""
    """A file that holds `secrets_key`. Without both a key is generated and kept beside the database file."""
    retention_days: Annotated[float, Meta(ge=0)] = 30.0
    """How long closed executions are kept."""
    lease_seconds: Annotated[float, Meta(ge=1, le=600)] = 6.0
    """Seconds without a sign of life after which other servers take over what this one was doing. A shorter lease
    replaces a server that hangs sooner, a longer one bears longer pauses of it."""
    token_ttl: Annotated[int, Meta(ge=1)] = 3600
    """Seconds that a token is good for. Clients renew theirs after 45 minutes."""
    admin_key: str = ""
    """`id:secret` of an access key with the role ADMIN that needs not be created; with it the server is never open."""
    cached_workflows: Annotated[int, Meta(ge=1)] = 10_000
    """How many open executions are kept in memory; the others are read when something happens to them."""
    shutdown_grace: Annotated[float, Meta(ge=0)] = 10.0
    """Seconds that requests may go on when the server stops."""
    shutdown_delay: Annotated[float, Meta(ge=0)] = 0.0
    """Seconds that a server which stops still takes requests, while `/ready` says that it stops: as long as a load
    balancer needs to see it."""
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    access_log: bool = False
    """Whether every request is logged."""
    otel_endpoint: str = ""
    """The OpenTelemetry collector that spans are sent to (OTLP over HTTP, `http://127.0.0.1:4318`). The variables
    `OTEL_*` of the OpenTelemetry SDK count too. Needs the extra `otel`."""
    system_task_limit: Annotated[float, Meta(gt=0)] = 300.0
    """Seconds that one run of a system task may take, whatever the task itself allows."""
    bus_group: str = "tenuto"
    """Under this name all servers of one installation share the messages of an event bus."""
    bus_timeout: Annotated[float, Meta(gt=0)] = 10.0
    """Seconds to connect to an event bus, or to have a message accepted."""
    http: HttpSettings = field(default_factory=HttpSettings)
    nats: NatsSettings = field(default_factory=NatsSettings)
    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    sqs: SqsSettings = field(default_factory=SqsSettings)
    amqp: AmqpSettings = field(default_factory=AmqpSettings)


#: Never shown to anybody.
SECRET = frozenset(
    {
        "secrets_key",
        "secrets_key_file",
        "admin_key",
        "db",
        "nats.password",
        "nats.token",
        "kafka.password",
        "sqs.access_key_id",
        "sqs.secret_access_key",
    }
)


def load_settings(flags: Mapping[str, Any], environ: Mapping[str, str], config: str | None = None) -> Settings:
    """The settings; a flag that is None was not given.

    Raises SettingsError that names the source and the setting that can't be used."""
    values = _from_file(config) if config else {}
    for name, value in _from_environment(environ):
        _put(values, name, value)
    values |= {name: value for name, value in flags.items() if value is not None}
    return _settings(values, "the settings")


def public_settings(settings: Settings) -> dict[str, Any]:
    """The settings that may be shown, tables as objects. URLs are shown without user and password."""
    shown: dict[str, Any] = {}
    for name, _ in _names():
        if name not in SECRET:
            table, _, key = name.rpartition(".")
            _put(shown, name, _shown(getattr(getattr(settings, table) if table else settings, key)))
    return shown


def without_credentials(url: str) -> str:
    """A URL without its user and password."""
    try:
        place = urlsplit(url).netloc
    except ValueError:
        return "..."
    return url.replace(place, place.rpartition("@")[2], 1) if "@" in place else url


def system_task_settings(settings: Settings) -> SystemTaskSettings:
    """What the settings say about system tasks and event buses."""
    return SystemTaskSettings(
        longest=settings.system_task_limit,
        http=settings.http,
        buses=BusSettings(
            group=settings.bus_group,
            timeout=settings.bus_timeout,
            nats=settings.nats,
            kafka=settings.kafka,
            sqs=settings.sqs,
            amqp=settings.amqp,
        ),
    )


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return without_credentials(value)
    return [_shown(each) for each in value] if isinstance(value, tuple) else value


def _names() -> Iterator[tuple[str, Any]]:
    """The names of all settings and their types; those in a table as `table.name`."""
    for name, hint in get_type_hints(Settings).items():
        if isinstance(hint, type) and issubclass(hint, Struct):
            yield from ((f"{name}.{key}", inner) for key, inner in get_type_hints(hint).items())
        else:
            yield name, hint


def _put(values: dict[str, Any], name: str, value: Any) -> None:
    table, _, key = name.rpartition(".")
    (values.setdefault(table, {}) if table else values)[key] = value


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


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for name, hint in _names():
        variable = PREFIX + name.replace(".", "_").upper()
        text = environ.get(variable)
        if text is None or (text == "" and type(None) in get_args(hint)):
            continue
        value = [part.strip() for part in text.split(",") if part.strip()] if get_origin(hint) is tuple else text
        alone: dict[str, Any] = {}
        _put(alone, name, value)
        _settings(alone, variable)
        yield name, value


def _settings(values: Mapping[str, Any], source: str) -> Settings:
    try:
        settings = msgspec.convert(values, Settings, strict=False)
        AddressRules(settings.http.allow, settings.http.deny)
    except (msgspec.ValidationError, ValueError) as error:
        raise SettingsError(f"{source}: {_explained(str(error))}") from None
    return settings


def _explained(error: str) -> str:
    """What msgspec says, in the words of settings, and with what would be right."""
    unknown = re.search(r"unknown field `(\w+)`(?: - at `\$\.(\w+)`)?", error)
    if unknown is not None:
        name = f"{unknown[2]}.{unknown[1]}" if unknown[2] else unknown[1]
        near = get_close_matches(name, [known for known, _ in _names()], n=1)
        return f"there is no setting {name}" + (f"; is {near[0]} meant?" if near else "")
    wrong = re.search(r"Invalid enum value .* - at `\$\.([\w.]+)`", error)
    hint = dict(_names()).get(wrong[1]) if wrong is not None else None
    return f"{error}; one of {', '.join(get_args(hint))} is expected" if hint is not None else error
