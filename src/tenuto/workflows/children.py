"""Child workflows, and the next run of this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from tenuto.common import RetryPolicy, WorkflowIDReusePolicy
from tenuto.durations import Duration, limit
from tenuto.given import UNSET, chosen, given
from tenuto.model import commands as cmd
from tenuto.model.events import ExecutionRef
from tenuto.model.policies import ParentClosePolicy
from tenuto.replay.calls import Answerable, CallTask, ChildCall, ChildWorkflowCancellationType
from tenuto.replay.definition import handler_name, resolve_workflow
from tenuto.replay.errors import ContinueAsNewError
from tenuto.replay.instance import Instance
from tenuto.workflows.context import current, uuid4

T = TypeVar("T")


class ChildWorkflowHandle(CallTask[T]):
    """A child that has started. Await it for the result; `cancel()` cancels the child."""

    _call: ChildCall
    _this: Instance

    @property
    def id(self) -> str:
        return self._call.workflow_id

    @property
    def first_execution_run_id(self) -> str | None:
        return self._call.run_id

    async def signal(self, signal: str | Callable[..., Any], arg: Any = UNSET, *, args: Sequence[Any] = ()) -> None:
        """Send the child a signal. Raises ApplicationError if it has ended."""
        command = cmd.SignalExternal(
            ExecutionRef(self.id),
            handler_name(signal, "signal"),
            self._this.converter.encode_all(given(arg, args)),
            True,
        )
        await Answerable(self._this, command).future


async def start_child_workflow(
    workflow: Any,
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    id: str | None = None,
    task_queue: str | None = None,
    result_type: Any = None,
    cancellation_type: ChildWorkflowCancellationType = ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
    parent_close_policy: ParentClosePolicy = ParentClosePolicy.TERMINATE,
    execution_timeout: Duration | None = None,
    run_timeout: Duration | None = None,
    task_timeout: Duration | None = None,
    id_reuse_policy: WorkflowIDReusePolicy = WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    retry_policy: RetryPolicy | None = None,
    memo: Mapping[str, Any] | None = None,
) -> ChildWorkflowHandle[Any]:
    """Start a child workflow and wait until it has started; await the handle for its result.

    `workflow` is a run method, a workflow class or a name. Without `id` the child gets a random one. Raises
    WorkflowAlreadyStartedError if the id is taken."""
    this = current()
    definition, name = resolve_workflow(workflow)
    arguments = given(arg, args)
    if definition is not None:
        definition.signature.check(arguments)
    command = cmd.StartChildWorkflow(
        id or str(uuid4()),
        name,
        task_queue or this.started.task_queue,
        this.converter.encode_all(arguments),
        chosen(ParentClosePolicy, parent_close_policy),
        chosen(WorkflowIDReusePolicy, id_reuse_policy),
        limit(execution_timeout),
        limit(run_timeout),
        limit(task_timeout) or 10.0,
        None if retry_policy is None else retry_policy.to_model(),
        {key: this.converter.encode(value) for key, value in (memo or {}).items()},
    )
    call = ChildCall(this, command, chosen(ChildWorkflowCancellationType, cancellation_type))
    await call.started()
    hint = result_type or (definition.signature.result if definition else None)

    async def result() -> Any:
        return this.decode_result(await call.result(), hint)

    handle: ChildWorkflowHandle[Any] = ChildWorkflowHandle(result(), loop=this.loop)
    handle._call, handle._this = call, this
    this.loop.adopt(handle)
    # The failure of a child that nobody waits for is no fault of its parent.
    handle.add_done_callback(lambda task: None if task.cancelled() else task.exception())
    return handle


async def execute_child_workflow(
    workflow: Any,
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    id: str | None = None,
    task_queue: str | None = None,
    result_type: Any = None,
    cancellation_type: ChildWorkflowCancellationType = ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
    parent_close_policy: ParentClosePolicy = ParentClosePolicy.TERMINATE,
    execution_timeout: Duration | None = None,
    run_timeout: Duration | None = None,
    task_timeout: Duration | None = None,
    id_reuse_policy: WorkflowIDReusePolicy = WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    retry_policy: RetryPolicy | None = None,
    memo: Mapping[str, Any] | None = None,
) -> Any:
    """Start a child workflow and wait for its result. Raises ChildWorkflowError, whose `cause` says what went wrong."""
    handle = await start_child_workflow(
        workflow,
        arg,
        args=args,
        id=id,
        task_queue=task_queue,
        result_type=result_type,
        cancellation_type=cancellation_type,
        parent_close_policy=parent_close_policy,
        execution_timeout=execution_timeout,
        run_timeout=run_timeout,
        task_timeout=task_timeout,
        id_reuse_policy=id_reuse_policy,
        retry_policy=retry_policy,
        memo=memo,
    )
    return await handle


def continue_as_new(
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    workflow: Any = None,
    task_queue: str | None = None,
    run_timeout: Duration | None = None,
    task_timeout: Duration | None = None,
    retry_policy: RetryPolicy | None = None,
    memo: Mapping[str, Any] | None = None,
) -> Any:
    """End this run and begin the next with a fresh history. Never returns: it raises ContinueAsNewError, which must
    leave the run method (or the handler). What is not given stays as it is."""
    this = current()
    arguments = given(arg, args)
    definition, name = (this.definition, None) if workflow is None else resolve_workflow(workflow)
    if definition is not None:
        definition.signature.check(arguments)
    raise ContinueAsNewError(
        cmd.ContinueAsNew(
            name,
            task_queue,
            this.converter.encode_all(arguments),
            limit(run_timeout),
            limit(task_timeout),
            None if retry_policy is None else retry_policy.to_model(),
            None if memo is None else {key: this.converter.encode(value) for key, value in memo.items()},
        )
    )
