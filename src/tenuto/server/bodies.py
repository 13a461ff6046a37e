"""Bodies of requests: read up to a size, and within a time.

Nearly all bodies are there when they are asked for. A timer for each would cost more than some requests do, so one task
looks once a second who has been waiting for too long.
"""

from __future__ import annotations

import asyncio
from time import monotonic

from starlette.types import Receive

from tenuto.server.errors import ApiError

#: Seconds that a client may take to send its body.
PATIENCE = 60.0
#: How much of a body above the limit is taken off the wire, in bodies of the limit's size, so that the client gets to
#: read the refusal.
DISCARDED = 4


class ClientGone(Exception):
    """The client hung up before it had sent its request."""


class Bodies:
    """Reads bodies of at most `limit` bytes."""

    def __init__(self, limit: int, patience: float = PATIENCE) -> None:
        self._limit = limit
        self._patience = patience
        #: Who reads, and since when.
        self._reading: dict[asyncio.Task[object], float] = {}
        self._too_slow: set[asyncio.Task[object]] = set()

    async def read(self, receive: Receive) -> bytes:
        """The whole body. Raises ApiError: 413 above the limit, 408 if it doesn't come in time; ClientGone."""
        task = asyncio.current_task()
        assert task is not None
        self._reading[task] = monotonic()
        try:
            return await self._read(receive)
        except asyncio.CancelledError:
            if task not in self._too_slow:
                raise
            task.uncancel()
            message = f"the body did not arrive within {self._patience:g} s"
            raise ApiError(408, message, headers={"Connection": "close"}) from None
        finally:
            self._reading.pop(task, None)
            self._too_slow.discard(task)

    async def _read(self, receive: Receive) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._limit * (1 + DISCARDED):
                raise too_large(self._limit)
            if size <= self._limit:
                chunks.append(chunk)
            else:
                chunks.clear()
            if not message.get("more_body", False):
                break
        if size > self._limit:
            raise too_large(self._limit)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def discard(self, receive: Receive, size: int) -> None:
        """Take up to `size` bytes of an unwanted body off the wire: a client that still sends doesn't read the
        answer."""
        try:
            async with asyncio.timeout(self._patience):
                while size > 0:
                    message = await receive()
                    size -= len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return
        except TimeoutError:
            return

    async def watch(self) -> None:
        """Cut off, for ever, whoever sends too slowly."""
        while True:
            await asyncio.sleep(min(1.0, self._patience))
            latest = monotonic() - self._patience
            for task in [task for task, since in self._reading.items() if since < latest]:
                del self._reading[task]
                self._too_slow.add(task)
                task.cancel()


def too_large(limit: int) -> ApiError:
    return ApiError(
        413,
        f"the body is larger than {limit} bytes, the server's setting body_limit; nothing was stored",
        headers={"Connection": "close"},
    )
