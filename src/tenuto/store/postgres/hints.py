"""Hints to other members by `NOTIFY`, many in one: the server takes a lock for each that all commits wait for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Struct

from tenuto.model.errors import StoreError
from tenuto.store.postgres import driver
from tenuto.store.postgres.options import Options
from tenuto.store.postgres.sessions import wait_after
from tenuto.store.protocol import PARTITIONS, Hint

logger = logging.getLogger("tenuto.store")

PAUSE = 0.05
"""Seconds between two notifications at least."""
_LONGEST = 7_000  # bytes; the server takes just under 8,000


class _Payload(Struct, array_like=True, omit_defaults=True):
    sender: str
    partitions: list[int] = []
    task_queues: list[str] = []
    answers: bool = False
    closed: bool = False
    leases: bool = False


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Payload).decode


class Outbox:
    """Gathers hints and sends them: at once if none was sent lately, else together a moment later. `send` is given
    the payload."""

    def __init__(self, sender: str, send: Callable[[str], Awaitable[None]]) -> None:
        self._sender = sender
        self._send = send
        self._gathered = Hint()
        self._sending: asyncio.Task[None] | None = None
        self._failed = False

    def add(self, hint: Hint) -> None:
        self._gathered = _both(self._gathered, hint)
        if self._sending is None and hint != Hint():
            self._sending = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Send what there is, but don't wait for the next moment."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait({self._sending})
            self._sending = None
        if self._gathered != Hint():
            await self._flush()

    async def _run(self) -> None:
        try:
            while self._gathered != Hint():
                await self._flush()
                await asyncio.sleep(PAUSE)
        finally:
            self._sending = None

    async def _flush(self) -> None:
        hint, self._gathered = self._gathered, Hint()
        try:
            await self._send(encode(self._sender, hint))
            self._failed = False
        except StoreError as error:
            if not self._failed:
                logger.warning("others could not be told what has changed, and will find out: %s", error)
            self._failed = True


def _both(one: Hint, other: Hint) -> Hint:
    return Hint(
        one.partitions | other.partitions,
        one.task_queues | other.task_queues,
        one.answers or other.answers,
        one.closed or other.closed,
        one.leases or other.leases,
    )


def encode(sender: str, hint: Hint) -> str:
    """The payload of a hint. Names of queues that find no room are left out: a hint may be lost."""
    payload = _Payload(
        sender, sorted(hint.partitions), sorted(hint.task_queues), hint.answers, hint.closed, hint.leases
    )
    if len(hint.partitions) == PARTITIONS:
        payload.partitions = [PARTITIONS]
    text = _encode(payload)
    while len(text) > _LONGEST and payload.task_queues:
        payload.task_queues = payload.task_queues[: len(payload.task_queues) // 2]
        text = _encode(payload)
    return text.decode()


def decode(sender: str, text: str) -> Hint | None:
    """The hint in a payload; None if it is our own, or none at all."""
    try:
        payload = _decode(text)
    except msgspec.MsgspecError:
        return None
    if payload.sender == sender:
        return None
    every = payload.partitions == [PARTITIONS]
    partitions = frozenset(range(PARTITIONS) if every else payload.partitions)
    return Hint(partitions, frozenset(payload.task_queues), payload.answers, payload.closed, payload.leases)


class Listener:
    """Hears what others send, on a connection of its own, for as long as it is wanted."""

    def __init__(self, options: Options, channel: str, sender: str, hinted: Callable[[Hint], None]) -> None:
        self._options = options
        self._channel = channel
        self._sender = sender
        self._hinted = hinted
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                connection = await driver.connect(self._options)
                failures = 0
                await self._listen(connection)
            except StoreError as error:
                if failures == 0:
                    logger.warning("this process hears nothing from others for now, and looks itself: %s", error)
                failures += 1
            await asyncio.sleep(wait_after(failures))

    async def _listen(self, connection: driver.Connection) -> None:
        """Until the connection ends."""
        over = asyncio.Event()
        connection.add_termination_listener(lambda _: over.set())
        try:
            await connection.add_listener(self._channel, self._heard)
            if not connection.is_closed():
                await over.wait()
        except Exception as error:
            if not driver.is_ours(error):
                raise
            raise driver.translated(error, self._options.schema) from error
        finally:
            with contextlib.suppress(Exception):
                await connection.close(timeout=1.0)

    def _heard(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        hint = decode(self._sender, str(payload))
        if hint is not None:
            self._hinted(hint)


def new_sender() -> str:
    """Tells the notifications of one store object from those of others."""
    return uuid4().hex[:12]
