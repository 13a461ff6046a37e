"""Queries to code that only other processes have: each is a task, and its answer comes as a message."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from tenuto.engine import parking
from tenuto.engine.origin import Origin
from tenuto.engine.refusals import is_stuck, no_run, no_worker
from tenuto.engine.resident import Resident
from tenuto.model import messages as msg
from tenuto.model.errors import StoreError
from tenuto.store.protocol import ExecutionRow, StoredExecution, TaskKind, TaskRow

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

#: Seconds after which there is no worker, if none has claimed the task, and tries to find out.
PATIENCE = 3.0
TRIES = 6


class Asked(Struct, eq=False):
    """A query that waits for its answer."""

    message: msg.Message
    origin: Origin
    run: ExecutionRow
    task: TaskRow | None = None
    """None while a workflow task has to be done first."""
    tries: int = 0


class RemoteQueries:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        #: By run id, those that wait for the workflow task before them.
        self._waiting: dict[str, list[Asked]] = {}
        self._posted: dict[tuple[str, int], Asked] = {}
        self._last_key = 0

    def awaits(self, run_id: str, key: int) -> bool:
        """Does anybody wait for the answer to this query?"""
        return (run_id, key) in self._posted

    def ask(self, resident: Resident, run: ExecutionRow, message: msg.Message, origin: Origin) -> msg.Answer | None:
        """See to it that an answer comes."""
        query: msg.Query = message.body  # type: ignore[assignment]
        if resident.execution is None or run is not resident.row or resident.execution.state.closed:
            self._engine.closed_runs.read(run, lambda stored: self._ask_closed(stored, query, message, origin))
            return None
        if run.status in query.reject_if:
            return msg.QueryRejected(run.status)
        asked = Asked(message, origin, run)
        self._await_worker(asked)
        self._waiting.setdefault(run.run_id, []).append(asked)
        # What has arrived already is decided first, so that a query sees the effect of the signal before it.
        self._engine.settle(resident)
        return None

    def proceed(self, resident: Resident) -> None:
        """The code of this execution has decided about all that has come, or can't."""
        for asked in self._waiting.pop(resident.row.run_id, ()) if self._waiting else ():
            execution = resident.execution
            if execution is not None and execution.task_failure is not None:
                self._engine.answer(asked.origin, asked.message, is_stuck(asked.run))
            else:
                self._post(asked)

    def answered(self, message: msg.Message) -> None:
        """An answer has come."""
        body: msg.QueryAnswered = message.body  # type: ignore[assignment]
        asked = self._posted.pop((message.target.run_id or "", body.key), None)
        if asked is not None and asked.task is not None:
            parking.drop(self._engine, asked.task)
            self._engine.answer(asked.origin, asked.message, body.answer)

    def returned(self, run_id: str, key: int) -> None:
        """Whoever claimed it won't answer: others shall."""
        asked = self._posted.pop((run_id, key), None)
        if asked is not None and asked.task is not None:
            parking.drop(self._engine, asked.task)
            self._post(asked)

    def forward(self) -> None:
        """Those who ask executions that have moved elsewhere ask there."""
        for asked in self._all():
            if not self._engine.owns(asked.run.workflow_id):
                self._forget(asked)
                if asked.origin.future is not None:
                    self._engine.ask_owner(asked.message, asked.origin)

    def fail(self, error: BaseException) -> None:
        """The engine starts over, or has stopped."""
        for asked in self._all():
            future = asked.origin.future
            if future is not None and not future.done():
                future.set_exception(error)
        self._waiting.clear()
        self._posted.clear()

    def _all(self) -> list[Asked]:
        return [*self._posted.values(), *(asked for waiting in self._waiting.values() for asked in waiting)]

    def _ask_closed(
        self, stored: StoredExecution | None, query: msg.Query, message: msg.Message, origin: Origin
    ) -> None:
        if stored is None or not stored.events:
            self._engine.answer(origin, message, no_run())
        elif stored.row.status in query.reject_if:
            self._engine.answer(origin, message, msg.QueryRejected(stored.row.status))
        else:
            asked = Asked(message, origin, stored.row)
            self._await_worker(asked)
            self._post(asked)

    def _post(self, asked: Asked) -> None:
        """Leave it to whoever has the code."""
        query: msg.Query = asked.message.body  # type: ignore[assignment]
        run = asked.run
        # Those of an owner before us may still be in the store.
        self._last_key = max(self._last_key + 1, self._engine.clock.now())
        data = parking.encode(query)
        task = TaskRow(
            run.partition, run.task_queue, run.workflow_id, run.run_id, -self._last_key, TaskKind.QUERY, data
        )
        asked.task = task
        self._posted[run.run_id, task.key] = asked
        self._engine.batch.tasks.append(task)
        self._engine.plan_flush()

    # -- nobody answers ----------------------------------------------------------------------------------------------

    def _await_worker(self, asked: Asked) -> None:
        self._watch(asked)
        if not self._engine.ownership.peers and not self._engine.turns.serves(asked.run.task_queue):
            self._engine.spawn(self._give_up_if_alone(asked), "is anybody there who has the code?")

    async def _give_up_if_alone(self, asked: Asked) -> None:
        if await self._engine.ownership.alone() and not self._engine.turns.serves(asked.run.task_queue):
            self._give_up(asked)

    def _watch(self, asked: Asked) -> None:
        asyncio.get_running_loop().call_later(PATIENCE, self._look_after, asked)

    def _look_after(self, asked: Asked) -> None:
        if self._is_pending(asked) and not self._engine.failed.done():
            self._engine.spawn(self._see_whether_claimed(asked), "a query without an answer")

    async def _see_whether_claimed(self, asked: Asked) -> None:
        """Somebody is perhaps just about to answer; else there is no worker."""
        asked.tries += 1
        claimed = False
        try:
            for claim in await self._engine.store.claims([asked.run.partition], 0):
                ours = asked.task.key if asked.task is not None else 0
                claimed |= not claim.lost and (claim.task.run_id, claim.task.key) == (asked.run.run_id, ours)
        except StoreError:
            claimed = True
        if claimed and asked.tries < TRIES:
            self._watch(asked)
        else:
            self._give_up(asked)

    def _give_up(self, asked: Asked) -> None:
        if self._is_pending(asked) and self._engine.owns(asked.run.workflow_id):
            self._forget(asked)
            if asked.task is not None:
                parking.drop(self._engine, asked.task)
            self._engine.answer(asked.origin, asked.message, no_worker(asked.run))

    def _is_pending(self, asked: Asked) -> bool:
        if asked.task is not None:
            return self._posted.get((asked.run.run_id, asked.task.key)) is asked
        return asked in self._waiting.get(asked.run.run_id, ())

    def _forget(self, asked: Asked) -> None:
        if asked.task is not None:
            self._posted.pop((asked.run.run_id, asked.task.key), None)
            return
        waiting = self._waiting.get(asked.run.run_id, [])
        if asked in waiting:
            waiting.remove(asked)
        if not waiting:
            self._waiting.pop(asked.run.run_id, None)
