"""What a PostgreSQL store's URL says."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

_OF_DRIVER = (
    "host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile", "target_session_attrs",
)  # fmt: skip
_OURS = ("schema", "pool", "pooler", "statement_timeout", "notify", "connect_timeout", "application_name")
_SCHEMA = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,47}")
_EXAMPLE = "postgresql://user:password@host:5432/database?schema=tenuto"


class Options(NamedTuple):
    """How to connect, and where."""

    dsn: str
    """What the driver is given, password included: not to be shown."""
    schema: str = "tenuto"
    pool: int = 4
    """Connections at most for reads and for what needs no lease."""
    pooled: bool = False
    """Is there a pooler between us that gives each transaction another session?"""
    statement_timeout: float = 30.0
    """Seconds that a statement may take."""
    connect_timeout: float = 10.0
    """Seconds that connecting may take."""
    notify: bool = True
    """Are hints sent, and listened to?"""
    application_name: str = "tenuto"


def parse(url: str) -> Options:
    """The options that a `postgresql://` URL names. Raises `ValueError` that says what is allowed, and doesn't repeat
    a value, which may be a password."""
    parts = urlsplit(url)
    driver: list[tuple[str, str]] = []
    ours: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in _OURS:
            ours[name] = value
        elif name in _OF_DRIVER:
            driver.append((name, value))
        else:
            allowed = ", ".join((*_OURS, *_OF_DRIVER))
            raise ValueError(f"{shown(url)}: there is no option {name}. Allowed: {allowed}.")
    if "," in parts.netloc and not any(name == "target_session_attrs" for name, _ in driver):
        driver.append(("target_session_attrs", "read-write"))
    query = urlencode(driver, safe="/", quote_via=quote)
    dsn = f"postgresql://{parts.netloc}{parts.path}{'?' if query else ''}{query}"
    try:
        return _options(dsn, ours)
    except ValueError as error:
        raise ValueError(f"{shown(url)}: {error}") from None


def _options(dsn: str, ours: dict[str, str]) -> Options:
    schema = ours.get("schema", "tenuto")
    if not _SCHEMA.fullmatch(schema) or schema.lower().startswith("pg_"):
        raise ValueError(
            "schema is a name of at most 48 letters, digits and underscores that begins with a letter, other than pg_"
        )
    return Options(
        dsn,
        schema,
        int(_number(ours, "pool", 4, 1, 1000)),
        _choice(ours, "pooler", {"transaction": True, "none": False}, default=False),
        _number(ours, "statement_timeout", 30.0, 0.1, 3600),
        _number(ours, "connect_timeout", 10.0, 0.1, 3600),
        _choice(ours, "notify", {"on": True, "off": False}, default=True),
        ours.get("application_name", "tenuto"),
    )


def _number(ours: dict[str, str], name: str, default: float, least: float, most: float) -> float:
    text = ours.get(name)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not least <= number <= most:
        raise ValueError(f"{name} is a number from {least:g} to {most:g}")
    return number


def _choice(ours: dict[str, str], name: str, choices: dict[str, bool], *, default: bool) -> bool:
    text = ours.get(name)
    if text is None:
        return default
    if text not in choices:
        raise ValueError(f"{name} is one of {', '.join(choices)}")
    return choices[text]


def shown(url: str) -> str:
    """`url` as people and logs may see it: without its password."""
    scheme, separator, rest = url.partition("://")
    place, question, query = rest.partition("?")
    credentials, at, host = place.rpartition("@")
    if ":" in credentials:
        credentials = f"{credentials.partition(':')[0]}:***"
    return f"{scheme}{separator}{credentials}{at}{host}{question}{query}" if separator else _EXAMPLE
