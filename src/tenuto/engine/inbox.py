"""The inbox: messages from other processes, and those for executions that were not in memory when they were sent."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Sequence, Set
from typing import TYPE_CHECKING

import msgspec

from tenuto.engine.origin import Origin
from tenuto.engine.resident import Resident
from tenuto.model.errors import StoreError, StoreFormatError
from tenuto.model.messages import Message, decode_message, encode
from tenuto.model.task_messages import DecisionMade, TaskReturned
from tenuto.store.protocol import InboxRow, partition_of

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

logger = logging.getLogger("tenuto.engine")

CHUNK = 500
#: Seconds between looks while messages keep coming, and when none have come for a while.
BRISK, CALM = 0.005, 0.05
#: Looks that find nothing, after which it is calm: where nobody tells us of messages, and where a store does.
RESTLESS, HINTED = 400, 4
#: Messages that may be read and not yet dealt with; more have to wait in the store.
MOST_KNOWN = 20_000


class Inbox:
    """Reads messages in order, hands them to the engine, and remembers which of our own are still on their way."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        #: Messages that have been read and are, for all we know, still in the store, with their partitions.
        self._known: dict[int, int] = {}
        #: Those of them that a commit has removed.
        self._removed: list[int] = []
        #: Our own messages on their way, by workflow id, as they were sent: those of other processes look different.
        self._on_the_way: dict[str, Counter[bytes]] = {}
        #: Goes up with each new beginning; what was read before it is read again.
        self.generation = 0
        #: Has everything been read that was there when we began?
        self._caught_up = False
        self._poked = asyncio.Event()

    def send(self, message: Message) -> None:
        """Record `message` with the current batch, for whoever owns the target's partition."""
        workflow_id = message.target.workflow_id
        batch = self._engine.batch
        data = encode(message)
        batch.sent.append((partition_of(workflow_id), data))
        if self._engine.owns(workflow_id):
            self._on_the_way.setdefault(workflow_id, Counter())[data] += 1
            batch.effects.append(self._poked.set)

    def awaits(self, workflow_id: str) -> bool:
        """Is a message to this execution on its way through the inbox, so that a later one must not overtake it?"""
        return not self._caught_up or workflow_id in self._on_the_way

    def poke(self) -> None:
        """There may be messages."""
        self._poked.set()

    def removed(self, messages: Sequence[tuple[int, int]]) -> None:
        """These have left the store."""
        self._removed += [id for _, id in messages]

    def extend(self) -> None:
        """There are more partitions, whose messages have not been read."""
        self._caught_up = False
        self._poked.set()

    def leave(self, partitions: Set[int]) -> None:
        """These partitions are no longer ours."""
        for workflow_id in [id for id in self._on_the_way if partition_of(id) in partitions]:
            del self._on_the_way[workflow_id]
        # Should they come back, what is still in the store is read again.
        self._known = {id: partition for id, partition in self._known.items() if partition not in partitions}

    def reset(self) -> None:
        """Begin again with what the store has."""
        self.generation += 1
        self._caught_up = False
        self._known.clear()
        self._removed.clear()
        self._on_the_way.clear()
        self._poked.set()

    async def run(self) -> None:
        """Look for messages for ever."""
        quiet, patience = 0, HINTED if self._engine.store.shared else RESTLESS
        while True:
            # What a commit has removed can't be found by a look that begins now.
            for id in self._removed:
                self._known.pop(id, None)
            self._removed.clear()
            partitions = self._engine.ownership.partitions
            if not partitions or len(self._known) >= MOST_KNOWN:
                await self._pause(CALM)
                continue
            rows = await self._look(partitions)
            if rows is None:
                continue
            for row in rows:
                self._known[row.id] = row.partition
                self._take(row)
            self._caught_up |= len(rows) < CHUNK
            quiet = 0 if rows else quiet + 1
            if len(rows) < CHUNK:
                await self._pause(BRISK if quiet < patience else CALM)

    async def _look(self, partitions: list[int]) -> list[InboxRow] | None:
        """What has arrived; None if it has to be looked for again."""
        generation = self.generation
        try:
            rows = await self._engine.store.receive(partitions, self._known, CHUNK)
        except StoreFormatError:
            raise  # what is damaged stays so
        except StoreError as error:
            logger.warning("the inbox could not be read, which is tried again: %s", error)
            await self._pause(CALM)
            return None
        # After a new beginning meanwhile it is not the same that is known.
        return rows if generation == self.generation else None

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
        origin = Origin(inbox=(row.partition, row.id), reply_to=message.reply_to)
        workflow_id = message.target.workflow_id
        generation = self.generation

        def arrive(resident: Resident | None) -> None:
            if generation != self.generation:
                return  # it waited for its execution while a commit failed, and has been read again since
            if not self._engine.owns(workflow_id):
                self._known.pop(row.id, None)  # it stays in the store, for the new owner
                return
            self._arrived(workflow_id, row.data)
            self._engine.handle(resident, message, origin)

        residents = self._engine.residents
        visit = residents.interrupt if isinstance(message.body, DecisionMade | TaskReturned) else residents.visit
        visit(workflow_id, arrive)

    def _arrived(self, workflow_id: str, data: bytes) -> None:
        """It is no longer on its way, if it was one of ours."""
        ours = self._on_the_way.get(workflow_id)
        if ours is None or data not in ours:
            return
        ours[data] -= 1
        if ours[data] <= 0:
            del ours[data]
        if not ours:
            del self._on_the_way[workflow_id]
