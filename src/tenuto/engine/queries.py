"""Queries: read-only questions to workflow code, answered from memory or, for what is not there, by replay. Code that
only other processes have is asked by tasks that these claim."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.engine.hosts import WorkflowHost
from tenuto.engine.origin import Origin
from tenuto.engine.refusals import is_stuck, no_run, no_worker, unreplayable
from tenuto.engine.remote_queries import RemoteQueries
from tenuto.engine.resident import Resident
from tenuto.model import messages as msg
from tenuto.model.errors import RPCStatusCode
from tenuto.store.protocol import StoredExecution

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine


class Queries:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.elsewhere = RemoteQueries(engine)

    def ask(self, resident: Resident, message: msg.Message, origin: Origin) -> msg.Answer | None:
        """Answer, or see to it that an answer comes."""
        query: msg.Query = message.body  # type: ignore[assignment]
        row = self._engine.closed_runs.row_of(resident, message.target.run_id)
        serves = self._engine.turns.serves(resident.row.task_queue)
        if self._engine.store.shared and (not serves or 0 in resident.parked):
            return self.elsewhere.ask(resident, row, message, origin)
        if not serves:
            return no_worker(resident.row)
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
            return is_stuck(resident.row)
        wrong = self._engine.turns.catch_up(resident)
        if wrong is not None or resident.instance is None:
            return msg.Refused(RPCStatusCode.FAILED_PRECONDITION, f"the workflow can't be replayed: {wrong}")
        return resident.instance.answer(query)

    def _ask_closed(
        self, stored: StoredExecution | None, query: msg.Query, message: msg.Message, origin: Origin
    ) -> None:
        host = None if stored is None else self._engine.turns.host_of(stored.row.task_queue)
        if stored is not None and host is None:
            self._engine.answer(origin, message, no_worker(stored.row))
        else:
            self._engine.answer(origin, message, answer_closed(stored, query, host))


def answer_closed(stored: StoredExecution | None, query: msg.Query, host: WorkflowHost | None) -> msg.QueryAnswer:
    """The answer of the code of a run that has ended."""
    if stored is None or host is None or not stored.events:
        return no_run()
    if stored.row.status in query.reject_if:
        return msg.QueryRejected(stored.row.status)
    instance = host.create(stored.events[0])  # type: ignore[arg-type]  # every history begins with Started
    broken = instance.feed(stored.events)
    answer = instance.answer(query) if broken is None else unreplayable(broken)
    instance.discard()
    return answer
