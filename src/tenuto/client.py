"""Clients: start workflows, talk to them, see what became of them.

    client = await Client.connect("sqlite:///orders.db")
    receipt = await client.execute_workflow(Checkout.run, order, id="order-42")

A client works whether or not this process runs the workflows: `connect` only opens the store.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tenuto.common import (
    QueryRejectCondition,
    RetryPolicy,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from tenuto.converter import DataConverter
from tenuto.durations import seconds_of
from tenuto.engine.clock import Clock, SystemClock
from tenuto.engine.gateway import Gateway, not_found
from tenuto.engine.ids import id_source
from tenuto.exceptions import WorkflowAlreadyStartedError
from tenuto.failures import from_failure
from tenuto.history.closing import next_run_id, result_of
from tenuto.history.execution import Execution
from tenuto.listing import parse_query
from tenuto.model import messages as msg
from tenuto.model.errors import RPCError, RPCStatusCode, TenutoError
from tenuto.model.events import ExecutionRef, Memo, WorkflowExecutionContinuedAsNew, decode_memo
from tenuto.model.limits import Limits
from tenuto.model.policies import ExecutionStatus
from tenuto.replay.definition import MARK, WorkflowDefinition
from tenuto.store.protocol import ExecutionRow, StoredExecution
from tenuto.store.urls import open_store

if TYPE_CHECKING:
    from tenuto.export import WorkflowHistory

__all__ = [
    "Client",
    "PendingActivity",
    "WorkflowContinuedAsNewError",
    "WorkflowExecution",
    "WorkflowExecutionCount",
    "WorkflowExecutionDescription",
    "WorkflowExecutionStatus",
    "WorkflowFailureError",
    "WorkflowHandle",
    "WorkflowHistory",
    "WorkflowQueryFailedError",
    "WorkflowQueryRejectedError",
    "WorkflowUpdateFailedError",
    "WorkflowUpdateHandle",
    "WorkflowUpdateRPCTimeoutOrCancelledError",
    "WorkflowUpdateStage",
]

T = TypeVar("T")
Duration = timedelta | float | int
WorkflowExecutionStatus = ExecutionStatus
_UNSET: Any = object()


def __getattr__(name: str) -> Any:
    # The tables of the export form take as long to import as all the rest here, and few programs need them.
    if name == "WorkflowHistory":
        from tenuto.export import WorkflowHistory

        return WorkflowHistory
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class WorkflowUpdateStage:
    """How far an update must get before the caller goes on."""

    ADMITTED = "admitted"
    ACCEPTED = "accepted"
    COMPLETED = "completed"


class WorkflowFailureError(TenutoError):
    """The workflow did not end with a result; `cause` says why."""

    def __init__(self, *, cause: BaseException) -> None:
        super().__init__(f"the workflow did not complete: {cause}")
        self.__cause__ = cause

    @property
    def cause(self) -> BaseException:
        assert self.__cause__ is not None
        return self.__cause__


class WorkflowContinuedAsNewError(TenutoError):
    """The run continued as new, and the caller did not want to follow; `new_execution_run_id` is the next run."""

    def __init__(self, new_execution_run_id: str) -> None:
        super().__init__(f"the run continued as new in run {new_execution_run_id}")
        self.new_execution_run_id = new_execution_run_id


class WorkflowQueryFailedError(TenutoError):
    """The query's handler raised, or there is no such handler."""


class WorkflowQueryRejectedError(TenutoError):
    """The execution has a status that the caller did not want to query; `status` is it."""

    def __init__(self, status: ExecutionStatus) -> None:
        super().__init__(f"the query was rejected, because the workflow is {status.name}")
        self.status = status


class WorkflowUpdateFailedError(TenutoError):
    """The update was refused, or its handler failed; `cause` says why."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(f"the update failed: {cause}")
        self.__cause__ = cause

    @property
    def cause(self) -> BaseException:
        assert self.__cause__ is not None
        return self.__cause__


class WorkflowUpdateRPCTimeoutOrCancelledError(TenutoError):
    """The update did not get as far as the caller waits for, in time. It may still."""


# -- descriptions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WorkflowExecution:
    """One run, as listings show it. `problem` says why it is stuck, if it is."""

    id: str
    run_id: str
    workflow_type: str
    task_queue: str
    status: ExecutionStatus
    start_time: datetime
    close_time: datetime | None
    history_length: int
    parent_id: str | None
    parent_run_id: str | None
    first_run_id: str
    problem: str | None
    _memo: Memo = field(repr=False)
    _converter: DataConverter = field(repr=False)

    async def memo(self) -> Mapping[str, Any]:
        """The memo that the run was started with, decoded."""
        return {key: self._converter.decode(value) for key, value in self._memo.items()}

    async def memo_value(self, key: str, default: Any = _UNSET, *, type_hint: Any = None) -> Any:
        """One value of the memo. Raises KeyError if there is none and no default."""
        if key in self._memo:
            return self._converter.decode(self._memo[key], type_hint)
        if default is _UNSET:
            raise KeyError(f"the memo has no value {key!r}")
        return default


@dataclass(frozen=True)
class PendingActivity:
    """An activity that has not closed. `state` is scheduled, started, or backing_off (until `next_attempt_time`)."""

    activity_id: str
    activity_type: str
    state: str
    attempt: int
    scheduled_time: datetime
    started_time: datetime | None
    next_attempt_time: datetime | None
    last_failure: str | None
    heartbeat_details: Sequence[Any]
    cancel_requested: bool


@dataclass(frozen=True)
class WorkflowExecutionDescription(WorkflowExecution):
    """One run with what it waits for. `workflow_task_attempt` above 1 means that its code keeps failing with
    `workflow_task_failure`."""

    pending_activities: Sequence[PendingActivity] = ()
    pending_timers: Sequence[tuple[str, datetime]] = ()
    pending_children: Sequence[str] = ()
    workflow_task_attempt: int = 1
    workflow_task_failure: str | None = None


@dataclass(frozen=True)
class WorkflowExecutionCount:
    """How many runs match, in all and by status."""

    count: int
    by_status: Mapping[ExecutionStatus, int]


def _time(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


def _row_fields(row: ExecutionRow, converter: DataConverter) -> dict[str, Any]:
    return {
        "id": row.workflow_id,
        "run_id": row.run_id,
        "workflow_type": row.workflow_type,
        "task_queue": row.task_queue,
        "status": row.status,
        "start_time": _time(row.start_time),
        "close_time": None if row.close_time is None else _time(row.close_time),
        "history_length": row.history_length,
        "parent_id": row.parent_workflow_id,
        "parent_run_id": row.parent_run_id,
        "first_run_id": row.first_run_id,
        "problem": row.problem,
        "_memo": decode_memo(row.memo),
        "_converter": converter,
    }


def _describe(stored: StoredExecution, converter: DataConverter) -> WorkflowExecutionDescription:
    fields = _row_fields(stored.row, converter)
    if not stored.events:
        return WorkflowExecutionDescription(**fields)
    execution = Execution.restore(stored.events, stored.notes, stored.history_size, Limits(), lambda: "")
    state = execution.state
    fields["history_length"] = state.last_event_id
    activities = []
    for pending in state.activities.values():
        note = pending.note
        running = note.started_time is not None
        activities.append(
            PendingActivity(
                activity_id=pending.scheduled.activity_id,
                activity_type=pending.scheduled.activity_type,
                state="started" if running else "backing_off" if note.next_attempt_time else "scheduled",
                attempt=note.attempt,
                scheduled_time=_time(pending.scheduled.time),
                started_time=_time(note.started_time) if note.started_time is not None else None,
                next_attempt_time=_time(note.next_attempt_time) if note.next_attempt_time else None,
                last_failure=note.last_failure.brief() if note.last_failure else None,
                heartbeat_details=converter.decode_all(note.heartbeat_details),
                cancel_requested=bool(pending.cancel_requested_event_id),
            )
        )
    failure = execution.task_failure
    return WorkflowExecutionDescription(
        **fields,
        pending_activities=activities,
        pending_timers=[
            (timer_id, _time(timer.time + int(timer.start_to_fire_timeout * 1e9)))
            for timer_id, timer in state.timers.items()
        ],
        pending_children=[child.initiated.workflow_id for child in state.children.values()],
        workflow_task_attempt=state.task_attempt,
        workflow_task_failure=failure.brief() if failure else None,
    )


# -- the client --------------------------------------------------------------------------------------------------------


class Client:
    """Talks to the executions of one store. Make one with `connect`."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        identity: str,
        data_converter: DataConverter,
        default_workflow_query_reject_condition: QueryRejectCondition | None,
    ) -> None:
        self.gateway = gateway
        self.identity = identity
        self.data_converter = data_converter
        self.namespace = "default"
        self._reject = default_workflow_query_reject_condition

    @classmethod
    async def connect(
        cls,
        target: str,
        *,
        identity: str | None = None,
        data_converter: DataConverter | None = None,
        default_workflow_query_reject_condition: QueryRejectCondition | None = None,
        limits: Limits | None = None,
        retention: Duration = timedelta(days=30),
        clock: Clock | None = None,
    ) -> Client:
        """Open the store at `target`: `sqlite:///file.db` (relative), `sqlite:////absolute/file.db` or `memory://`.

        `limits` and `retention` (how long closed runs are kept) hold for an engine that this process runs. Raises
        StoreFormatError for a file that is not Tenuto's, ValueError for a URL that can't be understood."""
        clock = clock or SystemClock()
        limits = limits or Limits()
        store = open_store(target)
        await store.open()
        gateway = Gateway(store, clock, limits, id_source(clock), retention=seconds_of(retention))
        return cls(
            gateway,
            identity=identity or f"{os.getpid()}@{socket.gethostname()}",
            data_converter=data_converter or DataConverter(payload_size_limit=limits.payload_size),
            default_workflow_query_reject_condition=default_workflow_query_reject_condition,
        )

    async def close(self) -> None:
        """Close the store. Workers of this client must have ended."""
        await self.gateway.store.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start_workflow(
        self,
        workflow: Any,
        arg: Any = _UNSET,
        *,
        args: Sequence[Any] = (),
        id: str,
        task_queue: str = "default",
        result_type: Any = None,
        execution_timeout: Duration | None = None,
        run_timeout: Duration | None = None,
        task_timeout: Duration | None = None,
        id_reuse_policy: WorkflowIDReusePolicy = WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy: WorkflowIDConflictPolicy = WorkflowIDConflictPolicy.UNSPECIFIED,
        retry_policy: RetryPolicy | None = None,
        memo: Mapping[str, Any] | None = None,
        start_delay: Duration | None = None,
        start_signal: str | Callable[..., Any] | None = None,
        start_signal_args: Sequence[Any] = (),
        request_id: str | None = None,
        rpc_timeout: Duration | None = None,
    ) -> WorkflowHandle[Any]:
        """Start a workflow and go on; when this returns, the start is on record.

        `workflow` is a run method, a workflow class or a name. With `start_signal` the signal is the first thing the
        workflow sees, or is sent to the run that goes on already. A start that is repeated with the same `request_id`
        gives the run that the first one began. Raises WorkflowAlreadyStartedError if the policies for the id forbid
        the start, PayloadError for arguments that can't be stored, TypeError for a wrong number of them."""
        definition, name = _resolve(workflow)
        arguments = _arguments(arg, args)
        if definition is not None:
            definition.signature.check(arguments)
        encode = self.data_converter.encode
        signal = None
        if start_signal is not None:
            signal = msg.Signal(
                _handler_name(start_signal, "signal"),
                self.data_converter.encode_all(start_signal_args),
                self.identity,
            )
        conflict = id_conflict_policy or WorkflowIDConflictPolicy.FAIL
        body = msg.Start(
            name,
            task_queue,
            self.data_converter.encode_all(arguments),
            request_id or self.gateway.new_id(),
            execution_timeout=_limit("execution_timeout", execution_timeout),
            run_timeout=_limit("run_timeout", run_timeout),
            task_timeout=_limit("task_timeout", task_timeout) or 10.0,
            retry=None if retry_policy is None else retry_policy.to_model(),
            memo={key: encode(value) for key, value in (memo or {}).items()},
            reuse_policy=id_reuse_policy,
            conflict_policy=conflict,
            start_delay=0.0 if start_delay is None else seconds_of(start_delay),
            identity=self.identity,
            signal=signal,
        )
        answer = await self._ask(ExecutionRef(id), body, rpc_timeout, workflow_type=name)
        assert isinstance(answer, msg.Started)
        hint = result_type or (definition.signature.result if definition else None)
        handle: WorkflowHandle[Any] = WorkflowHandle(
            self,
            id,
            result_run_id=answer.run_id,
            first_execution_run_id=answer.first_execution_run_id,
            result_type=hint,
        )
        return handle

    async def execute_workflow(self, workflow: Any, arg: Any = _UNSET, **options: Any) -> Any:
        """Start a workflow and wait for its result. Takes what `start_workflow` takes, raises what it and
        `WorkflowHandle.result` raise."""
        handle = await self.start_workflow(workflow, arg, **options)
        return await handle.result()

    def get_workflow_handle(
        self,
        workflow_id: str,
        *,
        run_id: str | None = None,
        first_execution_run_id: str | None = None,
        result_type: Any = None,
    ) -> WorkflowHandle[Any]:
        """A handle to an execution, which need not exist; without `run_id`, to the latest run of the id."""
        return WorkflowHandle(
            self,
            workflow_id,
            run_id=run_id,
            result_run_id=run_id,
            first_execution_run_id=first_execution_run_id,
            result_type=result_type,
        )

    def get_workflow_handle_for(
        self, workflow: Any, workflow_id: str, *, run_id: str | None = None
    ) -> WorkflowHandle[Any]:
        """A handle whose result is decoded as `workflow` says."""
        definition, _ = _resolve(workflow)
        hint = definition.signature.result if definition else None
        return self.get_workflow_handle(workflow_id, run_id=run_id, result_type=hint)

    async def list_workflows(
        self, query: str | None = None, *, limit: int | None = None, page_size: int = 500
    ) -> AsyncIterator[WorkflowExecution]:
        """Runs that match `query`, newest first; see `tenuto.listing` for what a query can say. Raises ValueError for
        one that can't be understood."""
        filter = parse_query(query)
        seen = 0
        while limit is None or seen < limit:
            wanted = page_size if limit is None else min(page_size, limit - seen)
            rows = await self.gateway.store.find(filter, wanted, seen)
            for row in rows:
                yield WorkflowExecution(**_row_fields(row, self.data_converter))
            seen += len(rows)
            if len(rows) < wanted:
                return

    async def count_workflows(self, query: str | None = None) -> WorkflowExecutionCount:
        """How many runs match `query`."""
        by_status = await self.gateway.store.count(parse_query(query))
        return WorkflowExecutionCount(sum(by_status.values()), by_status)

    async def _ask(
        self,
        target: ExecutionRef,
        body: msg.Body,
        timeout: Duration | None,
        *,
        workflow_type: str = "",
    ) -> msg.Answer:
        seconds = None if timeout is None else seconds_of(timeout)
        answer = await self.gateway.request(target, body, seconds)
        if isinstance(answer, msg.Refused):
            if answer.reason == "already_started":
                raise WorkflowAlreadyStartedError(target.workflow_id, workflow_type, run_id=answer.run_id)
            raise RPCError(answer.message, answer.status)
        return answer

    async def _ask_code(self, target: ExecutionRef, body: msg.Body, timeout: Duration | None) -> msg.Answer:
        """Ask something that needs the workflow's code: a worker may still be on its way."""
        seconds = NO_WORKER_PATIENCE if timeout is None else seconds_of(timeout)
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            answer = await self.gateway.request(target, body, None if timeout is None else seconds)
            if not isinstance(answer, msg.Refused):
                return answer
            if answer.reason != "no_worker" or asyncio.get_running_loop().time() >= deadline:
                raise RPCError(answer.message, answer.status)
            await asyncio.sleep(0.05)


#: Seconds that queries and updates wait for a worker to come up.
NO_WORKER_PATIENCE = 5.0


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
            return await asyncio.wait_for(self._result(follow_runs), seconds_of(rpc_timeout))
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
        arg: Any = _UNSET,
        *,
        args: Sequence[Any] = (),
        request_id: str | None = None,
        rpc_timeout: Duration | None = None,
    ) -> None:
        """Send a signal; when this returns, it is on record. Raises RPCError (NOT_FOUND) if the run has closed."""
        body = msg.Signal(
            _handler_name(signal, "signal"),
            self._client.data_converter.encode_all(_arguments(arg, args)),
            self._client.identity,
            request_id or self._client.gateway.new_id(),
        )
        await self._client._ask(self._target, body, rpc_timeout)

    async def query(
        self,
        query: str | Callable[..., Any],
        arg: Any = _UNSET,
        *,
        args: Sequence[Any] = (),
        result_type: Any = None,
        reject_condition: QueryRejectCondition | None = None,
        rpc_timeout: Duration | None = None,
    ) -> Any:
        """Ask the workflow's code something; works on closed runs too.

        Raises WorkflowQueryFailedError if the handler raises or is missing, WorkflowQueryRejectedError if the run's
        status is one that `reject_condition` excludes, RPCError if there is no such run or no worker."""
        name, hint = _handler_name(query, "query"), result_type
        if hint is None and not isinstance(query, str):
            hint = _result_hint(query)
        reject = reject_condition or self._client._reject or QueryRejectCondition.NONE
        body = msg.Query(
            name, self._client.data_converter.encode_all(_arguments(arg, args)), _REJECTED_STATUSES[reject]
        )
        answer = await self._client._ask_code(self._target, body, rpc_timeout)
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
        arg: Any = _UNSET,
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
        arg: Any = _UNSET,
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
        name, hint = _handler_name(update, "update"), result_type
        if hint is None and not isinstance(update, str):
            hint = _result_hint(update)
        update_id = id or self._client.gateway.new_id()
        body = msg.Update(
            update_id,
            name,
            self._client.data_converter.encode_all(_arguments(arg, args)),
            self._client.identity,
        )
        try:
            answer = await self._client._ask_code(self._target, body, rpc_timeout)
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
        await self._client._ask(self._target, body, rpc_timeout)

    async def terminate(self, *args: Any, reason: str | None = None, rpc_timeout: Duration | None = None) -> None:
        """End the workflow at once; its code gets no say. `args` are kept as details."""
        body = msg.Terminate(
            reason or "",
            self._client.data_converter.encode_all(args),
            self._client.identity,
            self._chain(),
        )
        await self._client._ask(self._target, body, rpc_timeout)

    def _chain(self) -> str | None:
        """With a handle from a start, a later chain of the same workflow id must not be hit."""
        return self._first_execution_run_id

    async def describe(self) -> WorkflowExecutionDescription:
        """What is known of the run, and what it waits for. Raises RPCError (NOT_FOUND) if there is none."""
        stored = await self._client.gateway.load(self._target)
        if stored is None:
            raise not_found(self._target)
        return _describe(stored, self._client.data_converter)

    async def fetch_history(self) -> WorkflowHistory:
        """All events of the run so far. Raises RPCError (NOT_FOUND) if there is none."""
        target = ExecutionRef(self._id, self._run_id or self._result_run_id)
        stored = await self._client.gateway.load(target, history=True)
        if stored is None:
            raise not_found(target)
        from tenuto.export import WorkflowHistory

        return WorkflowHistory(self._id, stored.events)


class WorkflowUpdateHandle:
    """An update that was accepted."""

    def __init__(
        self, client: Client, id: str, workflow_id: str, workflow_run_id: str | None, result_type: Any
    ) -> None:
        self._client = client
        self._id = id
        self._target = ExecutionRef(workflow_id, workflow_run_id)
        self._result_type = result_type
        self._outcome: msg.Outcome | None = None

    @property
    def id(self) -> str:
        return self._id

    @property
    def workflow_id(self) -> str:
        return self._target.workflow_id

    @property
    def workflow_run_id(self) -> str | None:
        return self._target.run_id

    async def result(self, *, rpc_timeout: Duration | None = None) -> Any:
        """Wait for the outcome. Raises WorkflowUpdateFailedError if the update failed,
        WorkflowUpdateRPCTimeoutOrCancelledError after `rpc_timeout`."""
        await self._wait(rpc_timeout)
        self._raise_failure()
        assert self._outcome is not None
        result = self._outcome.result
        return self._client.data_converter.decode(result[0], self._result_type) if result else None

    async def _wait(self, rpc_timeout: Duration | None) -> None:
        if self._outcome is not None:
            return
        try:
            answer = await self._client._ask(self._target, msg.PollUpdate(self._id), rpc_timeout)
        except RPCError as error:
            if error.status is RPCStatusCode.DEADLINE_EXCEEDED:
                raise WorkflowUpdateRPCTimeoutOrCancelledError(str(error)) from error
            raise
        assert isinstance(answer, msg.Outcome)
        self._outcome = answer

    def _raise_failure(self) -> None:
        if self._outcome is not None and self._outcome.failure is not None:
            raise WorkflowUpdateFailedError(from_failure(self._outcome.failure, self._client.data_converter))


_CLOSED = tuple(status for status in ExecutionStatus if status is not ExecutionStatus.RUNNING)
_REJECTED_STATUSES: dict[QueryRejectCondition, tuple[ExecutionStatus, ...]] = {
    QueryRejectCondition.NONE: (),
    QueryRejectCondition.NOT_OPEN: _CLOSED,
    QueryRejectCondition.NOT_COMPLETED_CLEANLY: tuple(
        status for status in _CLOSED if status is not ExecutionStatus.COMPLETED
    ),
}


def _resolve(workflow: Any) -> tuple[WorkflowDefinition | None, str]:
    """The definition, as far as it is known here, and the type's name."""
    if isinstance(workflow, str):
        return None, workflow
    definition = WorkflowDefinition.of_run(workflow)
    if definition is None:
        definition = WorkflowDefinition.of(workflow)
    return definition, definition.name


def _arguments(arg: Any, args: Sequence[Any]) -> Sequence[Any]:
    if arg is _UNSET:
        return args
    if args:
        raise ValueError("give one argument, or args=[...], not both")
    return (arg,)


def _limit(name: str, duration: Duration | None) -> float | None:
    if duration is None:
        return None
    seconds = seconds_of(duration)
    if seconds <= 0:
        raise ValueError(f"{name} must be positive, not {duration!r}")
    return seconds


def _handler_name(handler: str | Callable[..., Any], kind: str) -> str:
    if isinstance(handler, str):
        return handler
    mark = getattr(handler, MARK, None)
    if mark is None or mark[0] != kind:
        raise TypeError(f"{getattr(handler, '__qualname__', handler)!r} is not a @workflow.{kind} method")
    name: str = mark[1]
    return name


def _result_hint(handler: Callable[..., Any]) -> Any:
    from tenuto.signatures import signature_of

    return signature_of(handler, method=True).result
