"""The driver, asyncpg, in the only file that knows it: connecting, and what its errors mean in our words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import cache
from types import SimpleNamespace
from typing import Any, Protocol

from tenuto.model.errors import StoreBusyError, StoreError, StoreFormatError, StoreFullError
from tenuto.store.postgres.options import Options, shown


class Connection(Protocol):
    """What is used of the driver's connection."""

    async def fetch(self, query: str, *values: object, timeout: float | None = None) -> list[Any]: ...
    async def execute(self, query: str) -> str: ...
    async def add_listener(self, channel: str, callback: Callable[..., None]) -> None: ...
    def add_termination_listener(self, callback: Callable[..., None]) -> None: ...
    def is_closed(self) -> bool: ...
    def is_in_transaction(self) -> bool: ...
    async def close(self, *, timeout: float | None = None) -> None: ...
    def terminate(self) -> None: ...


_STATEMENTS_KEPT = 1000  # prepared in a connection: commits come in many compositions
_LONGEST_STATEMENT = 200_000  # bytes of one that is kept

PLANS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_indexonlyscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
"""How statements are planned: once, and as they are written for, loops through indexes. What is known of a table that
was empty a minute ago would suggest otherwise; and of all scans it is that of an index alone which remembers what it
found dead, without which queues become slower with every row that has been through them."""

SEARCH_PLANS = {
    "plan_cache_mode": "force_custom_plan",
    "enable_seqscan": "on",
    "enable_indexonlyscan": "on",
    "enable_bitmapscan": "on",
    "enable_hashjoin": "on",
    "enable_mergejoin": "on",
}
"""How statements are planned that ask now for this and now for that: each time, for what is asked."""


REFUSED = "TN001"
"""The SQLSTATE of a commit that did not find what it expected."""


def timeouts(options: Options) -> dict[str, str]:
    """What the server shall not wait for any longer, in milliseconds."""
    most = int(options.statement_timeout * 1000)
    return {
        "statement_timeout": str(most),
        "lock_timeout": str(max(1, most // 2)),
        # A process that is frozen in the midst of a transaction keeps others from taking over what it owns.
        "idle_in_transaction_session_timeout": str(min(most, 4_000)),
    }


async def connect(options: Options) -> Connection:
    """A new connection. Raises `StoreError`."""
    asyncpg = _asyncpg()
    try:
        connection: Connection = await asyncpg.connect(
            options.dsn,
            timeout=options.connect_timeout,
            command_timeout=options.statement_timeout + 5,
            statement_cache_size=0 if options.pooled else _STATEMENTS_KEPT,
            max_cached_statement_lifetime=0,
            max_cacheable_statement_size=_LONGEST_STATEMENT,
            connection_class=_connection_class(),
            server_settings={"application_name": options.application_name},
        )
        if not options.pooled:
            # Not while connecting: a pooler refuses settings that it doesn't know.
            sets = [f"SET {name} = '{value}'" for name, value in (timeouts(options) | PLANS).items()]
            await _set(connection, "; ".join(sets))
    except asyncpg.ClientConfigurationError as error:
        raise StoreError(f"{shown(options.dsn)} can't be connected to: {error}.") from None
    except _errors() as error:  # those of TLS are of the system
        raise StoreError(f"{shown(options.dsn)} can't be connected to: {_reason(error)}.") from error
    return connection


_FIRST_OF_USERS = 16_384  # object ids from here on are given by each database
_NOTHING_SENT = SimpleNamespace(name="learned")
_types: dict[frozenset[int], list[Any]] = {}


@cache
def _connection_class() -> type:
    """The driver's connection, but what array types a server has is asked once and not by each, for it takes most of
    what a new connection costs the server. The types that come with PostgreSQL are the same everywhere."""
    asyncpg = _asyncpg()

    class LearnedConnection(asyncpg.Connection):  # type: ignore[misc, name-defined]
        async def _introspect_types(self, typeoids: Iterable[int], timeout: float | None) -> tuple[list[Any], Any]:
            wanted = frozenset(typeoids)
            if max(wanted) >= _FIRST_OF_USERS:
                found: tuple[list[Any], Any] = await super()._introspect_types(wanted, timeout)
                return found
            if wanted not in _types:
                _types[wanted], _ = await super()._introspect_types(wanted, timeout)
            return _types[wanted], _NOTHING_SENT

    return LearnedConnection


async def _set(connection: Connection, settings: str) -> None:
    """Nobody else knows of the connection yet, who could close it."""
    try:
        await connection.execute(settings)
    except BaseException:
        connection.terminate()
        raise


def _asyncpg() -> Any:
    try:
        import asyncpg  # type: ignore[import-untyped]
    except ImportError:
        raise StoreError(
            'A postgresql:// store needs the package asyncpg. Install it with: pip install "tenuto[postgres]"'
        ) from None
    return asyncpg


def is_ours(error: BaseException) -> bool:
    """Does this error come from the driver or the network?"""
    return isinstance(error, (*_errors(), UnicodeError))


def _errors() -> tuple[type[BaseException], ...]:
    import asyncpg

    return (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


def breaks(error: BaseException) -> bool:
    """Can't the connection be used any more on which this happened? One that the server has ended, but whose end was
    not read yet, still seems to be open: it refuses statements with an error of the driver's inside."""
    import asyncpg

    return isinstance(error, (asyncpg.InternalClientError, OSError, TimeoutError, asyncio.CancelledError))


def _reason(error: BaseException) -> str:
    """What the error says, without the details in further lines."""
    lines = str(error).splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def translated(error: BaseException, schema: str) -> StoreError:
    """`error` in our words."""
    code = getattr(error, "sqlstate", None) or ""
    text = _reason(error)
    match code[:2], code:
        case _, "TN001":
            return StoreError(f"The database refused a commit: {text}.")
        case _, "23505":
            return StoreError(f"The database has recorded this already: {text}.")
        case _, "57014" | "25P03":
            return StoreError(f"The database gave up on a statement that took too long: {text}.")
        case _, "55P03":
            return StoreBusyError(f"The database was locked by others for too long: {text}.")
        case "53", "53100" | "53200":
            return StoreFullError(f"The database has no room left: {text}. Nothing of the last change was recorded.")
        case _, "42P01" | "3F000" | "42703" | "42883":
            return StoreFormatError(
                f"The schema {schema} is not what this Tenuto expects: {text}. Run: tenuto db migrate"
            )
        case _, "42501":
            return StoreError(
                f"The role of this connection may not do what is needed: {text}. Grant it with: tenuto db migrate"
                " --grant ROLE"
            )
        case "22", _:
            return StoreError(f"A value can't be stored: {text}.")
        case "" | "08", _:
            return StoreError(f"The connection to the database was lost: {text}.")
        case _, "57P01" | "57P02" | "57P03":
            return StoreError(f"The database is not there for the moment: {text}.")
    return StoreError(f"The database could not do what was asked of it: {text}.")
