"""What waits in the queues of tasks for workers, and who waits for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from msgspec import Struct

from tenuto.model.graph_messages import GraphTaken

#: Between task type and domain in the name that a queue has in the store.
SEPARATOR = "\x1f"

Render = Callable[[GraphTaken], bytes]


def queue_name(task_type: str, domain: str) -> str:
    """What the queue is called in the store."""
    return f"{task_type}{SEPARATOR}{domain}"


class Entry(Struct, order=True, gc=False):
    """A task that waits: higher priority first, then first come, first served."""

    urgency: int
    order: int
    workflow_id: str
    run_id: str
    number: int
    task_id: str
    def_name: str
    since: int
    """When it came, in nanoseconds since the epoch."""


class Poller:
    """Somebody who waits for tasks of one queue."""

    __slots__ = ("alarm", "finishing", "found", "future", "over", "pending", "render", "wanted", "worker_id")

    def __init__(self, worker_id: str, wanted: int, render: Render, future: asyncio.Future[list[bytes]]) -> None:
        self.future = future
        self.worker_id = worker_id
        self.wanted = wanted
        self.render = render
        self.found: list[bytes] = []
        #: Tasks that are on their way to it: executions that are being read, owners that have been asked.
        self.pending = 0
        self.finishing = False
        #: Its time is over: it takes what is on its way, nothing more.
        self.over = False
        self.alarm: asyncio.TimerHandle | None = None

    @property
    def room(self) -> int:
        return 0 if self.future.done() else self.wanted - len(self.found) - self.pending


class Search(Struct, gc=False):
    """How a queue's tasks are looked for in the store, while workers wait for them."""

    next_at: float = 0.0
    """Not before then, by the loop's clock."""
    pause: float = 0.0
    looking: bool = False
    again: bool = False
    """There may be more since the look began."""
    alarm: asyncio.TimerHandle | None = None


class Queue:
    __slots__ = (
        "domain",
        "entries",
        "polled_at",
        "pollers",
        "search",
        "shown",
        "size",
        "system",
        "task_type",
        "unshown",
        "window",
    )

    def __init__(self, task_type: str, domain: str, system: bool) -> None:
        self.task_type = task_type
        self.domain = domain
        self.system = system
        #: Those that wait and, until they are passed over, some that don't any more.
        self.entries: list[Entry] = []
        #: How many wait.
        self.size = 0
        self.pollers: deque[Poller] = deque()
        #: When a worker polled last, by the loop's clock.
        self.polled_at = float("-inf")
        #: See `TaskBoard`: those of the entries that the store may still be told of, how many it shows, and may show.
        self.unshown: list[Entry] = []
        self.shown = 0
        self.window = 2
        self.search = Search()
