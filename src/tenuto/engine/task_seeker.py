"""Finds tasks for the workers that wait here among those that other servers show in the store (see `TaskBoard`)."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from tenuto.engine.task_entries import SEPARATOR, Poller, Queue, queue_name
from tenuto.model import messages as msg
from tenuto.model.errors import RPCError, StoreError
from tenuto.model.events import ExecutionRef
from tenuto.model.graph_messages import GraphTake, GraphTaken, TaskUpdate
from tenuto.store.protocol import TaskKind, TaskRow

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine
    from tenuto.engine.task_queues import TaskQueues

logger = logging.getLogger("tenuto.graph")

#: Looks at a time, and tasks that one may claim.
AT_ONCE, MOST = 4, 64
#: Seconds between two looks of a queue: after one that found something, and at most.
BRISK, CALM = 0.05, 0.5
#: Seconds that a server which stops waits for the tasks that it has asked for.
LAST_ANSWERS = 5.0


class TaskSeeker:
    """Looks for each queue in which workers wait, and asks the owners of what it could claim."""

    def __init__(self, engine: Engine, queues: TaskQueues) -> None:
        self._engine = engine
        self._queues = queues
        #: How many tasks of other servers have been handed out here.
        self.taken = 0
        self._looks = 0
        #: What owners have been asked for and have not answered.
        self._asks: set[asyncio.Future[msg.Answer]] = set()
        #: Queues whose look has to wait until another one is over.
        self._next: dict[Queue, None] = {}

    def seek(self, queue: Queue) -> bool:
        """Workers wait. True if the next look is worth waiting for: it is under way, or begins at once."""
        search = queue.search
        if queue.system or not self._queues.board.active:
            return False
        if search.looking or queue in self._next:
            return True
        now = asyncio.get_running_loop().time()
        if search.alarm is None:
            search.alarm = asyncio.get_running_loop().call_at(max(now, search.next_at), self._due, queue)
        return search.next_at <= now

    def expected(self, queue: Queue) -> bool:
        """Is a look under way, or about to begin?"""
        search = queue.search
        begins = search.alarm is not None and search.next_at <= asyncio.get_running_loop().time()
        return search.looking or queue in self._next or begins

    def hinted(self, names: frozenset[str]) -> None:
        """There may be tasks in the queues of these names."""
        for name in names:
            task_type, separator, domain = name.partition(SEPARATOR)
            queue = self._queues.known(task_type, domain) if separator else None
            if queue is None:
                continue
            search = queue.search
            search.next_at, search.pause, search.again = 0.0, BRISK, True
            if search.alarm is not None:
                search.alarm.cancel()
                self._due(queue)

    def _due(self, queue: Queue) -> None:
        queue.search.alarm = None
        if self._engine.failed.done() or not any(poller.room > 0 for poller in queue.pollers):
            self._queues.looked(queue)
        elif self._looks >= AT_ONCE:
            self._next[queue] = None
        else:
            self._begin(queue)

    def _begin(self, queue: Queue) -> None:
        self._looks += 1
        queue.search.looking, queue.search.again = True, False
        self._engine.spawn(self._look(queue), "look for tasks")

    async def _look(self, queue: Queue) -> None:
        rows: list[TaskRow] = []
        try:
            room = min(MOST, sum(max(0, poller.room) for poller in queue.pollers))
            if room:
                name, now = queue_name(queue.task_type, queue.domain), self._engine.clock.now()
                rows = await self._engine.store.claim(self._engine.ownership.owner, name, (TaskKind.GRAPH,), room, now)
        except StoreError as error:
            logger.warning("tasks of other servers can't be looked for, which is tried again: %s", error)
        finally:
            self._looks -= 1
            queue.search.looking = False
        for row in rows:
            self._ask(queue, row)
        self._note(queue, found=bool(rows))
        self._queues.looked(queue)
        if any(poller.room > 0 for poller in queue.pollers):
            self.seek(queue)
        while self._next and self._looks < AT_ONCE:
            following = next(iter(self._next))
            del self._next[following]
            self._due(following)

    def _note(self, queue: Queue, *, found: bool) -> None:
        search = queue.search
        search.pause = BRISK if found else min(max(search.pause, BRISK) * 1.3, CALM)
        search.next_at = 0.0 if search.again else asyncio.get_running_loop().time() + search.pause

    # -- asking ------------------------------------------------------------------------------------------------------

    def _ask(self, queue: Queue, row: TaskRow) -> None:
        """Ask the owner for a task that we have claimed."""
        poller = self._queues.next_poller(queue)
        body = GraphTake(row.key, "" if poller is None else poller.worker_id, wanted=poller is not None)
        try:
            answering = self._engine.submit(msg.Message(ExecutionRef(row.workflow_id), body))
        except RPCError as error:  # too much waits already; the owner shows the task again after a while
            logger.warning("a task of another server can't be asked for: %s", error)
            return
        if poller is None:
            answering.add_done_callback(_ignore)
            return
        poller.pending += 1
        self._asks.add(answering)
        answering.add_done_callback(partial(self._answered, queue, poller, row))

    def _answered(self, queue: Queue, poller: Poller, row: TaskRow, answering: asyncio.Future[msg.Answer]) -> None:
        self._asks.discard(answering)
        poller.pending -= 1
        failed = answering.cancelled() or answering.exception() is not None
        answer = None if failed else answering.result()
        if not isinstance(answer, GraphTaken):
            self._queues.missed(queue, poller)
        elif poller.future.done():
            self._give_back(row.workflow_id, answer)
        else:
            self.taken += 1
            poller.found.append(poller.render(answer))
        self._queues.finish_soon(poller)

    def _give_back(self, workflow_id: str, taken: GraphTaken) -> None:
        """Whoever waited for the task has gone: let others have it."""
        update = TaskUpdate("IN_PROGRESS", task_id=taken.task_id, merge_output=True)
        self._engine.outbox.put(workflow_id, workflow_id, update)

    async def settle(self) -> None:
        """The server stops, and nobody waits here any more: see that nothing is lost of what was asked for."""
        if self._asks:
            await asyncio.wait(self._asks, timeout=LAST_ANSWERS)


def _ignore(answering: asyncio.Future[msg.Answer]) -> None:
    if not answering.cancelled():
        answering.exception()
