"""A command's connection to its store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

from tenuto.cli.faults import CommandError, Exit, bad_input

if TYPE_CHECKING:
    from tenuto.client import Client

T = TypeVar("T")


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end, on uvloop where the extra `tenuto[fast]` is installed."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)


@asynccontextmanager
async def connected(db: str, *, create: bool = False) -> AsyncIterator[Client]:
    """A client of the store `db`. Without `create` a file that isn't there is an error: most likely its name is
    misspelt."""
    from tenuto.client import Client

    if not create:
        _check_exists(db)
    try:
        client = await Client.connect(db)
    except ValueError as error:
        raise bad_input(error) from None
    async with client:
        yield client


def _check_exists(db: str) -> None:
    path = unquote(db.removeprefix("sqlite:///").partition("?")[0])
    if db.startswith("sqlite:///") and path and not Path(path).exists():
        raise CommandError(
            f"there is no database {path} (--db or TENUTO_DB names another; run, start and worker make one)", Exit.STORE
        )
