"""Tasks of ours that the store shows, to servers whose workers wait while none waits here.

A row in the store says no more than where a task waits: whoever claims it asks us for it (`GraphTake`), and only here
is it decided who gets it. So a row that is out of date costs a question, nothing else, and a worker that comes here
first simply takes the task, row or not.

A queue whose tasks are asked for from elsewhere shows many of them; one that is emptied by workers of its own few.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable, Set
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from tenuto.engine.clock import SECOND
from tenuto.engine.task_entries import Entry, Queue, queue_name
from tenuto.store.protocol import PARTITIONS, Claim, TaskKind, TaskRow, partition_of

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine
    from tenuto.engine.task_limits import TaskLimits

#: Tasks of one queue that are shown at a time: as long as its own workers empty it, and at most.
NARROW, WIDE = 2, 256
#: Seconds after which a poll is no sign any more of workers that come here.
LATELY = 1.0
#: Seconds that a task waits for workers that come here, before it is shown to others.
LINGER = 0.02
#: Seconds after which a task that a limit has held back is shown again, unless there is room before.
HELD_BACK = 0.25
#: Seconds that somebody may claim a task and not ask for it.
PATIENCE = 5.0

Key = tuple[str, int]


class Shown(Struct):
    """A task that the store shows."""

    queue: Queue
    entry: Entry
    row: TaskRow
    claimed: float | None = None
    """Since when, by the loop's clock, it is known to be claimed."""


class TaskBoard:
    """`waits` tells whether a task still waits."""

    def __init__(self, engine: Engine, limits: TaskLimits, waits: Callable[[Entry], bool]) -> None:
        self._engine = engine
        self._limits = limits
        self._waits = waits
        self._shown: dict[Key, Shown] = {}
        #: How many tasks of a definition are shown.
        self._of_definition: dict[str, int] = {}
        self._planned: set[Queue] = set()
        self._active = False

    @property
    def active(self) -> bool:
        """Are there others who might want our tasks?"""
        return self._engine.store.shared and len(self._engine.ownership.epochs) < PARTITIONS

    @property
    def shown(self) -> int:
        """How many tasks the store shows."""
        return len(self._shown)

    # -- showing -----------------------------------------------------------------------------------------------------

    def offer(self, queue: Queue, entry: Entry) -> None:
        """The task waits, and no worker of ours for it."""
        if self.active and not queue.system:
            heapq.heappush(queue.unshown, entry)
            self.plan(queue)

    def plan(self, queue: Queue) -> None:
        """Show more of the queue with this commit; or soon, if workers come here."""
        if not queue.unshown or queue in self._planned or not self.active:
            return
        self._planned.add(queue)
        loop = asyncio.get_running_loop()
        if self._has_workers(queue):
            loop.call_later(LINGER, self._show, queue)
        else:
            loop.call_soon(self._show, queue)

    def _has_workers(self, queue: Queue) -> bool:
        return asyncio.get_running_loop().time() - queue.polled_at < LATELY

    def _show(self, queue: Queue) -> None:
        self._planned.discard(queue)
        if self._engine.failed.done():
            return
        most = queue.window if self._has_workers(queue) else WIDE
        while queue.unshown and queue.shown < most:
            entry = queue.unshown[0]
            if self._may_be_shown(entry):
                if not self._limits.room(entry.def_name, beside=self._of_definition.get(entry.def_name, 0)):
                    return
                self._put_up(queue, entry)
            heapq.heappop(queue.unshown)

    def _may_be_shown(self, entry: Entry) -> bool:
        key = entry.workflow_id, entry.number
        return self._waits(entry) and key not in self._shown and self._engine.owns(entry.workflow_id)

    def _put_up(self, queue: Queue, entry: Entry) -> None:
        row = TaskRow(
            partition_of(entry.workflow_id),
            queue_name(queue.task_type, queue.domain),
            entry.workflow_id,
            entry.run_id,
            entry.number,
            TaskKind.GRAPH,
        )
        self._shown[entry.workflow_id, entry.number] = Shown(queue, entry, row)
        self._of_definition[entry.def_name] = self._of_definition.get(entry.def_name, 0) + 1
        queue.shown += 1
        self._engine.batch.tasks.append(row)
        self._engine.plan_flush()

    def show_again(self, queues: Iterable[Queue]) -> None:
        """Others have come, or partitions: nothing that waits in these queues is to be missed."""
        for queue in queues:
            if not queue.system and queue.entries:
                queue.unshown = [entry for entry in queue.entries if self._waits(entry)]
                heapq.heapify(queue.unshown)
                self.plan(queue)

    # -- taking down -------------------------------------------------------------------------------------------------

    def take_down(self, entry: Entry, *, asked: bool = False) -> None:
        """The task is to be had no more; `asked`: by somebody elsewhere."""
        shown = self._drop((entry.workflow_id, entry.number))
        if shown is None:
            return
        queue = shown.queue
        queue.window = min(WIDE, 2 * queue.window) if asked else max(NARROW, queue.window - 1)
        self._delete(shown.row)
        self.plan(queue)

    def delete_row(self, workflow_id: str, run_id: str, number: int) -> None:
        """What the store shows of a task is out of date."""
        self._delete(TaskRow(partition_of(workflow_id), "", workflow_id, run_id, number, TaskKind.GRAPH))

    def _delete(self, row: TaskRow) -> None:
        if row.partition in self._engine.ownership.epochs:
            self._engine.batch.tasks_done.append(row)
            self._engine.plan_flush()

    def _drop(self, key: Key) -> Shown | None:
        shown = self._shown.pop(key, None)
        if shown is not None:
            shown.queue.shown -= 1
            name = shown.entry.def_name
            self._of_definition[name] -= 1
            if not self._of_definition[name]:
                del self._of_definition[name]
        return shown

    def put_up_anew(self, workflow_id: str, number: int) -> None:
        """Whoever claimed the task doesn't take it: it is shown afresh, once the claimed row has gone."""
        shown = self._drop((workflow_id, number))
        if shown is None:
            return
        self._delete(shown.row)
        queue, entry = shown.queue, shown.entry
        self._engine.batch.effects.append(lambda: self.offer(queue, entry) if self._waits(entry) else None)

    def hold_back(self, entry: Entry) -> None:
        """A limit doesn't allow the task to go out now: it is shown again when there is room."""
        shown = self._drop((entry.workflow_id, entry.number))
        if shown is not None:
            self._delete(shown.row)
            # Not before the row has gone.
            self._engine.batch.effects.append(partial(self._show_later, shown.queue, entry))

    def _show_later(self, queue: Queue, entry: Entry) -> None:
        heapq.heappush(queue.unshown, entry)
        asyncio.get_running_loop().call_later(HELD_BACK, self.plan, queue)

    def leave(self, partitions: Set[int]) -> None:
        """These partitions are no longer ours; what is shown of them is their new owner's."""
        for key in [key for key, shown in self._shown.items() if shown.row.partition in partitions]:
            self._drop(key)

    def clear(self) -> None:
        """The engine starts over from what the store knows; rows that are there are found to be there."""
        for key in list(self._shown):
            self._drop(key)

    # -- claims ------------------------------------------------------------------------------------------------------

    def look(self) -> bool:
        """Look after what was claimed and not asked for; to be called about once a second. True if others have come."""
        came = self.active and not self._active
        self._active = self.active
        self._give_up_waiting()
        return came

    def claimed(self, claim: Claim, *, runs: bool) -> None:
        """Somebody has claimed a task, or has gone that had. `runs`: it runs there, and we won't be asked for it."""
        row = claim.task
        shown = self._shown.get((row.workflow_id, row.key))
        if shown is not None and claim.lost:
            self.put_up_anew(row.workflow_id, row.key)
        elif shown is not None and shown.claimed is None:
            shown.claimed = asyncio.get_running_loop().time()
        elif shown is None and (claim.lost or (not runs and self._is_old(claim))):
            self._delete(row)

    def _is_old(self, claim: Claim) -> bool:
        """Whoever claimed it would have asked for it. It may have begun anew meanwhile, as we may have."""
        return self._engine.clock.now() - claim.task.claimed_at > PATIENCE * SECOND

    def _give_up_waiting(self) -> None:
        since = asyncio.get_running_loop().time() - PATIENCE
        for key in [key for key, shown in self._shown.items() if shown.claimed is not None and shown.claimed < since]:
            self.put_up_anew(*key)
