"""Store URLs: which store, where, and with which options."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote

from tenuto.store.memory import MemoryStore
from tenuto.store.protocol import Store
from tenuto.store.sqlite import SYNCHRONOUS, SqliteStore

_FORMS = (
    "memory://, memory://name, sqlite:///relative.db, sqlite:////absolute.db or"
    " postgresql://user@host:5432/database?schema=tenuto"
)


def open_store(url: str) -> Store:
    """The store that `url` names, not opened yet.

    - `memory://`: of its own; `memory://name`: shared by all stores of that name in this process.
    - `sqlite:///orders.db`, `sqlite:////var/lib/orders.db`; `?synchronous=NORMAL` trades safety from
      a loss of power for speed.
    - `postgresql://user:password@host:5432/database`: a schema in a database, `?schema=tenuto` unless another is named;
      sslmode, sslrootcert, connect_timeout, application_name as everywhere; `pool` connections at most beside those for
      commits and hints (4), `pooler=transaction` behind a pooler of that mode, `statement_timeout` in seconds (30),
      `notify=off` to send and hear no hints.

    Raises `ValueError` that says what is allowed for everything else."""
    scheme, separator, rest = url.partition("://")
    place, _, query = rest.partition("?")
    match scheme if separator else "":
        case "memory":
            _options(url, query, {})
            return MemoryStore(url, name=place)
        case "sqlite":
            return _sqlite(url, place, query)
        case "postgresql" | "postgres":
            from tenuto.store.postgres.store import PostgresStore

            return PostgresStore(url)
    raise ValueError(f"{url!r} names no store. A store is one of {_FORMS}.")


def _sqlite(url: str, place: str, query: str) -> Store:
    path = unquote(place.removeprefix("/"))
    if not place.startswith("/") or not path or path.endswith("/"):
        raise ValueError(
            f"{url!r} names no file. Write sqlite:///relative.db, with three slashes, or"
            " sqlite:////absolute.db, with four."
        )
    if path == ":memory:":
        raise ValueError(f"{url!r}: a store in memory is memory://")
    options = _options(url, query, {"synchronous": SYNCHRONOUS})
    return SqliteStore(url, path, synchronous=options.get("synchronous", "FULL"))


def _options(url: str, query: str, allowed: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """The options in `query`; each name and value must be allowed."""
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in options.items():
        if value not in allowed.get(name, ()):
            choices = [f"{key}={choice}" for key, values in allowed.items() for choice in values]
            raise ValueError(f"{url!r}: there is no option {name}={value}. Allowed: {', '.join(choices) or 'none'}.")
    return options
