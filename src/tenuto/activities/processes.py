"""Activities that run in the processes of a pool: how they are called, beat, and learn that they should stop.

A process of the pool reaches the worker over a local socket that only it knows the key of. It connects with the
attempt's first heartbeat; each heartbeat is answered with the reason to stop, if there is one. When either side dies
the connection does.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

import msgspec
from msgspec import Struct

from tenuto.activities.context import Info, current
from tenuto.activities.heartbeats import Heartbeats
from tenuto.converter import DataConverter
from tenuto.model.payloads import Payload

#: Seconds between two questions whether to stop, while an activity only waits for that.
PATIENCE = 0.1


class Beat(Struct, array_like=True):
    """What a process says of its attempt; without details it only asks whether to stop."""

    attempt: int
    details: list[Payload] | None


class Address(Struct, frozen=True):
    """How a process finds the worker, and which attempt it runs."""

    path: Any
    key: bytes
    attempt: int


_beats = msgspec.msgpack.Decoder(Beat)
_reasons: msgspec.msgpack.Decoder[str | None] = msgspec.msgpack.Decoder(str | None)
_encode = msgspec.msgpack.encode


class Bridge:
    """The worker's side. One for all attempts; made with the first activity that goes to a pool."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._key = os.urandom(32)
        self._listener = Listener(authkey=self._key)
        self._attempts: dict[int, tuple[Heartbeats, Callable[[], str | None]]] = {}
        self._count = 0
        self._closed = False
        threading.Thread(target=self._accept, name="tenuto process bridge", daemon=True).start()

    async def call(
        self,
        executor: ProcessPoolExecutor,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        info: Info,
        heartbeats: Heartbeats,
        stop_reason: Callable[[], str | None],
    ) -> Any:
        """Run `function`, which must be importable by name, in a process of the pool."""
        self._count += 1
        attempt = self._count
        self._attempts[attempt] = (heartbeats, stop_reason)
        address = Address(self._listener.address, self._key, attempt)
        try:
            return await self._loop.run_in_executor(executor, _in_process, function, arguments, info, address)
        finally:
            del self._attempts[attempt]

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        # The thread that accepts is woken by a connection that then finds the bridge closed.
        Client(self._listener.address, authkey=self._key).close()

    def _accept(self) -> None:
        with self._listener:
            while not self._closed:
                try:
                    connection = self._listener.accept()
                except (OSError, EOFError):
                    continue
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        with connection:
            while True:
                try:
                    beat = _beats.decode(connection.recv_bytes())
                    connection.send_bytes(_encode(self._take(beat)))
                except (OSError, EOFError):
                    return

    def _take(self, beat: Beat) -> str | None:
        found = self._attempts.get(beat.attempt)
        if found is None:
            return "not_found"
        heartbeats, stop_reason = found
        if beat.details is not None:
            self._loop.call_soon_threadsafe(heartbeats.beat, beat.details)
        return stop_reason()


class ContextElsewhere:
    """The attempt as its process in the pool knows it; what `Context` is in the worker's own process."""

    def __init__(self, info: Info, address: Address) -> None:
        self.info = info
        self._address = address
        self._connection: Connection | None = None

    @property
    def cancel_reason(self) -> str | None:
        return self._say(None)

    def heartbeat(self, details: tuple[Any, ...]) -> None:
        self._say(DataConverter.default.encode_all(details))

    def wait_in_thread(self, timeout: float | None) -> None:
        """Return when the attempt should stop, or after `timeout` seconds."""
        ends = None if timeout is None else time.monotonic() + timeout
        while self.cancel_reason is None and (ends is None or time.monotonic() < ends):
            time.sleep(PATIENCE)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _say(self, details: list[Payload] | None) -> str | None:
        if self._connection is None:
            self._connection = Client(self._address.path, authkey=self._address.key)
        self._connection.send_bytes(_encode(Beat(self._address.attempt, details)))
        return _reasons.decode(self._connection.recv_bytes())


def _in_process(function: Callable[..., Any], arguments: Sequence[Any], info: Info, address: Address) -> Any:
    context = ContextElsewhere(info, address)
    current.set(context)
    try:
        return function(*arguments)
    finally:
        context.close()
