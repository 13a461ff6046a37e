"""A connection that is opened when it is first needed, and again when it was lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_log = logging.getLogger(__name__)

#: Seconds that a connection may take to say good-bye.
_CLOSING = 5.0


class Shared(Generic[T]):
    """One connection for all who need it at a time."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[T]],
        disconnect: Callable[[T], Awaitable[None]],
        usable: Callable[[T], bool] = lambda _: True,
    ) -> None:
        self._connect = connect
        self._disconnect = disconnect
        self._usable = usable
        self._current: T | None = None
        self._lock = asyncio.Lock()

    async def get(self) -> T:
        """The connection. Raises what `connect` raises."""
        async with self._lock:
            if self._current is not None and not self._usable(self._current):
                lost, self._current = self._current, None
                await self._drop(lost)
            if self._current is None:
                self._current = await self._connect()
            return self._current

    async def aclose(self) -> None:
        """Close the connection, if there is one."""
        async with self._lock:
            current, self._current = self._current, None
            if current is not None:
                await self._drop(current)

    async def _drop(self, connection: T) -> None:
        try:
            async with asyncio.timeout(_CLOSING):
                await self._disconnect(connection)
        except Exception as error:  # noqa: BLE001 - it is given up either way, and the others want to be closed too
            _log.warning("A connection did not close properly: %s", str(error) or type(error).__name__)
