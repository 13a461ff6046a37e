"""The queues of tasks for workers: what waits, who waits for it, and what the limits allow.

A queue belongs to a task type, or to a type in a domain. It holds places of tasks, not the tasks: whoever takes one
visits its execution, which says whether the task is still there to be taken. Queues live in memory and are filled again
from the executions after a restart.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from tenuto.engine.resident import Resident
from tenuto.engine.task_limits import TaskLimits
from tenuto.graph.definitions import TaskDef
from tenuto.graph.execution import GraphExecution
from tenuto.graph.operations import poll
from tenuto.model.graph import Task

if TYPE_CHECKING:
    from tenuto.engine.graphs import Graphs

T = TypeVar("T")

#: Seconds for which a worker counts as polling after its latest poll.
POLLING = 10.0
#: Entries of tasks that don't wait any more, that a queue may hold beside as many as wait.
LEFT_OVER = 1_000
#: Queues that are kept though nobody uses them, and workers of one queue, and queues, of which the last poll is known.
IDLE_QUEUES = 10_000
KNOWN_POLLERS = 10_000


class Entry(Struct, order=True, gc=False):
    """A task that waits: higher priority first, then first come, first served."""

    urgency: int
    order: int
    workflow_id: str
    number: int
    task_id: str
    def_name: str
    since: int
    """When it came, in nanoseconds since the epoch."""


class PollData(Struct):
    """Who polled a queue last, and when (nanoseconds)."""

    queue_name: str
    domain: str
    worker_id: str
    last_poll_time: int


class Handed(Struct):
    """A task that was handed out, with the execution it belongs to. To be released after the commit."""

    execution: GraphExecution
    task: Task


class Poller:
    """Somebody who waits for tasks of one queue."""

    __slots__ = ("alarm", "finishing", "found", "future", "pending", "render", "wanted", "worker_id")

    def __init__(
        self,
        worker_id: str,
        wanted: int,
        render: Callable[[GraphExecution, Task], bytes],
        future: asyncio.Future[list[bytes]],
    ) -> None:
        self.future = future
        self.worker_id = worker_id
        self.wanted = wanted
        self.render = render
        self.found: list[bytes] = []
        #: Executions that are being read for it.
        self.pending = 0
        self.finishing = False
        self.alarm: asyncio.TimerHandle | None = None

    @property
    def room(self) -> int:
        return 0 if self.future.done() else self.wanted - len(self.found) - self.pending


class Backlog(Struct):
    """What a queue is like at present."""

    size: int
    """Tasks that wait."""
    next_since: int
    """When the task came that is the next to be handed out, in nanoseconds since the epoch; 0 if none waits."""
    pollers: int
    """Polls that wait."""


class Queue:
    __slots__ = ("domain", "entries", "pollers", "size", "system", "task_type")

    def __init__(self, task_type: str, domain: str, system: bool) -> None:
        self.task_type = task_type
        self.domain = domain
        self.system = system
        #: Those that wait and, until they are passed over, some that don't any more.
        self.entries: list[Entry] = []
        #: How many wait.
        self.size = 0
        self.pollers: deque[Poller] = deque()


class TaskQueues:
    def __init__(self, graphs: Graphs) -> None:
        self._graphs = graphs
        self._queues: dict[tuple[str, str], Queue] = {}
        self._prune_at = IDLE_QUEUES
        #: Where each waiting task is, by its id. An entry that is not the one here is passed over.
        self._waiting: dict[str, Entry] = {}
        #: Who has polled and has no answer yet.
        self._pollers: set[Poller] = set()
        self._order = 0
        self._polls: dict[tuple[str, str], dict[str, PollData]] = {}
        self.limits = TaskLimits(graphs.engine.clock, self._room_again)

    # -- tasks come and go -------------------------------------------------------------------------------------------

    def offer(self, resident: Resident, task: Task, definition: TaskDef, priority: int) -> None:
        """The task may be handed out."""
        if task.task_id in self._waiting:
            return
        queue = self._queue(task.task_type, task.domain, task.kind == "SYSTEM")
        self._order += 1
        since = self._graphs.engine.clock.now()
        entry = Entry(-priority, self._order, resident.row.workflow_id, task.number, task.task_id, task.def_name, since)
        self._waiting[task.task_id] = entry
        queue.size += 1
        self.limits.learn(task.def_name, definition)
        heapq.heappush(queue.entries, entry)
        self._serve(queue)

    def retract(self, task: Task) -> None:
        """The task is over, or not to be handed out for now."""
        if self._waiting.pop(task.task_id, None) is not None:
            self._drop(self._queue(task.task_type, task.domain, task.kind == "SYSTEM"))
        self.limits.leave(task.def_name, task.task_id)

    def _drop(self, queue: Queue) -> None:
        """A task of the queue waits no more; where nobody polls, nobody passes over what is left of it."""
        queue.size -= 1
        if len(queue.entries) > 2 * queue.size + LEFT_OVER:
            queue.entries = [entry for entry in queue.entries if self._waiting.get(entry.task_id) is entry]
            heapq.heapify(queue.entries)

    def adopt(self, task: Task, definition: TaskDef) -> None:
        """A task that is out already takes its place among those that the limits count."""
        self.limits.learn(task.def_name, definition)
        self.limits.enter(task.def_name, task.task_id, again=True)

    def clear(self) -> None:
        """The engine starts over from what the store knows."""
        self._waiting.clear()
        self.limits.clear()
        for poller in list(self._pollers):
            if not poller.future.done():
                poller.future.set_result([])  # what it was to get is perhaps not on record
        for queue in self._queues.values():
            queue.entries.clear()
            queue.size = 0

    # -- workers -----------------------------------------------------------------------------------------------------

    def poll(
        self,
        task_type: str,
        domain: str,
        worker_id: str,
        count: int,
        timeout: float,
        render: Callable[[GraphExecution, Task], bytes],
    ) -> Poller:
        """Ask for up to `count` tasks. The poller's future gets what `render` makes of them, as soon as there is one,
        or an empty list after `timeout` seconds; never before the hand-out is on record."""
        self._note_poll(task_type, domain, worker_id)
        poller = Poller(worker_id, count, render, self._graphs.future())
        queue = self._queue(task_type, domain, self._graphs.is_system(task_type))
        self._pollers.add(poller)
        poller.future.add_done_callback(lambda _: self._pollers.discard(poller))
        queue.pollers.append(poller)
        self._serve(queue)
        if poller.found:
            self._finish_soon(poller)
        elif timeout > 0:
            poller.alarm = asyncio.get_running_loop().call_later(timeout, self._give_up, queue, poller)
        else:
            self._give_up(queue, poller)
        return poller

    def leave(self, poller: Poller) -> None:
        """Whoever polled has gone: nothing more for it."""
        if not poller.future.done():
            poller.future.cancel()
        if poller.alarm is not None:
            poller.alarm.cancel()

    def release_pollers(self) -> None:
        """Answer all who wait, now: the server stops."""
        for queue in self._queues.values():
            for poller in list(queue.pollers):
                self._give_up(queue, poller)

    def _give_up(self, queue: Queue, poller: Poller) -> None:
        if poller in queue.pollers:
            queue.pollers.remove(poller)
        poller.alarm = None
        if not poller.found and not poller.pending and not poller.future.done():
            poller.future.set_result([])

    def _note_poll(self, task_type: str, domain: str, worker_id: str) -> None:
        workers = self._polls.get((task_type, domain))
        if workers is None:
            _make_room(self._polls)
            workers = self._polls[task_type, domain] = {}
        if worker_id not in workers:
            _make_room(workers)
        workers[worker_id] = PollData(task_type, domain, worker_id, self._graphs.engine.clock.now())

    # -- handing out -------------------------------------------------------------------------------------------------

    def _serve(self, queue: Queue) -> None:
        """Hand out what can be handed out."""
        while queue.entries:
            poller = None if queue.system else self._next_poller(queue)
            if poller is None and not queue.system:
                return
            entry = self._take(queue)
            if entry is None:
                return
            if poller is not None:
                poller.pending += 1
            self._graphs.engine.residents.visit(
                entry.workflow_id,
                lambda resident, entry=entry, poller=poller: self._hand_out(queue, entry, poller, resident),  # type: ignore[misc]
            )

    def _next_poller(self, queue: Queue) -> Poller | None:
        while queue.pollers:
            poller = queue.pollers[0]
            if poller.room > 0:
                return poller
            queue.pollers.popleft()
        return None

    def _take(self, queue: Queue) -> Entry | None:
        """The next task of the queue that the limits allow to go out; None if there is none now."""
        while queue.entries:
            entry = queue.entries[0]
            if self._waiting.get(entry.task_id) is not entry:
                heapq.heappop(queue.entries)
                continue
            if not self.limits.enter(entry.def_name, entry.task_id):
                return None
            heapq.heappop(queue.entries)
            del self._waiting[entry.task_id]
            queue.size -= 1
            return entry
        return None

    def _hand_out(self, queue: Queue, entry: Entry, poller: Poller | None, resident: Resident | None) -> None:
        graph = None if resident is None else resident.graph
        taken = None
        if poller is not None:
            poller.pending -= 1
            if poller.future.done() and graph is not None and resident is not None:
                self._put_back(resident, graph, entry)
                return
        if graph is not None and resident is not None:
            worker_id = "" if poller is None else poller.worker_id
            tasks = graph.state.last_number
            taken = poll.hand_out(graph, self._graphs.context(), entry.number, worker_id)
            if poller is not None and graph.state.last_number == tasks:
                self._graphs.record(resident, graph)
            else:
                self._graphs.engine.touch(resident)  # a system task is to be run, or a state change scheduled a task
        if taken is None:
            self.limits.leave(entry.def_name, entry.task_id)
            if poller is not None and poller.alarm is not None and poller not in queue.pollers:
                queue.pollers.appendleft(poller)  # it goes on waiting
            self._serve(queue)
        elif poller is not None and graph is not None:
            poller.found.append(poller.render(graph, taken))
        if poller is not None:
            self._finish_soon(poller)

    def _put_back(self, resident: Resident, graph: GraphExecution, entry: Entry) -> None:
        """Whoever asked has gone meanwhile."""
        self.limits.leave(entry.def_name, entry.task_id)
        task = graph.state.tasks.get(entry.number)
        if task is not None and task.status == "SCHEDULED":
            self.offer(resident, task, graph.task_def(task), graph.state.started.priority)

    def _finish_soon(self, poller: Poller) -> None:
        """Answer with this batch; what is scheduled in this turn of the loop comes along."""
        if not poller.finishing:
            poller.finishing = True
            asyncio.get_running_loop().call_soon(self._finish, poller)

    def _finish(self, poller: Poller) -> None:
        poller.finishing = False
        if poller.pending or poller.future.done():
            return
        if not poller.found and poller.alarm is not None:
            return  # what it was to get has gone, but its time is not over
        if poller.alarm is not None:
            poller.alarm.cancel()
        tasks = poller.found
        poller.wanted = 0
        self._graphs.after_commit(poller.future, tasks)

    # -- limits ------------------------------------------------------------------------------------------------------

    def _room_again(self, def_name: str) -> None:
        """A limit allows more tasks of this definition again."""
        for queue in list(self._queues.values()):
            if queue.entries and queue.entries[0].def_name == def_name:
                self._serve(queue)

    # -- views -------------------------------------------------------------------------------------------------------

    def _queue(self, task_type: str, domain: str, system: bool) -> Queue:
        queue = self._queues.get((task_type, domain))
        if queue is None:
            if len(self._queues) >= self._prune_at:
                self._prune()
            queue = self._queues[task_type, domain] = Queue(task_type, domain, system)
        return queue

    def _prune(self) -> None:
        """Forget the queues that nobody uses: anybody may poll for any name."""
        self._queues = {key: queue for key, queue in self._queues.items() if queue.entries or queue.pollers}
        self._prune_at = len(self._queues) + IDLE_QUEUES

    def size(self, task_type: str, domain: str = "") -> int:
        """How many tasks wait in a queue."""
        queue = self._queues.get((task_type, domain))
        return 0 if queue is None else queue.size

    def sizes(self) -> dict[tuple[str, str], int]:
        """The sizes of all queues, by task type and domain."""
        return {key: self.size(*key) for key in self._queues}

    def backlogs(self) -> dict[tuple[str, str], Backlog]:
        """What all queues are like, by task type and domain."""
        return {
            key: Backlog(queue.size, self._next_since(queue), len(queue.pollers)) for key, queue in self._queues.items()
        }

    def _next_since(self, queue: Queue) -> int:
        while queue.entries and self._waiting.get(queue.entries[0].task_id) is not queue.entries[0]:
            heapq.heappop(queue.entries)
        return queue.entries[0].since if queue.entries else 0

    def poll_data(self, task_type: str | None = None) -> list[PollData]:
        """Who polls, of one type or of all."""
        return [
            data
            for (name, _), workers in self._polls.items()
            if task_type is None or name == task_type
            for data in workers.values()
        ]

    def route(self, task_type: str, domains: list[str]) -> str:
        """The first of `domains` from which a worker polls now, else the last."""
        since = self._graphs.engine.clock.now() - int(POLLING * 1_000_000_000)
        for domain in domains:
            workers = self._polls.get((task_type, domain), {})
            if any(data.last_poll_time >= since for data in workers.values()):
                return domain
        return domains[-1] if domains else ""


def _make_room(known: dict[T, Any]) -> None:
    """Forget the oldest entry if there are too many."""
    if len(known) >= KNOWN_POLLERS:
        known.pop(next(iter(known)))
