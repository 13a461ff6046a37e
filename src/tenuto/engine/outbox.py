"""The outbox: what this process did for executions that others own, on its way to them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from tenuto.model import messages as msg
from tenuto.model.errors import StoreError, StoreFormatError
from tenuto.model.events import ExecutionRef
from tenuto.store.protocol import partition_of

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

logger = logging.getLogger("tenuto.engine")

#: Messages sent at one go, and messages from which on nothing new is claimed until some are sent.
CHUNK = 1000
FULL = 5000
#: Seconds between two tries while the store fails: first, and at most.
SOON, SELDOM = 0.05, 2.0


class Outbox:
    """Sends all that has gathered at one go, and what the store doesn't take again and again. Nothing in it is lost
    with the process: whatever isn't sent was claimed, and is done again by others."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: list[tuple[int, bytes]] = []
        self._pause = SOON
        self._some = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def full(self) -> bool:
        """Do so many messages wait that there should be no more of them?"""
        return len(self._waiting) >= FULL

    def put(self, workflow_id: str, run_id: str, body: msg.Body) -> None:
        """Send `body` to whoever owns the run."""
        data = msg.encode(msg.Message(ExecutionRef(workflow_id, run_id), body))
        self._waiting.append((partition_of(workflow_id), data))
        self._empty.clear()
        self._some.set()

    async def drain(self) -> None:
        """Wait until everything is sent, or never will be."""
        await self._empty.wait()

    async def run(self) -> None:
        """Send for ever."""
        try:
            while True:
                if not self._waiting:
                    self._empty.set()
                    self._some.clear()
                    await self._some.wait()
                await self._send(self._waiting[:CHUNK])
        finally:
            self._empty.set()

    async def _send(self, messages: list[tuple[int, bytes]]) -> None:
        try:
            await self._engine.store.send(messages)
        except StoreFormatError:
            raise  # what is damaged stays so
        except StoreError as error:
            extra = {"action": "results_not_sent"}
            logger.warning("%d results could not be sent, which is tried again: %s", len(messages), error, extra=extra)
            await asyncio.sleep(self._pause)
            self._pause = min(self._pause * 2, SELDOM)
            return
        self._pause = SOON
        del self._waiting[: len(messages)]
        if not self._engine.ownership.epochs.keys().isdisjoint(partition for partition, _ in messages):
            self._engine.inbox.poke()  # some are for ourselves
