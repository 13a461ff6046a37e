"""Taking up what was going on: after a start, when something comes due, after a commit that failed."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from tenuto.engine import parking
from tenuto.engine.batch import Batch
from tenuto.engine.resident import Resident
from tenuto.engine.timers import HORIZON, Wake
from tenuto.history import activities, effects
from tenuto.model.errors import LeaseLostError, StoreError
from tenuto.store.protocol import Due, TaskRow

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

logger = logging.getLogger("tenuto.engine")

#: Executions that are looked up and brought into memory at one go.
CHUNK = 256


class Recovery:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._failures = 0

    def succeeded(self) -> None:
        """A commit was written: whatever was wrong is over."""
        self._failures = 0

    async def watch_due(self) -> None:
        """At first everything that was going on; then, for ever, what comes due within the horizon."""
        looked_at = self._engine.clock.now()
        await self.take_up()
        # Behind every row that is marked to be looked at after a restart: those are in memory, or run activities here.
        behind = Due("", "~", 0)
        while True:
            # Counted from before the look: time may have leapt while the store was read.
            await self._pass_time_until(looked_at + HORIZON // 3)
            looked_at = self._engine.clock.now()
            await self.take_up(after=behind)
            for number, resident in enumerate(self._engine.residents.oldest(len(self._engine.residents))):
                if number % CHUNK == 0:
                    await asyncio.sleep(0)  # there may be many
                if resident.execution is not None:
                    for deadline in resident.execution.deadlines():
                        self._engine.watch(resident, deadline)
                elif resident.graph is not None:
                    self._engine.graphs.watch(resident, resident.graph)

    async def take_up(self, partitions: list[int] | None = None, *, after: Due | None = None) -> None:
        """Bring what has to be looked at into memory: of these partitions, or of all that are ours."""
        partitions = self._engine.ownership.partitions if partitions is None else partitions
        while partitions:
            before = self._engine.clock.now() + HORIZON
            due = await self._engine.patiently(partial(self._engine.store.due, partitions, before, after, CHUNK))
            for row in due:
                if row.wake_at == 0:
                    self._engine.residents.visit(row.workflow_id, self._look)
                else:
                    self._engine.timers.push(Wake(row.wake_at, row.workflow_id, row.run_id))
            if len(due) < CHUNK:
                return
            after = due[-1]
            await self._engine.pipeline.flushed()

    async def _pass_time_until(self, when: int) -> None:
        """Wait by the engine's clock, which a test may move."""
        over = asyncio.get_running_loop().create_future()
        alarm = self._engine.clock.call_at(when, lambda: None if over.done() else over.set_result(None))
        try:
            await over
        finally:
            alarm.cancel()

    def _look(self, resident: Resident | None) -> None:
        if resident is not None and not resident.closed:
            self._engine.touch(resident)

    def adopt(self, resident: Resident) -> None:
        """An execution came into memory: see to all that is pending in it."""
        if resident.graph is not None:
            self._engine.graphs.adopt(resident, resident.graph)
            return
        execution = resident.execution
        assert execution is not None
        now = self._engine.clock.now()
        row = resident.row
        self._hurry(resident)
        for scheduled_event_id, activity in list(execution.state.activities.items()):
            task = self._engine.dispatch.running_task(row.run_id, scheduled_event_id)
            known = resident.parked.get(scheduled_event_id)
            if task is not None and task.attempt == activity.note.attempt:
                # Its start may not have been on record when the execution left memory.
                activities.note_start(execution, scheduled_event_id, task.attempt, task.started_time)
            elif known is not None and known.row.claimed_by and known.attempt == activity.note.attempt:
                self._engine.claims.begun(resident, known)
            elif activity.note.started_time is not None:
                activities.lose_attempt(execution, scheduled_event_id, now)
            elif activity.note.next_attempt_time is None or activity.note.next_attempt_time <= now:
                execution.effects.append(effects.ActivityReady(scheduled_event_id))
        self._engine.concurrency.adopt(resident)
        self._engine.watch_deadlines(execution)
        self._engine.touch(resident)

    async def start_over(self, lost: list[Batch], error: StoreError) -> None:
        """Go back to what the store knows: callers are told, facts that nobody repeats are taken in again."""
        lost_partitions = isinstance(error, LeaseLostError)
        if lost_partitions and not self._engine.store.shared:
            raise error
        if lost_partitions:
            extra = {"action": "partitions_lost"}
            logger.error("this process may not write what it has decided, and drops it: %s", error, extra=extra)
        else:
            logger.error("a commit failed and is decided anew: %s", error, extra={"action": "commit_failed"})
        self._engine.forget_touched()
        self._engine.residents.suspend()
        self._engine.timers.clear()
        self._engine.dispatch.forget_queued()
        self._engine.graphs.start_over()
        self._engine.concurrency.clear()
        for batch in lost:
            for tell in batch.failed:
                tell(error)
        for origin in self._engine.updates.forget():
            if origin.future is not None and not origin.future.done():
                origin.future.set_exception(error)
        self._engine.queries.elsewhere.fail(error)
        self._failures += 1
        await asyncio.sleep(min(0.05 * 2 ** min(self._failures - 1, 7), 5.0))
        if lost_partitions:
            await self._engine.ownership.rejoin()
        for batch in lost:
            for report in batch.redo:
                report()
        self._engine.closed_runs.look_again()
        self._engine.residents.resume()
        self._engine.inbox.reset()
        self._engine.spawn(self.take_up(), "take up after a failed commit")

    def _hurry(self, resident: Resident) -> None:
        """Code that came since may do better than the code that failed: a stuck run needn't wait out its back-off."""
        execution = resident.execution
        stuck = execution is not None and execution.task_failure is not None
        if execution is not None and stuck and self._engine.turns.may_try_at_once(resident.row.run_id):
            execution.task_retry_time = 0

    async def take_waiting(self, task_queue: str) -> None:
        """A worker has come: let it have what waits for it, in memory and in the store, until nothing is left."""
        for resident in self._engine.residents.oldest(len(self._engine.residents)):
            self._hurry(resident)
            self._engine.touch(resident)
        if self._engine.store.shared:
            # What waits in the store is claimed; what was parked a moment ago is perhaps just being written.
            await self._engine.pipeline.flushed()
            self._engine.claimer.poke(task_queue)
            return
        before: list[TaskRow] = []
        while True:
            # What was parked a moment ago is perhaps just being written.
            await self._engine.pipeline.flushed()
            rows = [row for row in await self._parked(task_queue) if self._serves(row)]
            if not rows:
                return
            if rows == before:
                await asyncio.sleep(0.1)
            before = rows
            for row in rows:
                self._engine.residents.visit(row.workflow_id, partial(self._take_parked, row))
            await asyncio.sleep(0.01)

    async def _parked(self, task_queue: str) -> list[TaskRow]:
        store, partitions = self._engine.store, self._engine.ownership.partitions
        return await self._engine.patiently(lambda: store.waiting_tasks(partitions, task_queue, CHUNK))

    def _serves(self, row: TaskRow) -> bool:
        server = self._engine.dispatch if row.key else self._engine.turns
        return server.serves(row.task_queue)

    def _take_parked(self, row: TaskRow, resident: Resident | None) -> None:
        if resident is None or resident.row.run_id != row.run_id or not self._wanted(row, resident):
            parking.drop(self._engine, row)
            return
        resident.parked.setdefault(row.key, parking.parked(row))
        if row.key and self._engine.concurrency.admits(resident):
            self._engine.dispatch.offer(resident, row.key)
        self._engine.touch(resident)

    def _wanted(self, row: TaskRow, resident: Resident) -> bool:
        """Is the parked task still to be done? Its run may have closed, its activity may have timed out."""
        return parking.wanted(self._engine, resident, row.key, parking.parked(row).attempt)
