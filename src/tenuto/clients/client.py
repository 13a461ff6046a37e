"""The client: starts workflows, finds them."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any

from tenuto.activities.step_hooks import StepHooks
from tenuto.clients.descriptions import WorkflowExecution, WorkflowExecutionCount, row_fields
from tenuto.clients.handle import WorkflowHandle
from tenuto.common import (
    QueryRejectCondition,
    RetryPolicy,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from tenuto.converter import DataConverter
from tenuto.durations import Duration, limit, seconds_of
from tenuto.engine.clock import Clock, SystemClock
from tenuto.engine.gateway import Gateway
from tenuto.engine.ids import id_source
from tenuto.engine.ownership import LEASE
from tenuto.exceptions import WorkflowAlreadyStartedError
from tenuto.given import UNSET, chosen, given
from tenuto.listing import parse_query
from tenuto.model import messages as msg
from tenuto.model.errors import RPCError
from tenuto.model.events import ExecutionRef
from tenuto.model.limits import Limits
from tenuto.replay.definition import handler_name, resolve_workflow
from tenuto.store.urls import open_store


class Client:
    """Talks to the executions of one store. Make one with `connect`."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        identity: str | None = None,
        data_converter: DataConverter | None = None,
        default_workflow_query_reject_condition: QueryRejectCondition | None = None,
    ) -> None:
        self.gateway = gateway
        self.identity = identity or f"{os.getpid()}@{socket.gethostname()}"
        self.data_converter = data_converter or DataConverter(payload_size_limit=gateway.limits.payload_size)
        self.namespace = "default"
        self.reject_condition = default_workflow_query_reject_condition
        #: What tests want of the steps that run here; see `tenuto.activities.step_hooks`.
        self.step_hooks: StepHooks | None = None

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
        lease: Duration = LEASE,
        clock: Clock | None = None,
    ) -> Client:
        """Open the store at `target`: `sqlite:///file.db` (relative), `sqlite:////absolute/file.db` or `memory://`.

        `limits`, `retention` (how long closed runs are kept) and `lease` hold for an engine that this process runs. A
        process of which the others of a shared store don't hear for `lease` (6 seconds) loses its executions to them: a
        shorter one replaces a process that hangs sooner, a longer one bears longer pauses. Raises StoreFormatError for
        a file that is not Tenuto's, ValueError for a URL that can't be understood."""
        clock = clock or SystemClock()
        limits = limits or Limits()
        store = open_store(target)
        gateway = Gateway(
            store, clock, limits, id_source(clock), retention=seconds_of(retention), lease=seconds_of(lease)
        )
        await store.open()
        return cls(
            gateway,
            identity=identity,
            data_converter=data_converter,
            default_workflow_query_reject_condition=default_workflow_query_reject_condition,
        )

    async def close(self) -> None:
        """Close the store. Workers of this client must have ended."""
        await self.gateway.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start_workflow(
        self,
        workflow: Any,
        arg: Any = UNSET,
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
        definition, name = resolve_workflow(workflow)
        arguments = given(arg, args)
        if definition is not None:
            definition.signature.check(arguments)
        encode = self.data_converter.encode
        signal = None
        if start_signal is not None:
            signal = msg.Signal(
                handler_name(start_signal, "signal"),
                self.data_converter.encode_all(start_signal_args),
                self.identity,
            )
        conflict = chosen(WorkflowIDConflictPolicy, id_conflict_policy) or WorkflowIDConflictPolicy.FAIL
        body = msg.Start(
            name,
            task_queue,
            self.data_converter.encode_all(arguments),
            request_id or self.gateway.new_id(),
            execution_timeout=limit(execution_timeout),
            run_timeout=limit(run_timeout),
            task_timeout=limit(task_timeout) or 10.0,
            retry=None if retry_policy is None else retry_policy.to_model(),
            memo={key: encode(value) for key, value in (memo or {}).items()},
            reuse_policy=chosen(WorkflowIDReusePolicy, id_reuse_policy),
            conflict_policy=conflict,
            start_delay=0.0 if start_delay is None else seconds_of(start_delay),
            identity=self.identity,
            signal=signal,
        )
        answer = await self.ask(ExecutionRef(id), body, rpc_timeout, workflow_type=name)
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

    async def execute_workflow(self, workflow: Any, arg: Any = UNSET, **options: Any) -> Any:
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
        definition, _ = resolve_workflow(workflow)
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
                yield WorkflowExecution(**row_fields(row, self.data_converter))
            seen += len(rows)
            if len(rows) < wanted:
                return

    async def count_workflows(self, query: str | None = None) -> WorkflowExecutionCount:
        """How many runs match `query`."""
        by_status = await self.gateway.store.count(parse_query(query))
        return WorkflowExecutionCount(sum(by_status.values()), by_status)

    async def ask(
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
            if answer.reason in ("already_started", "already_ended"):
                raise WorkflowAlreadyStartedError(target.workflow_id, workflow_type, run_id=answer.run_id)
            raise RPCError(answer.message, answer.status)
        return answer

    async def ask_code(self, target: ExecutionRef, body: msg.Body, timeout: Duration | None) -> msg.Answer:
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
