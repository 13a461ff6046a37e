"""Queries: read-only questions to workflow code, answered from memory or, for what is not there, by replay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.engine.origin import Origin
from tenuto.engine.resident import Resident
from tenuto.model import messages as msg
from tenuto.model.errors import RPCStatusCode
from tenuto.store.protocol import ExecutionRow, StoredExecution

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine


class Queries:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def ask(self, resident: Resident, message: msg.Message, origin: Origin) -> msg.Answer | None:
        """Answer, or see to it that an answer comes."""
        query: msg.Query = message.body  # type: ignore[assignment]
        row = self._engine.closed_runs.row_of(resident, message.target.run_id)
        if not self._engine.turns.serves(resident.row.task_queue):
            return msg.Refused(
                RPCStatusCode.UNAVAILABLE,
                f"no worker serves task queue {resident.row.task_queue!r}, so the code of workflow "
                f"{resident.row.workflow_id!r} can't be asked; start one",
                reason="no_worker",
            )
        if resident.execution is None or row is not resident.row or resident.execution.state.closed:
            self._engine.closed_runs.read(row, lambda stored: self._ask_closed(stored, query, message, origin))
            return None
        if resident.row.status in query.reject_if:
            return msg.QueryRejected(resident.row.status)
        return self._ask_open(resident, query, message, origin)

    def _ask_open(
        self, resident: Resident, query: msg.Query, message: msg.Message, origin: Origin
    ) -> msg.Answer | None:
        # What has arrived already is decided first, so that a query sees the effect of the signal before it.
        self._engine.settle(resident)
        if resident.execution is None or resident.execution.state.closed or not resident.rebuildable:
            # It closed just now, or has to be read again: ask anew once that is on record.
            self._engine.eviction.when_clean(
                resident, lambda again: self._engine.handle(again, message, origin), origin
            )
            return None
        if resident.execution.task_failure is not None and resident.instance is None:
            return msg.Refused(
                RPCStatusCode.FAILED_PRECONDITION,
                f"workflow {resident.row.workflow_id!r} is stuck and can't answer: {resident.row.problem}",
            )
        wrong = self._engine.turns.catch_up(resident)
        if wrong is not None or resident.instance is None:
            return msg.Refused(RPCStatusCode.FAILED_PRECONDITION, f"the workflow can't be replayed: {wrong}")
        return resident.instance.answer(query)

    def _ask_closed(
        self, stored: StoredExecution | None, query: msg.Query, message: msg.Message, origin: Origin
    ) -> None:
        self._engine.answer(origin, message, self._replay_closed(stored, query))

    def _replay_closed(self, stored: StoredExecution | None, query: msg.Query) -> msg.Answer:
        if stored is None or not stored.events:
            return msg.Refused(RPCStatusCode.NOT_FOUND, "there is no such workflow run (any more)")
        row: ExecutionRow = stored.row
        if row.status in query.reject_if:
            return msg.QueryRejected(row.status)
        host = self._engine.turns.host_of(row.task_queue)
        if host is None:
            return msg.Refused(
                RPCStatusCode.UNAVAILABLE, f"no worker serves task queue {row.task_queue!r}", reason="no_worker"
            )
        instance = host.create(stored.events[0])  # type: ignore[arg-type]  # every history begins with Started
        broken = instance.feed(stored.events)
        answer: msg.Answer
        if broken is not None:
            answer = msg.Refused(
                RPCStatusCode.FAILED_PRECONDITION,
                f"the workflow can't be replayed: {broken.failure.message}",
            )
        else:
            answer = instance.answer(query)
        instance.discard()
        return answer
