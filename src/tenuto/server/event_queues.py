"""Event queues: messages come from EVENT tasks and from buses, and event handlers take them.

A message is on record before its sender hears that it was taken, and stays so until every action of every handler has
come to an end. After a crash what was begun is begun again; actions are such that this repeats nothing. A message that
no active handler wants waits for one. Of several servers the one that took a message in deals with it, as long as it is
there.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tenuto.cage.errors import CageUnavailable
from tenuto.engine.clock import SECOND
from tenuto.model.errors import RPCError, StoreError
from tenuto.model.json_values import Json, encode_json
from tenuto.server.collection import key_of
from tenuto.server.event_payloads import read_payload
from tenuto.server.event_records import PENDING, EventRecords, PendingMessage, decode_pending
from tenuto.server.event_runs import HandlerRuns, NotNow
from tenuto.server.event_sources import EventSources
from tenuto.server.insisting import insist
from tenuto.server.orphans import Orphans
from tenuto.store.protocol import Document
from tenuto.system_tasks.buses.bus import BusError, Message

if TYPE_CHECKING:
    from tenuto.server.services import Services

logger = logging.getLogger("tenuto.events")

#: Messages that are dealt with at a time.
WORKERS = 16
#: Messages that wait to be handled, in all; publishers are refused beyond.
MOST_PENDING = 100_000
#: Messages that wait for a handler that isn't there, in all; the oldest go first.
MOST_UNWANTED = 50_000
#: Seconds after which a message is tried again, at first and at most, and how often.
SOON, SELDOM, TRIES = 0.5, 30.0, 12


class EventQueues:
    """The queues of one store."""

    def __init__(self, services: Services) -> None:
        self.records = EventRecords(services)
        self._services = services
        self._runs = HandlerRuns(services, self.records)
        self.sources = EventSources(services, self._received)
        self._orphans = Orphans(services, PENDING, _doer, _handed, self._taken_over)
        #: Keys of all messages that wait, with how often they were tried.
        self._pending: dict[str, int] = {}
        self._ready: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        #: The queues of those that no active handler wants, oldest first.
        self._unwanted: dict[str, str] = {}

    async def publish(self, queue: str, payload: dict[str, Json], *, message_id: str) -> None:
        """Put a message into a queue; it is on record when this returns. One with an id that the queue has seen already
        is the same message. Raises BusError if too many messages wait, StoreError if it can't be written."""
        key = key_of(queue, message_id)
        if await self.records.is_done(key):
            return
        waiting = len(self._pending) - len(self._unwanted)
        if waiting >= MOST_PENDING and key not in self._pending:
            raise BusError(f"{waiting} messages wait to be handled, which is the limit; publish it later")
        message = PendingMessage(
            id=message_id,
            event=queue,
            payload=payload,
            created_at=self._services.now_ms(),
            taken_by=self._services.engine.ownership.owner,
        )
        # The sender may be a task, which must not fail because the store did for a moment.
        if await insist(partial(self.records.put_pending, key, message), f"a message of {queue}"):
            self._take(queue, key)

    def _take(self, queue: str, key: str) -> None:
        """A message that is on record is ours to deal with."""
        if key not in self._pending:
            self._pending[key] = 0
            self._ready.put_nowait((queue, key))

    def _taken_over(self, document: Document) -> None:
        self._take(decode_pending(document.data).event, document.key)

    async def _received(self, queue: str, message: Message) -> None:
        """A message came from a bus."""
        await self.publish(queue, read_payload(message.payload), message_id=message.id)

    def sizes(self) -> dict[str, int]:
        """How many messages wait, by queue; those at other servers as they were lately."""
        sizes = self.own_sizes()
        for bulletin in self._services.graphs.queues.peers.bulletins:
            for queue, size in bulletin.events.items():
                sizes[queue] = sizes.get(queue, 0) + size
        return sizes

    def own_sizes(self) -> dict[str, int]:
        """How many messages of ours wait, by queue."""
        sizes: dict[str, int] = {}
        for key in self._pending:
            queue = key.partition("\x1f")[0]
            sizes[queue] = sizes.get(queue, 0) + 1
        return sizes

    # -- dealing with messages -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Deal with messages, for ever."""
        await self._services.engine.patiently(self.records.load)
        await self._services.engine.patiently(self._orphans.take_over)
        self._services.graphs.queues.peers.events = self.own_sizes
        self._services.configuration.event_handlers.changed = self._handlers_changed
        async with asyncio.TaskGroup() as group:
            group.create_task(self.sources.follow())
            group.create_task(self._orphans.watch())
            for _ in range(WORKERS):
                group.create_task(self._work())

    def _handlers_changed(self) -> None:
        handlers = self._services.configuration.event_handlers
        wanted = {handler.event for handler in handlers.all() if handler.active}
        for key, queue in list(self._unwanted.items()):
            if queue in wanted:
                del self._unwanted[key]
                self._ready.put_nowait((queue, key))
        self.sources.look_again()

    async def _work(self) -> None:
        while True:
            queue, key = await self._ready.get()
            try:
                await self._deal_with(queue, key)
            except (NotNow, StoreError, RPCError, CageUnavailable) as error:
                self._again(queue, key, str(error))
            except Exception:  # one message must not stop all others
                logger.exception("message %s of %s could not be dealt with", key.partition("\x1f")[2], queue)
                self._again(queue, key, "an unexpected error")

    async def _deal_with(self, queue: str, key: str) -> None:
        if await self.records.is_done(key):
            await self.records.drop_pending(key)
            self._pending.pop(key, None)
            return
        handlers = self._services.configuration.event_handlers.active(queue)
        if not handlers:
            await self._set_aside(queue, key)
            return
        message = await self.records.pending(key)
        if message is not None:
            last = self._pending.get(key, 0) + 1 >= TRIES
            executions = await self._runs.run(handlers, message, last=last)
            message.handlers = len(handlers)
            await self.records.finish(key, message.done(), executions)
        self._pending.pop(key, None)

    async def _set_aside(self, queue: str, key: str) -> None:
        """Nobody wants the message now."""
        self._unwanted[key] = queue
        if len(self._unwanted) > MOST_UNWANTED:
            oldest = next(iter(self._unwanted))
            dropped = self._unwanted.pop(oldest)
            self._pending.pop(oldest, None)
            logger.warning("%d messages have no active handler: the oldest, of %s, is dropped", MOST_UNWANTED, dropped)
            await self.records.drop_pending(oldest)

    def _again(self, queue: str, key: str, reason: str) -> None:
        """Try again after a while."""
        tries = self._pending.get(key, 0)
        self._pending[key] = tries + 1
        delay = min(SOON * 2.0 ** min(tries, 16), SELDOM)
        logger.warning("a message of %s is tried again in %g s: %s", queue, delay, reason)
        clock = self._services.clock
        clock.call_at(clock.now() + int(delay * SECOND), partial(self._ready.put_nowait, (queue, key)))


def _doer(data: bytes) -> str:
    return decode_pending(data).taken_by


def _handed(data: bytes, server: str) -> bytes:
    return encode_json(replace(decode_pending(data), taken_by=server))
