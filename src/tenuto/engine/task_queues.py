"""The queues of tasks for workers: what waits, who waits for it, and what the limits allow.

A queue belongs to a task type, or to a type in a domain. It holds places of tasks, not the tasks: whoever takes one
visits its execution, which says whether the task is still there to be taken. Queues live in memory and are filled again
from the executions after a restart.
"""

from __future__ import annotations

import asyncio
import heapq
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from tenuto.engine.graph_peers import GraphPeers, PollData
from tenuto.engine.resident import Resident
from tenuto.engine.task_board import TaskBoard
from tenuto.engine.task_entries import Entry, Poller, Queue, Render
from tenuto.engine.task_limits import TaskLimits
from tenuto.engine.task_seeker import TaskSeeker
from tenuto.graph.definitions import TaskDef
from tenuto.graph.execution import GraphExecution
from tenuto.graph.operations import poll
from tenuto.graph.secrets import names_secrets
from tenuto.graph.views import task_view
from tenuto.model.graph import Task
from tenuto.model.graph_messages import GraphTaken
from tenuto.model.json_values import encode_json
from tenuto.store.protocol import partition_of

if TYPE_CHECKING:
    from collections.abc import Set

    from tenuto.engine.graphs import Graphs

T = TypeVar("T")

#: Seconds for which a worker counts as polling after its latest poll.
POLLING = 10.0
#: Seconds that a poll may wait beyond its time for a task that is on its way to it.
OVERTIME = 2.0
#: Entries of tasks that don't wait any more, that a queue may hold beside as many as wait.
LEFT_OVER = 1_000
#: Queues that are kept though nobody uses them, and workers of one queue, and queues, of which the last poll is known.
IDLE_QUEUES = 10_000
KNOWN_POLLERS = 10_000


class Backlog(Struct):
    """What a queue is like at present."""

    size: int
    """Tasks that wait."""
    next_since: int
    """When the task came that is the next to be handed out, in nanoseconds since the epoch; 0 if none waits."""
    pollers: int
    """Polls that wait."""


class TaskQueues:
    def __init__(self, graphs: Graphs) -> None:
        self._graphs = graphs
        self._queues: dict[tuple[str, str], Queue] = {}
        self._prune_at = IDLE_QUEUES
        #: Where each waiting task is, by its id. An entry that is not the one here is passed over.
        self._waiting: dict[str, Entry] = {}
        #: Who has polled and has no answer yet.
        self._pollers: dict[Poller, Queue] = {}
        self._order = 0
        self._polls: dict[tuple[str, str], dict[str, PollData]] = {}
        #: Entries that were found while their partitions were on the move.
        self._aside: list[tuple[Queue, Entry]] = []
        self.peers = GraphPeers(graphs.engine, self)
        self.limits = TaskLimits(graphs.engine, lambda: graphs.shares_limits, self.peers.is_alive, self._room_again)
        self.board = TaskBoard(graphs.engine, self.limits, self._waits)
        self.seeker = TaskSeeker(graphs.engine, self)

    # -- tasks come and go -------------------------------------------------------------------------------------------

    def offer(self, resident: Resident, task: Task, definition: TaskDef, priority: int) -> None:
        """The task may be handed out."""
        if task.task_id in self._waiting:
            return
        queue = self._queue(task.task_type, task.domain, task.kind == "SYSTEM")
        self._order += 1
        since, row = self._graphs.engine.clock.now(), resident.row
        entry = Entry(
            -priority, self._order, row.workflow_id, row.run_id, task.number, task.task_id, task.def_name, since
        )
        self._waiting[task.task_id] = entry
        queue.size += 1
        self.limits.learn(task.def_name, definition)
        heapq.heappush(queue.entries, entry)
        self._serve(queue)
        if self._waits(entry):
            self.board.offer(queue, entry)

    def _waits(self, entry: Entry) -> bool:
        return self._waiting.get(entry.task_id) is entry

    def retract(self, task: Task) -> None:
        """The task is over, or not to be handed out for now."""
        entry = self._waiting.get(task.task_id)
        if entry is not None:
            self.board.take_down(entry)
        self.forget(task)

    def forget(self, task: Task) -> None:
        """The task is no longer ours; or it is over."""
        if self._waiting.pop(task.task_id, None) is not None:
            self._drop(self._queue(task.task_type, task.domain, task.kind == "SYSTEM"))
        self.limits.leave(task.def_name, task.task_id)

    def _drop(self, queue: Queue) -> None:
        """A task of the queue waits no more; where nobody polls, nobody passes over what is left of it."""
        queue.size -= 1
        if len(queue.entries) > 2 * queue.size + LEFT_OVER:
            queue.entries = [entry for entry in queue.entries if self._waits(entry)]
            heapq.heapify(queue.entries)

    def adopt(self, task: Task, definition: TaskDef, workflow_id: str) -> None:
        """A task that is out already takes its place among those that the limits count."""
        self.limits.learn(task.def_name, definition)
        self.limits.enter(task.def_name, task.task_id, workflow_id, again=True)

    def clear(self) -> None:
        """The engine starts over from what the store knows."""
        self._waiting.clear()
        self._aside.clear()
        self.board.clear()
        self.limits.clear()
        for poller in list(self._pollers):
            if not poller.future.done():
                poller.future.set_result([])  # what it was to get is perhaps not on record
        for queue in self._queues.values():
            queue.entries.clear()
            queue.unshown.clear()
            queue.size = 0

    def leave_partitions(self, partitions: Set[int]) -> None:
        """These partitions are no longer ours: what waits in them waits elsewhere."""
        self.board.leave(partitions)
        self.limits.leave_partitions(partitions)
        gone = [entry for entry in self._waiting.values() if partition_of(entry.workflow_id) in partitions]
        for entry in gone:
            del self._waiting[entry.task_id]
        self._aside = [(queue, entry) for queue, entry in self._aside if self._waits(entry)]
        if gone:
            for queue in self._queues.values():
                queue.entries = [entry for entry in queue.entries if self._waits(entry)]
                heapq.heapify(queue.entries)
                queue.size = len(queue.entries)

    def gained(self) -> None:
        """There are more partitions, or some that were about to leave have stayed."""
        aside, self._aside = self._aside, []
        for queue, entry in aside:
            if self._waits(entry):
                heapq.heappush(queue.entries, entry)
                self._serve(queue)
        self.board.show_again(self._queues.values())

    async def look(self) -> None:
        """See to what depends on other servers; to be called about once a second."""
        await self.peers.look()
        if self.board.look():
            self.board.show_again(self._queues.values())
            for queue in self._queues.values():
                if queue.pollers:
                    self.seeker.seek(queue)

    # -- workers -----------------------------------------------------------------------------------------------------

    def poll(
        self,
        task_type: str,
        domain: str,
        worker_id: str,
        count: int,
        timeout: float,
        render: Render,
        *,
        elsewhere: bool = True,
    ) -> Poller:
        """Ask for up to `count` tasks. The poller's future gets what `render` makes of them, as soon as there is one,
        or an empty list after `timeout` seconds; never before the hand-out is on record. `elsewhere`: tasks that wait
        with other servers will do as well."""
        self._note_poll(task_type, domain, worker_id)
        poller = Poller(worker_id, count, render, self._graphs.future())
        queue = self._queue(task_type, domain, self._graphs.is_system(task_type))
        queue.polled_at = asyncio.get_running_loop().time()
        self._pollers[poller] = queue
        poller.future.add_done_callback(lambda _: self._pollers.pop(poller, None))
        queue.pollers.append(poller)
        self._serve(queue)
        if poller.found:
            self.finish_soon(poller)
            return poller
        sought = elsewhere and self.seeker.seek(queue)
        if timeout > 0:
            poller.alarm = asyncio.get_running_loop().call_later(timeout, self._time_is_over, queue, poller)
        elif sought:
            self._time_is_over(queue, poller)
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
        for poller, queue in list(self._pollers.items()):
            self._time_is_over(queue, poller)

    def _time_is_over(self, queue: Queue, poller: Poller) -> None:
        """It gets what is on its way to it, if that comes soon; or nothing."""
        poller.over = True
        if poller.alarm is not None:
            poller.alarm.cancel()
        if poller.pending or self.seeker.expected(queue):
            poller.alarm = asyncio.get_running_loop().call_later(OVERTIME, self._give_up, queue, poller)
        else:
            self._give_up(queue, poller)

    def looked(self, queue: Queue) -> None:
        """A look for tasks of other servers is over: whoever's time is over, too, waits for what was found only."""
        for poller in list(queue.pollers):
            if poller.over and not poller.pending:
                self._give_up(queue, poller)

    def _give_up(self, queue: Queue, poller: Poller) -> None:
        if poller in queue.pollers:
            queue.pollers.remove(poller)
        if poller.alarm is not None:
            poller.alarm.cancel()
            poller.alarm = None
        poller.over = True
        if poller.found:
            self.finish_soon(poller)
        elif not poller.future.done():
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
            poller = None if queue.system else self.next_poller(queue)
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

    def next_poller(self, queue: Queue) -> Poller | None:
        """Who is the next to get a task."""
        while queue.pollers:
            poller = queue.pollers[0]
            if poller.room > 0:
                return poller
            queue.pollers.popleft()
        return None

    def wait_on(self, queue: Queue, poller: Poller) -> None:
        """What it was to get has gone."""
        if not poller.over and not poller.future.done() and poller not in queue.pollers:
            queue.pollers.appendleft(poller)

    def missed(self, queue: Queue, poller: Poller) -> None:
        """It did not get what another server has. What came to be had here or elsewhere meanwhile passed it by."""
        self.wait_on(queue, poller)
        self._serve(queue)
        if any(each.room > 0 for each in queue.pollers):
            self.seeker.seek(queue)

    def _take(self, queue: Queue) -> Entry | None:
        """The next task of the queue that the limits allow to go out; None if there is none now."""
        while queue.entries:
            entry = queue.entries[0]
            if not self._waits(entry):
                heapq.heappop(queue.entries)
            elif not self._graphs.engine.owns(entry.workflow_id):
                self._aside.append((queue, heapq.heappop(queue.entries)))
            elif not self.limits.enter(entry.def_name, entry.task_id, entry.workflow_id):
                return None
            else:
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
        self.board.take_down(entry)
        if graph is not None and resident is not None:
            taken = self._start(resident, graph, entry, "" if poller is None else poller.worker_id, poller is None)
        if taken is None:
            self.limits.leave(entry.def_name, entry.task_id)
            if poller is not None:
                self.wait_on(queue, poller)
            self._serve(queue)
        elif poller is not None and graph is not None:
            poller.found.append(poller.render(_taken(graph, taken)))
        if poller is not None:
            self.finish_soon(poller)

    def _start(
        self, resident: Resident, graph: GraphExecution, entry: Entry, worker_id: str, is_system: bool
    ) -> Task | None:
        tasks = graph.state.last_number
        taken = poll.hand_out(graph, self._graphs.context(), entry.number, worker_id)
        if not is_system and graph.state.last_number == tasks:
            self._graphs.record(resident, graph)
        else:
            self._graphs.engine.touch(resident)  # a system task is to be run, or a state change scheduled a task
        return taken

    def _put_back(self, resident: Resident, graph: GraphExecution, entry: Entry) -> None:
        """Whoever asked has gone meanwhile."""
        self.board.take_down(entry)
        self.limits.leave(entry.def_name, entry.task_id)
        task = graph.state.tasks.get(entry.number)
        if task is not None and task.status == "SCHEDULED":
            self.offer(resident, task, graph.task_def(task), graph.state.started.priority)

    def take(self, resident: Resident, graph: GraphExecution, number: int, worker_id: str) -> GraphTaken | None:
        """A worker that polls another server takes a task. None if it is not there to be taken."""
        task = graph.state.tasks.get(number)
        entry = None if task is None else self._waiting.get(task.task_id)
        if task is None or entry is None:
            self.board.delete_row(resident.row.workflow_id, resident.row.run_id, number)
            return None
        queue = self._queue(task.task_type, task.domain, task.kind == "SYSTEM")
        if not self.limits.enter(entry.def_name, entry.task_id, entry.workflow_id):
            self.board.hold_back(entry)
            return None
        del self._waiting[entry.task_id]
        self._drop(queue)
        self.board.take_down(entry, asked=True)
        taken = self._start(resident, graph, entry, worker_id, queue.system)
        if taken is None:
            self.limits.leave(entry.def_name, entry.task_id)
            return None
        return _taken(graph, taken)

    def finish_soon(self, poller: Poller) -> None:
        """Answer with this batch; what is scheduled in this turn of the loop comes along."""
        if not poller.finishing:
            poller.finishing = True
            asyncio.get_running_loop().call_soon(self._finish, poller)

    def _finish(self, poller: Poller) -> None:
        poller.finishing = False
        if (poller.pending and poller.alarm is not None) or poller.future.done():
            return
        if not poller.found and not poller.over:
            return  # what it was to get has gone, but its time is not over
        if poller.alarm is not None:
            poller.alarm.cancel()
            poller.alarm = None
        tasks = poller.found
        poller.wanted = 0
        self._graphs.after_commit(poller.future, tasks)

    # -- limits ------------------------------------------------------------------------------------------------------

    def _room_again(self, def_name: str) -> None:
        """A limit allows more tasks of this definition again."""
        for queue in list(self._queues.values()):
            if queue.entries and queue.entries[0].def_name == def_name:
                self._serve(queue)
                self.board.plan(queue)

    # -- views -------------------------------------------------------------------------------------------------------

    def _queue(self, task_type: str, domain: str, system: bool) -> Queue:
        queue = self._queues.get((task_type, domain))
        if queue is None:
            if len(self._queues) >= self._prune_at:
                self._prune()
            queue = self._queues[task_type, domain] = Queue(task_type, domain, system)
        return queue

    def known(self, task_type: str, domain: str) -> Queue | None:
        """The queue, if anybody has used it."""
        return self._queues.get((task_type, domain))

    def _prune(self) -> None:
        """Forget the queues that nobody uses: anybody may poll for any name."""
        self._queues = {key: queue for key, queue in self._queues.items() if queue.entries or queue.pollers}
        self._prune_at = len(self._queues) + IDLE_QUEUES

    def own_sizes(self) -> dict[tuple[str, str], int]:
        """How many tasks of ours wait, by task type and domain."""
        return {key: queue.size for key, queue in self._queues.items()}

    def sizes(self) -> dict[tuple[str, str], int]:
        """How many tasks wait in all queues, by task type and domain; those of other servers as they were lately."""
        sizes = self.own_sizes()
        for bulletin in self.peers.bulletins:
            for told in bulletin.sizes:
                key = (told.task_type, told.domain)
                sizes[key] = sizes.get(key, 0) + told.size
        return sizes

    def backlogs(self) -> dict[tuple[str, str], Backlog]:
        """What all queues are like, by task type and domain."""
        return {
            key: Backlog(queue.size, self._next_since(queue), len(queue.pollers)) for key, queue in self._queues.items()
        }

    def _next_since(self, queue: Queue) -> int:
        while queue.entries and not self._waits(queue.entries[0]):
            heapq.heappop(queue.entries)
        return queue.entries[0].since if queue.entries else 0

    def own_poll_data(self) -> list[PollData]:
        """Who polls here."""
        return [data for workers in self._polls.values() for data in workers.values()]

    def poll_data(self, task_type: str | None = None) -> list[PollData]:
        """Who polls, here or at another server, of one type or of all."""
        latest: dict[tuple[str, str, str], PollData] = {}
        told = (data for bulletin in self.peers.bulletins for data in bulletin.polls)
        for data in (*self.own_poll_data(), *told):
            key = (data.queue_name, data.domain, data.worker_id)
            if task_type in (None, data.queue_name) and (
                key not in latest or latest[key].last_poll_time < data.last_poll_time
            ):
                latest[key] = data
        return [latest[key] for key in sorted(latest)]

    def route(self, task_type: str, domains: list[str]) -> str:
        """The first of `domains` from which a worker polls now, else the last."""
        since = self._graphs.engine.clock.now() - int(POLLING * 1_000_000_000)
        for domain in domains:
            workers = self._polls.get((task_type, domain), {})
            polls = (data.last_poll_time for data in workers.values())
            if max(self.peers.polled(task_type, domain), *polls, 0) >= since:
                return domain
        return domains[-1] if domains else ""


def _taken(graph: GraphExecution, task: Task) -> GraphTaken:
    """What whoever gets the task is to know."""
    template = graph.template_of(task)
    return GraphTaken(
        task.task_id,
        encode_json(task_view(graph, task)),
        template if names_secrets(template) else {},
        list(graph.task_def(task).runtime_metadata),
    )


def _make_room(known: dict[T, Any]) -> None:
    """Forget the oldest entry if there are too many."""
    if len(known) >= KNOWN_POLLERS:
        known.pop(next(iter(known)))
