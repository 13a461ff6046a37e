"""What servers tell each other about every second: how long their queues are, and who polls them. A document each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from tenuto.model.json_values import encode_json
from tenuto.store.protocol import Document

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine
    from tenuto.engine.task_queues import TaskQueues

COLLECTION = "servers"
#: Seconds after which a server that says nothing more is no longer counted, and after which it is gone for good: its
#: executions have long been taken over then, and what is out with them has been counted.
SILENT, GONE = 8.0, 20.0
#: Queues and polls that one server tells of.
MOST = 2_000


class PollData(Struct):
    """Who polled a queue last, and when (nanoseconds)."""

    queue_name: str
    domain: str
    worker_id: str
    last_poll_time: int


class QueueSize(Struct):
    task_type: str
    domain: str
    size: int


class Bulletin(Struct):
    """What one server tells."""

    sizes: list[QueueSize] = []
    polls: list[PollData] = []
    events: dict[str, int] = {}
    """How many messages wait, by event queue."""


class Known(Struct):
    """The latest bulletin of a server, and when it came, by the loop's clock."""

    bulletin: Bulletin
    revision: int
    heard: float
    polled: dict[tuple[str, str], int]
    """When each queue was polled last."""


class GraphPeers:
    """The other servers."""

    def __init__(self, engine: Engine, queues: TaskQueues) -> None:
        self._engine = engine
        self._queues = queues
        self._known: dict[str, Known] = {}
        #: Servers of which nothing has been heard, and since when they are asked for.
        self._unheard: dict[str, float] = {}
        self._told = False
        #: How many servers have gone.
        self.gone = 0
        #: What else to tell: the lengths of event queues.
        self.events: Callable[[], dict[str, int]] = dict

    @property
    def bulletins(self) -> list[Bulletin]:
        """What the others have told lately."""
        since = asyncio.get_running_loop().time() - SILENT
        return [known.bulletin for known in self._known.values() if known.heard >= since]

    def polled(self, task_type: str, domain: str) -> int:
        """When a worker of another server polled a queue last; 0 for never."""
        return max((known.polled.get((task_type, domain), 0) for known in self._known.values()), default=0)

    def is_alive(self, owner: str) -> bool:
        """May the server `owner` still be there? False long after it has gone; sooner if it said so."""
        now = asyncio.get_running_loop().time()
        known = self._known.get(owner)
        since = known.heard if known is not None else self._unheard.setdefault(owner, now)
        return now - since < GONE

    def is_heard(self, owner: str) -> bool:
        """Has the server `owner` told something lately?"""
        known = self._known.get(owner)
        return known is not None and known.heard >= asyncio.get_running_loop().time() - SILENT

    async def look(self) -> None:
        """Tell, and hear; to be called about once a second."""
        if self._engine.ownership.peers:
            await self._tell()
            await self._hear()
        elif self._told:
            await self.farewell()
            self._known.clear()
            self.gone += 1

    async def _tell(self) -> None:
        polls = sorted(self._queues.own_poll_data(), key=lambda data: data.last_poll_time)[-MOST:]
        sizes = [QueueSize(*key, size) for key, size in self._queues.own_sizes().items() if size][:MOST]
        data = encode_json(Bulletin(sizes, polls, self.events()))
        await self._engine.store.put_document(
            Document(COLLECTION, self._engine.ownership.owner, data, updated=self._engine.clock.now())
        )
        self._told = True

    async def _hear(self) -> None:
        now = asyncio.get_running_loop().time()
        found: set[str] = set()
        for document in await self._engine.store.documents(COLLECTION, limit=1000):
            if document.key == self._engine.ownership.owner:
                continue
            found.add(document.key)
            known = self._known.get(document.key)
            if known is None or known.revision != document.revision:
                bulletin = msgspec.json.decode(document.data, type=Bulletin)
                polled = {(data.queue_name, data.domain): data.last_poll_time for data in bulletin.polls}
                self._known[document.key] = Known(bulletin, document.revision, now, polled)
                self._unheard.pop(document.key, None)
            elif now - known.heard > GONE:
                await self._engine.store.delete_document(COLLECTION, document.key)
        for owner in self._known.keys() - found:
            # It has said farewell, and its executions are being taken over.
            del self._known[owner]
            self.gone += 1
            self._unheard[owner] = now - GONE + SILENT

    async def farewell(self) -> None:
        """We are not to be counted any more."""
        if self._told:
            self._told = False
            await self._engine.store.delete_document(COLLECTION, self._engine.ownership.owner)
