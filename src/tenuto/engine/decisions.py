"""Workflow tasks and queries of executions that live elsewhere, or did when nobody here had their code.

The history is read from the store; code that was suspended here after its last decision is only shown what has come
since, if that decision was recorded as it was made. What comes of it goes to the owner, who knows whether more has
happened meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from tenuto.engine import parking
from tenuto.engine.hosts import WorkflowHost, WorkflowInstance
from tenuto.engine.queries import answer_closed
from tenuto.engine.refusals import unreplayable
from tenuto.model import events as ev
from tenuto.model import messages as msg
from tenuto.model.commands import CLOSING_COMMANDS
from tenuto.model.policies import ExecutionStatus
from tenuto.model.task_messages import DecisionMade, TaskReturned
from tenuto.model.tasks import WorkflowTask, WorkflowTaskBroken, WorkflowTaskDone
from tenuto.store.protocol import StoredExecution, TaskKind, TaskRow

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

logger = logging.getLogger("tenuto.engine")

#: Seconds for which code runs before all others have their turn.
TURN = 0.02


class Suspended(Struct):
    """Code that was brought up to an event, and when it has decided then, unless that is known to be on record."""

    instance: WorkflowInstance
    host: WorkflowHost
    last_event_id: int
    decided: int | None


class Decisions:
    """Lets the code of this process decide for executions of others."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        #: By run id, the least recently used first.
        self._suspended: OrderedDict[str, Suspended] = OrderedDict()
        self.capacity = 0

    async def do(self, rows: list[TaskRow]) -> None:
        """Do these tasks, which were claimed."""
        refs = [ev.ExecutionRef(row.workflow_id, row.run_id) for row in rows]
        closed = any(row.kind is TaskKind.QUERY for row in rows)
        store = self._engine.store
        found = await self._engine.patiently(lambda: store.load(refs, closed_history=closed))
        until = perf_counter() + TURN
        for row, stored in zip(rows, found, strict=True):
            body = self._do(row, stored)
            if body is not None:
                self._engine.outbox.put(row.workflow_id, row.run_id, body)
            if perf_counter() > until:
                await asyncio.sleep(0)
                until = perf_counter() + TURN

    def _do(self, row: TaskRow, stored: StoredExecution | None) -> msg.Body | None:
        host = self._engine.turns.host_of(row.task_queue)
        if host is None:
            return TaskReturned(row.key)
        try:
            if row.kind is TaskKind.QUERY:
                return msg.QueryAnswered(row.key, self._answer(stored, parking.decode_query(row), host))
            if stored is None or not stored.events or stored.row.status is not ExecutionStatus.RUNNING:
                return None  # it has ended meanwhile
            return self._decide(stored, parking.decode_workflow_task(row), host)
        except msgspec.DecodeError as error:
            logger.error("a task of workflow %s can't be understood: %s", row.workflow_id, error)
            return None

    def _decide(self, stored: StoredExecution, data: parking.WorkflowTaskData, host: WorkflowHost) -> DecisionMade:
        events, run_id = stored.events, stored.row.run_id
        last = events[-1]
        now = max(self._engine.clock.now(), last.time)
        size = stored.history_size
        task = WorkflowTask(
            data.updates,
            now,
            last.event_id + (1 if _is_scheduled(events) else 2),
            size,
            last.event_id >= data.events_suggestion or size >= data.size_suggestion,
        )
        code = self._bring_up(run_id, events, host)
        answer: WorkflowTaskBroken | WorkflowTaskDone
        answer = code if isinstance(code, WorkflowTaskBroken) else code.instance.activate(task)
        if isinstance(answer, WorkflowTaskBroken):
            self._forget(run_id)
            return DecisionMade(last.event_id, now, [], answer, host.identity)
        assert isinstance(code, Suspended)
        code.decided = now
        if answer.commands and isinstance(answer.commands[-1], CLOSING_COMMANDS):
            self._forget(run_id)
        return DecisionMade(last.event_id, now, answer.commands, None, host.identity)

    def _answer(self, stored: StoredExecution | None, query: msg.Query, host: WorkflowHost) -> msg.QueryAnswer:
        if stored is None or stored.row.status is not ExecutionStatus.RUNNING:
            return answer_closed(stored, query, host)
        code = self._bring_up(stored.row.run_id, stored.events, host)
        return unreplayable(code) if isinstance(code, WorkflowTaskBroken) else code.instance.answer(query)

    # -- suspended code ----------------------------------------------------------------------------------------------

    def _bring_up(self, run_id: str, events: list[ev.AnyEvent], host: WorkflowHost) -> Suspended | WorkflowTaskBroken:
        """The code of a run, as far as its history goes."""
        code = self._suspended.get(run_id)
        if code is not None and (code.host is not host or not _continues(code, events)):
            self._forget(run_id)
            code = None
        if code is None:
            code = Suspended(host.create(events[0]), host, 0, None)  # type: ignore[arg-type]  # Started comes first
            self._suspended[run_id] = code
        broken = code.instance.feed(events[code.last_event_id :])
        if broken is not None:
            self._forget(run_id)
            return broken
        code.last_event_id, code.decided = len(events), None
        self._suspended.move_to_end(run_id)
        while len(self._suspended) > max(1, self.capacity):
            self._forget(next(iter(self._suspended)))
        return code

    def _forget(self, run_id: str) -> None:
        code = self._suspended.pop(run_id, None)
        if code is not None:
            code.instance.discard()

    def forget(self, host: WorkflowHost | None) -> None:
        """A worker has gone."""
        for run_id in [run_id for run_id, code in self._suspended.items() if code.host is host]:
            self._forget(run_id)


def _is_scheduled(events: list[ev.AnyEvent]) -> bool:
    """Does the history hold that the task which is to be done was scheduled?"""
    for event in reversed(events):
        if isinstance(event, ev.WorkflowTaskScheduled):
            return True
        if isinstance(event, ev.WorkflowTaskCompleted | ev.WorkflowTaskFailed | ev.WorkflowTaskTimedOut):
            return False
    return False


def _continues(code: Suspended, events: list[ev.AnyEvent]) -> bool:
    """Was what the code has decided recorded, just so? Then it need only be shown what comes behind."""
    if code.decided is None:
        return len(events) >= code.last_event_id
    new = events[code.last_event_id : code.last_event_id + 3]
    if new and isinstance(new[0], ev.WorkflowTaskScheduled):
        del new[0]
    if len(new) < 2:
        return False
    began, ended = new[0], new[1]
    return (
        isinstance(began, ev.WorkflowTaskStarted)
        and isinstance(ended, ev.WorkflowTaskCompleted)
        and began.time == code.decided
        and began.identity == code.host.identity
    )
