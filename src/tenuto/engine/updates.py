"""Callers that wait for an update to be accepted, or to have its outcome."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from tenuto.engine.origin import Origin
from tenuto.engine.refusals import no_worker
from tenuto.engine.resident import Resident
from tenuto.model.events import ExecutionRef
from tenuto.model.messages import Accepted, Answer, Message, PollUpdate
from tenuto.store.protocol import ExecutionRow

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

#: Seconds after which there is no worker if none has claimed the task.
PATIENCE = 3.0

#: Workflow id, run id, update id.
Key = tuple[str, str, str]


class UpdateWaiters:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._accepted: dict[Key, list[Origin]] = {}
        self._completed: dict[Key, list[Origin]] = {}

    def wait_accepted(self, run: ExecutionRow, update_id: str, origin: Origin) -> None:
        _add(self._accepted, (run.workflow_id, run.run_id, update_id), origin)

    def wait_completed(self, run: ExecutionRow, update_id: str, origin: Origin) -> None:
        _add(self._completed, (run.workflow_id, run.run_id, update_id), origin)

    def expect_worker(self, run: ExecutionRow, update_id: str) -> None:
        """Only other processes may have the code: see to it that nobody waits for long if none has."""
        self._engine.spawn(self._await_worker(run, update_id), "is anybody there who has the code?")

    async def _await_worker(self, run: ExecutionRow, update_id: str) -> None:
        if not await self._engine.ownership.alone():
            await asyncio.sleep(PATIENCE)
        self._engine.residents.visit(run.workflow_id, partial(self._see_whether_claimed, run, update_id))

    def _see_whether_claimed(self, run: ExecutionRow, update_id: str, resident: Resident | None) -> None:
        if resident is None or resident.execution is None or resident.row.run_id != run.run_id:
            return
        admitted = resident.execution.updates_admitted
        if update_id not in admitted or self._engine.turns.serves(run.task_queue):
            return
        task = resident.parked.get(0)
        if task is not None and (task.row.claimed_by or task.leaving):
            self.expect_worker(run, update_id)
            return
        del admitted[update_id]
        self._engine.touch(resident)
        self.resolve(run.workflow_id, run.run_id, update_id, no_worker(run))

    def resolve(self, workflow_id: str, run_id: str, update_id: str, answer: Answer) -> None:
        """The update got this far, on record."""
        key = (workflow_id, run_id, update_id)
        message = Message(ExecutionRef(workflow_id, run_id), PollUpdate(update_id))
        waiting = self._accepted.pop(key, [])
        if not isinstance(answer, Accepted):
            waiting += self._completed.pop(key, [])
        for origin in waiting:
            self._engine.answer(origin, message, answer)

    def forward(self) -> None:
        """Those who wait for updates of executions that have moved elsewhere ask there."""
        for waiting in (self._accepted, self._completed):
            for key in [key for key in waiting if not self._engine.owns(key[0])]:
                workflow_id, run_id, update_id = key
                message = Message(ExecutionRef(workflow_id, run_id), PollUpdate(update_id))
                for origin in waiting.pop(key):
                    if origin.future is not None:
                        self._engine.ask_owner(message, origin)

    def forget(self) -> list[Origin]:
        """Everybody who waits; they are told that the engine starts over."""
        waiting = [*self._accepted.values(), *self._completed.values()]
        self._accepted.clear()
        self._completed.clear()
        return [origin for origins in waiting for origin in origins]


def _add(waiting: dict[Key, list[Origin]], key: Key, origin: Origin) -> None:
    """Those who have given up make room."""
    still = [each for each in waiting.get(key, []) if each.future is None or not each.future.done()]
    waiting[key] = [*still, origin]
