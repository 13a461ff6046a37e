"""The inbox: messages from other processes, and those for executions that were not in memory when they were sent."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from typing import TYPE_CHECKING, TypeVar

import msgspec

from tenuto.engine.origin import Origin
from tenuto.engine.resident import Resident
from tenuto.model.errors import StoreError, StoreFormatError
from tenuto.model.messages import Message, decode_message, encode
from tenuto.store.protocol import InboxRow, partition_of

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

T = TypeVar("T")

logger = logging.getLogger("tenuto.engine")

CHUNK = 500
#: Seconds between looks while messages keep coming, and when none have come for a while.
BRISK, CALM = 0.005, 0.05


class Inbox:
    """Reads messages in order, hands them to the engine, and remembers which of our own are still on their way."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._last_id = 0
        self._on_the_way: Counter[str] = Counter()
        #: Our own messages on their way, as they were sent: those of other processes look different.
        self._own: Counter[bytes] = Counter()
        #: Goes up with each new beginning; what was read before it is read again.
        self._generation = 0
        #: Has everything been read that was there when we began?
        self._caught_up = False
        self._poked = asyncio.Event()

    def send(self, message: Message) -> None:
        """Record `message` with the current batch, for whoever owns the target's partition."""
        workflow_id = message.target.workflow_id
        partition = partition_of(workflow_id)
        batch = self._engine.batch
        data = encode(message)
        batch.sent.append((partition, data))
        if partition in self._engine.epochs:
            self._on_the_way[workflow_id] += 1
            self._own[data] += 1
            batch.effects.append(self._poked.set)

    def awaits(self, workflow_id: str) -> bool:
        """Is a message to this execution on its way through the inbox, so that a later one must not overtake it?"""
        return not self._caught_up or workflow_id in self._on_the_way

    def reset(self) -> None:
        """Begin again with what the store has."""
        self._generation += 1
        self._caught_up = False
        self._last_id = 0
        self._on_the_way.clear()
        self._own.clear()
        self._poked.set()

    async def run(self) -> None:
        """Look for messages for ever."""
        quiet = 0
        while True:
            generation = self._generation
            try:
                rows = await self._engine.store.receive(list(self._engine.epochs), self._last_id, CHUNK)
            except StoreFormatError:
                raise  # what is damaged stays so
            except StoreError as error:
                logger.warning("the inbox could not be read, which is tried again: %s", error)
                await self._pause(CALM)
                continue
            if generation != self._generation:
                continue  # a new beginning meanwhile: these would make us skip what is before them
            for row in rows:
                self._last_id = row.id
                self._take(row)
            self._caught_up |= len(rows) < CHUNK
            quiet = 0 if rows else quiet + 1
            if len(rows) < CHUNK:
                await self._pause(BRISK if quiet < 400 else CALM)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            # Not `wait_for`: on Python 3.11 it can swallow a cancellation that comes together with the poke.
            async with asyncio.timeout(seconds):
                await self._poked.wait()
        self._poked.clear()

    def _take(self, row: InboxRow) -> None:
        try:
            message = decode_message(row.data)
        except msgspec.ValidationError as error:
            # It stays where it is, for an engine that knows what it is.
            logger.error("message %d of the inbox can't be understood and is left there: %s", row.id, error)
            return
        origin = Origin(inbox_id=row.id, reply_to=message.reply_to)
        workflow_id = message.target.workflow_id
        generation = self._generation

        def arrive(resident: Resident | None) -> None:
            if generation != self._generation:
                return  # it waited for its execution while a commit failed, and has been read again since
            self._arrived(workflow_id, row.data)
            self._engine.handle(resident, message, origin)

        self._engine.residents.visit(workflow_id, arrive)

    def _arrived(self, workflow_id: str, data: bytes) -> None:
        """It is no longer on its way, if it was one of ours."""
        if data not in self._own:
            return
        _count_down(self._own, data)
        _count_down(self._on_the_way, workflow_id)


def _count_down(counter: Counter[T], key: T) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
