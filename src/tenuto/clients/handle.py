"""A handle to one execution."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tenuto.clients.descriptions import WorkflowExecutionDescription, describe
from tenuto.clients.errors import (
    WorkflowContinuedAsNewError,
    WorkflowFailureError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from tenuto.clients.updates import WorkflowUpdateHandle, WorkflowUpdateStage
from tenuto.common import QueryRejectCondition
from tenuto.durations import Duration, seconds_of
from tenuto.engine.gateway import not_found
from tenuto.failures import from_failure
from tenuto.given import UNSET, given
from tenuto.history.closing import next_run_id, result_of
from tenuto.model import messages as msg
from tenuto.model.errors import RPCError, RPCStatusCode
from tenuto.model.events import ExecutionRef, WorkflowExecutionContinuedAsNew
from tenuto.model.policies import ExecutionStatus
from tenuto.replay.definition import handler_name
from tenuto.signatures import signature_of
from tenuto.store.protocol import ExecutionFilter

if TYPE_CHECKING:
    from tenuto.clients.client import Client
    from tenuto.export import WorkflowHistory

T = TypeVar("T")


class WorkflowHandle(Generic[T]):
    """One execution. Without a run id, the latest run of the workflow id is meant."""

    def __init__(
        self,
        client: Client,
        id: str,
        *,
        run_id: str | None = None,
        result_run_id: str | None = None,
        first_execution_run_id: str | None = None,
        result_type: Any = None,
    ) -> None:
        self._client = client
        self._id = id
        self._run_id = run_id
        self._result_run_id = result_run_id
        self._first_execution_run_id = first_execution_run_id
        self._result_type = result_type

    @property
    def id(self) -> str:
        return self._id

    @property
    def run_id(self) -> str | None:
        """The run that signals, queries and the like go to; None for the latest."""
        return self._run_id

    @property
    def result_run_id(self) -> str | None:
        """The run whose result is waited for."""
        return self._result_run_id

    @property
    def first_execution_run_id(self) -> str | None:
        return self._first_execution_run_id

    def __repr__(self) -> str:
        return f"WorkflowHandle(id={self._id!r}, run_id={self._run_id or self._result_run_id!r})"

    @property
    def _target(self) -> ExecutionRef:
        return ExecutionRef(self._id, self._run_id)

    async def result(self, *, follow_runs: bool = True, rpc_timeout: Duration | None = None) -> T:
        """Wait for the result; runs that continue as new or are retried are followed.

        Raises WorkflowFailureError, whose `cause` says what happened; WorkflowContinuedAsNewError if `follow_runs` is
        False; RPCError if there is no such execution (NOT_FOUND), or after `rpc_timeout` (DEADLINE_EXCEEDED)."""
        if rpc_timeout is None:
            return await self._result(follow_runs)
        try:
            async with asyncio.timeout(seconds_of(rpc_timeout)):
                return await self._result(follow_runs)
        except TimeoutError:
            raise RPCError(
                f"workflow {self._id!r} has not ended within {rpc_timeout}", RPCStatusCode.DEADLINE_EXCEEDED
            ) from None

    async def _result(self, follow_runs: bool) -> T:
        ref = ExecutionRef(self._id, self._result_run_id)
        converter = self._client.data_converter
        while True:
            event = await self._client.gateway.closing_event(ref)
            following = next_run_id(event)
            if following is not None and follow_runs:
                ref = ExecutionRef(self._id, following)
                continue
            if isinstance(event, WorkflowExecutionContinuedAsNew):
                raise WorkflowContinuedAsNewError(event.new_execution_run_id)
            payloads, failure = result_of(event)
            if failure is not None:
                raise WorkflowFailureError(cause=from_failure(failure, converter))
            result: T = converter.decode(payloads[0], self._result_type) if payloads else None  # type: ignore[assignment]
            return result

    async def signal(
        self,
        signal: str | Callable[..., Any],
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        request_id: str | None = None,
        rpc_timeout: Duration | None = None,
    ) -> None:
        """Send a signal; when this returns, it is on record. Raises RPCError (NOT_FOUND) if the run has closed."""
        body = msg.Signal(
            handler_name(signal, "signal"),
            self._client.data_converter.encode_all(given(arg, args)),
            self._client.identity,
            request_id or self._client.gateway.new_id(),
        )
        await self._client.ask(self._target, body, rpc_timeout)

    async def query(
        self,
        query: str | Callable[..., Any],
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        result_type: Any = None,
        reject_condition: QueryRejectCondition | None = None,
        rpc_timeout: Duration | None = None,
    ) -> Any:
        """Ask the workflow's code something; works on closed runs too.

        Raises WorkflowQueryFailedError if the handler raises or is missing, WorkflowQueryRejectedError if the run's
        status is one that `reject_condition` excludes, RPCError if there is no such run or no worker."""
        name, hint = handler_name(query, "query"), result_type
        if hint is None and not isinstance(query, str):
            hint = result_hint(query)
        reject = reject_condition or self._client.reject_condition or QueryRejectCondition.NONE
        body = msg.Query(name, self._client.data_converter.encode_all(given(arg, args)), _REJECTED_STATUSES[reject])
        answer = await self._client.ask_code(self._target, body, rpc_timeout)
        if isinstance(answer, msg.QueryRejected):
            raise WorkflowQueryRejectedError(answer.status)
        assert isinstance(answer, msg.Outcome)
        if answer.failure is not None:
            raise WorkflowQueryFailedError(answer.failure.message) from from_failure(
                answer.failure, self._client.data_converter
            )
        return self._client.data_converter.decode(answer.result[0], hint)

    async def execute_update(
        self,
        update: str | Callable[..., Any],
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        id: str | None = None,
        result_type: Any = None,
        rpc_timeout: Duration | None = None,
    ) -> Any:
        """Send an update and wait for its outcome. Repeating it with the same `id` gives the same outcome.

        Raises WorkflowUpdateFailedError if it is refused or fails, WorkflowUpdateRPCTimeoutOrCancelledError after
        `rpc_timeout`, RPCError if there is no such open run or no worker."""
        handle = await self.start_update(
            update,
            arg,
            args=args,
            id=id,
            result_type=result_type,
            wait_for_stage=WorkflowUpdateStage.ACCEPTED,
            rpc_timeout=rpc_timeout,
        )
        return await handle.result(rpc_timeout=rpc_timeout)

    async def start_update(
        self,
        update: str | Callable[..., Any],
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        wait_for_stage: str = WorkflowUpdateStage.ACCEPTED,
        id: str | None = None,
        result_type: Any = None,
        rpc_timeout: Duration | None = None,
    ) -> WorkflowUpdateHandle:
        """Send an update and wait until it is accepted, or (`wait_for_stage`) completed."""
        if wait_for_stage == WorkflowUpdateStage.ADMITTED:
            raise ValueError("an update that is only admitted is not on record; wait for ACCEPTED or COMPLETED")
        name, hint = handler_name(update, "update"), result_type
        if hint is None and not isinstance(update, str):
            hint = result_hint(update)
        update_id = id or self._client.gateway.new_id()
        body = msg.Update(
            update_id,
            name,
            self._client.data_converter.encode_all(given(arg, args)),
            self._client.identity,
        )
        try:
            answer = await self._client.ask_code(self._target, body, rpc_timeout)
        except RPCError as error:
            if error.status is RPCStatusCode.DEADLINE_EXCEEDED:
                raise WorkflowUpdateRPCTimeoutOrCancelledError(str(error)) from error
            raise
        run_id = answer.run_id if isinstance(answer, msg.Accepted) else self._run_id
        handle = WorkflowUpdateHandle(self._client, update_id, self._id, run_id, hint)
        if isinstance(answer, msg.Outcome):
            handle._outcome = answer
            handle._raise_failure()
        if wait_for_stage == WorkflowUpdateStage.COMPLETED:
            await handle._wait(rpc_timeout)
        return handle

    def get_update_handle(
        self, id: str, *, workflow_run_id: str | None = None, result_type: Any = None
    ) -> WorkflowUpdateHandle:
        """A handle to an update that was sent before."""
        return WorkflowUpdateHandle(self._client, id, self._id, workflow_run_id or self._run_id, result_type)

    async def cancel(self, *, reason: str = "", rpc_timeout: Duration | None = None) -> None:
        """Ask the workflow to stop; it may clean up first, or refuse. Raises RPCError (NOT_FOUND) if it has closed."""
        body = msg.Cancel(reason, self._client.identity, None, self._chain())
        await self._client.ask(self._target, body, rpc_timeout)

    async def terminate(self, *args: Any, reason: str | None = None, rpc_timeout: Duration | None = None) -> None:
        """End the workflow at once; its code gets no say. `args` are kept as details."""
        body = msg.Terminate(
            reason or "",
            self._client.data_converter.encode_all(args),
            self._client.identity,
            self._chain(),
        )
        await self._client.ask(self._target, body, rpc_timeout)

    async def pause(self, note: str = "", *, rpc_timeout: Duration | None = None) -> None:
        """Let the run stand still: none of its code runs and no attempt begins until `unpause`. Attempts that run may
        end, signals are kept, updates are refused, queries are answered. Timers and back-offs come later by the time
        spent paused; time limits of the run go on. `note` says why. Pausing twice is pausing once. Raises RPCError
        (NOT_FOUND) if it has closed."""
        body = msg.Pause(note, self._client.identity, self._client.gateway.new_id())
        await self._client.ask(self._target, body, rpc_timeout)

    async def unpause(self, note: str = "", *, rpc_timeout: Duration | None = None) -> None:
        """Let a paused run go on; one that isn't paused does so anyway. Raises RPCError (NOT_FOUND) if it has
        closed."""
        body = msg.Unpause(note, self._client.identity, self._client.gateway.new_id())
        await self._client.ask(self._target, body, rpc_timeout)

    async def delete(self, *, rpc_timeout: Duration | None = None) -> None:
        """Forget all runs of the workflow id, histories and results with them, before their retention is over. Raises
        RPCError: NOT_FOUND if there is none, FAILED_PRECONDITION if the latest has not ended."""
        runs: list[ExecutionRef] = []
        while rows := await self._client.gateway.store.find(ExecutionFilter(workflow_id=self._id), 100, len(runs)):
            runs += [ExecutionRef(self._id, row.run_id) for row in rows]
        if not runs:
            raise not_found(ExecutionRef(self._id))
        latest = await self._client.gateway.load(ExecutionRef(self._id))
        if latest is not None and latest.row.status is ExecutionStatus.RUNNING:
            runs = [ExecutionRef(self._id, latest.row.run_id)]  # which is refused, and says why
        for run in reversed(runs):  # the latest last: it is what the others are found by
            await self._client.ask(run, msg.Delete(), rpc_timeout)

    def _chain(self) -> str | None:
        """With a handle from a start, a later chain of the same workflow id must not be hit."""
        return self._first_execution_run_id

    async def describe(self) -> WorkflowExecutionDescription:
        """What is known of the run, and what it waits for. Raises RPCError (NOT_FOUND) if there is none."""
        stored = await self._client.gateway.load(self._target)
        if stored is None:
            raise not_found(self._target)
        return describe(stored, self._client.data_converter)

    async def fetch_history(self) -> WorkflowHistory:
        """All events of the run so far. Raises RPCError: NOT_FOUND if there is none, FAILED_PRECONDITION for a
        graph."""
        target = ExecutionRef(self._id, self._run_id or self._result_run_id)
        stored = await self._client.gateway.load(target, history=True)
        if stored is None:
            raise not_found(target)
        if stored.graph_events:
            raise RPCError(
                f"workflow {self._id!r} is a graph, which has no events of this kind; describe() and `tenuto show` "
                "say how it stands",
                RPCStatusCode.FAILED_PRECONDITION,
            )
        from tenuto.export import WorkflowHistory

        return WorkflowHistory(self._id, stored.events)


_CLOSED = tuple(status for status in ExecutionStatus if status is not ExecutionStatus.RUNNING)
_REJECTED_STATUSES: dict[QueryRejectCondition, tuple[ExecutionStatus, ...]] = {
    QueryRejectCondition.NONE: (),
    QueryRejectCondition.NOT_OPEN: _CLOSED,
    QueryRejectCondition.NOT_COMPLETED_CLEANLY: tuple(
        status for status in _CLOSED if status is not ExecutionStatus.COMPLETED
    ),
}


def result_hint(handler: Callable[..., Any]) -> Any:
    """The type that a handler method is declared to return."""
    return signature_of(handler, method=True).result
