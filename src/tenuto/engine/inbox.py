"""The inbox: messages from other processes, and those for executions that were not in memory when they were sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING

from tenuto.engine.origin import Origin
from tenuto.engine.resident import Resident
from tenuto.model.errors import StoreError
from tenuto.model.messages import Message, decode_message, encode
from tenuto.store.protocol import InboxRow, partition_of

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

CHUNK = 500
#: Seconds between looks while messages keep coming, and when none have come for a while.
BRISK, CALM = 0.005, 0.05


class Inbox:
    """Reads messages in order, hands them to the engine, and remembers which of our own are still on their way."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._last_id = 0
        self._on_the_way: Counter[str] = Counter()
        self._poked = asyncio.Event()

    def send(self, message: Message) -> None:
        """Record `message` with the current batch, for whoever owns the target's partition."""
        workflow_id = message.target.workflow_id
        partition = partition_of(workflow_id)
        batch = self._engine.batch
        batch.sent.append((partition, encode(message)))
        if partition in self._engine.epochs:
            self._on_the_way[workflow_id] += 1
            batch.effects.append(self._poked.set)

    def awaits(self, workflow_id: str) -> bool:
        """Is a message to this execution on its way through the inbox, so that a later one must not overtake it?"""
        return workflow_id in self._on_the_way

    def reset(self) -> None:
        """Begin again with what the store has."""
        self._last_id = 0
        self._on_the_way.clear()
        self._poked.set()

    async def run(self) -> None:
        """Look for messages for ever."""
        quiet = 0
        while True:
            try:
                rows = await self._engine.store.receive(list(self._engine.epochs), self._last_id, CHUNK)
            except StoreError:
                rows = []
            for row in rows:
                self._last_id = row.id
                self._take(row)
            quiet = 0 if rows else quiet + 1
            if len(rows) < CHUNK:
                await self._pause(BRISK if quiet < 400 else CALM)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._poked.wait(), seconds)
        self._poked.clear()

    def _take(self, row: InboxRow) -> None:
        message = decode_message(row.data)
        origin = Origin(inbox_id=row.id, reply_to=message.reply_to)
        workflow_id = message.target.workflow_id

        def arrive(resident: Resident | None) -> None:
            self._on_the_way[workflow_id] -= 1
            if self._on_the_way[workflow_id] <= 0:
                del self._on_the_way[workflow_id]
            self._engine.handle(resident, message, origin)

        self._engine.residents.visit(workflow_id, arrive)
