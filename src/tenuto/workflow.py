"""What workflow code is written with.

    from datetime import timedelta
    from tenuto import workflow

    @workflow.defn
    class Greeting:
        @workflow.run
        async def run(self, name: str) -> str:
            await workflow.sleep(timedelta(days=1))
            return await workflow.execute_activity(greet, name)

Workflow code must be deterministic: what reaches out of it belongs in an activity, time, random numbers and ids come
from here. `asyncio` works as usual, and where it waits, the wait is durable.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import random as _random
from asyncio.events import _get_running_loop
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar, overload
from uuid import UUID

from msgspec import Struct

from tenuto.activities.definition import ActivityDefinition, resolve
from tenuto.common import RetryPolicy, WorkflowIDReusePolicy
from tenuto.durations import seconds_of
from tenuto.model import commands as cmd
from tenuto.model.events import ExecutionRef
from tenuto.model.policies import ParentClosePolicy
from tenuto.replay.calls import (
    ActivityCall,
    ActivityCancellationType,
    Answerable,
    ChildCall,
    ChildWorkflowCancellationType,
)
from tenuto.replay.definition import DEFINITION, MARK, WorkflowDefinition
from tenuto.replay.errors import ContinueAsNewError, NotInWorkflowError, ReadOnlyContextError
from tenuto.replay.instance import Instance
from tenuto.replay.loop import WorkflowLoop
from tenuto.replay.matching import NondeterminismError

__all__ = [
    "ActivityCancellationType",
    "ActivityHandle",
    "ChildWorkflowCancellationType",
    "ChildWorkflowHandle",
    "ContinueAsNewError",
    "ExternalWorkflowHandle",
    "Info",
    "NondeterminismError",
    "NotInWorkflowError",
    "ParentClosePolicy",
    "ParentInfo",
    "ReadOnlyContextError",
    "all_handlers_finished",
    "cancellation_reason",
    "continue_as_new",
    "defn",
    "execute_activity",
    "execute_child_workflow",
    "get_external_workflow_handle",
    "in_workflow",
    "info",
    "init",
    "instance",
    "logger",
    "memo",
    "memo_value",
    "now",
    "query",
    "random",
    "run",
    "signal",
    "sleep",
    "start_activity",
    "start_child_workflow",
    "time",
    "time_ns",
    "update",
    "uuid4",
    "wait_condition",
]

T = TypeVar("T")
ClassT = TypeVar("ClassT", bound=type[Any])
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
Duration = timedelta | float | int
_UNSET: Any = object()

# -- declaring ---------------------------------------------------------------------------------------------------------


@overload
def defn(cls: ClassT) -> ClassT: ...


@overload
def defn(
    *, name: str | None = None, failure_exception_types: Sequence[type[BaseException]] = ()
) -> Callable[[ClassT], ClassT]: ...


def defn(
    cls: type[Any] | None = None,
    *,
    name: str | None = None,
    failure_exception_types: Sequence[type[BaseException]] = (),
) -> Any:
    """Declare a class as a workflow. `name` is its type (by default the class's name); exceptions of
    `failure_exception_types` fail the workflow, where others stop it until its code is put right.

    Raises ValueError if the class has no run method or more than one, or handlers that contradict each other."""

    def declare(cls: type[Any]) -> type[Any]:
        definition = WorkflowDefinition(cls, name or cls.__name__, tuple(failure_exception_types))
        setattr(cls, DEFINITION, definition)
        if "run" in vars(cls) or definition.run.__qualname__.startswith(cls.__qualname__ + "."):
            setattr(definition.run, DEFINITION, definition)
        return cls

    return declare if cls is None else declare(cls)


def run(function: FunctionT) -> FunctionT:
    """Declare the method that is the workflow."""
    setattr(function, MARK, ("run", function.__name__))
    return function


def init(function: FunctionT) -> FunctionT:
    """Declare that `__init__` takes the arguments of the run method, so that handlers find the object initialised."""
    if function.__name__ != "__init__":
        raise ValueError(f"@workflow.init belongs on __init__, not on {function.__qualname__}")
    setattr(function, MARK, ("init", "__init__"))
    return function


@overload
def signal(function: FunctionT) -> FunctionT: ...


@overload
def signal(*, name: str) -> Callable[[FunctionT], FunctionT]: ...


def signal(function: Any = None, *, name: str | None = None) -> Any:
    """Declare a method, sync or async, that takes a signal. It returns nothing to the sender."""
    return _handler("signal", function, name)


@overload
def query(function: FunctionT) -> FunctionT: ...


@overload
def query(*, name: str) -> Callable[[FunctionT], FunctionT]: ...


def query(function: Any = None, *, name: str | None = None) -> Any:
    """Declare a method that answers a query. It must be sync and must not change anything."""

    def check(function: Callable[..., Any]) -> None:
        if inspect.iscoroutinefunction(function):
            raise ValueError(f"{function.__qualname__} can't be async, because it is a @workflow.query method")

    return _handler("query", function, name, check)


@overload
def update(function: FunctionT) -> FunctionT: ...


@overload
def update(*, name: str) -> Callable[[FunctionT], FunctionT]: ...


def update(function: Any = None, *, name: str | None = None) -> Any:
    """Declare a method, sync or async, that takes an update and answers it. `@method.validator` declares a sync,
    read-only method with the same arguments that may refuse it by raising; a refused update leaves no trace."""

    def attach(function: Callable[..., Any]) -> None:
        def validator(check: FunctionT) -> FunctionT:
            function.__tenuto_validator__ = check  # type: ignore[attr-defined]
            return check

        function.validator = validator  # type: ignore[attr-defined]

    return _handler("update", function, name, attach)


def _handler(
    kind: str, function: Any, name: str | None, prepare: Callable[[Callable[..., Any]], None] | None = None
) -> Any:
    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        setattr(function, MARK, (kind, name or function.__name__))
        if prepare is not None:
            prepare(function)
        return function

    return declare if function is None else declare(function)


# -- where the code is -------------------------------------------------------------------------------------------------


class ParentInfo(Struct, frozen=True):
    """The workflow that started this one as its child."""

    namespace: str
    run_id: str
    workflow_id: str


class Info(Struct, frozen=True, kw_only=True):
    """What a run can know of itself."""

    attempt: int
    continued_run_id: str | None
    execution_timeout: timedelta | None
    first_execution_run_id: str
    namespace: str
    parent: ParentInfo | None
    root: ParentInfo | None
    retry_policy: RetryPolicy | None
    run_id: str
    run_timeout: timedelta | None
    start_time: datetime
    task_queue: str
    task_timeout: timedelta
    workflow_id: str
    workflow_type: str

    def get_current_history_length(self) -> int:
        """Events in the history when the current workflow task began."""
        return _instance().history_length

    def get_current_history_size(self) -> int:
        """Bytes of the history when the current workflow task began."""
        return _instance().history_size

    def is_continue_as_new_suggested(self) -> bool:
        """Is the history so long that the workflow should continue as new?"""
        return _instance().continue_as_new_suggested


def _instance() -> Instance:
    loop = _get_running_loop()
    if type(loop) is not WorkflowLoop:
        raise NotInWorkflowError("this function of tenuto.workflow can only be called by a workflow's code")
    return loop.instance


def in_workflow() -> bool:
    """Is this workflow code?"""
    return type(_get_running_loop()) is WorkflowLoop


def instance() -> Any:
    """The workflow object that is running."""
    return _instance().object


def info() -> Info:
    """What this run can know of itself."""
    started = _instance().started
    parent = started.parent
    root = started.root

    def duration(seconds: float | None) -> timedelta | None:
        return None if seconds is None else timedelta(seconds=seconds)

    return Info(
        attempt=started.attempt,
        continued_run_id=started.continued_run_id,
        execution_timeout=duration(started.execution_timeout),
        first_execution_run_id=started.first_execution_run_id,
        namespace="default",
        parent=ParentInfo("default", parent.run_id, parent.workflow_id) if parent else None,
        root=ParentInfo("default", root.run_id or "", root.workflow_id) if root else None,
        retry_policy=RetryPolicy.from_model(started.retry) if started.retry else None,
        run_id=started.run_id,
        run_timeout=duration(started.run_timeout),
        start_time=_datetime(started.time),
        task_queue=started.task_queue,
        task_timeout=timedelta(seconds=started.task_timeout),
        workflow_id=started.workflow_id,
        workflow_type=started.workflow_type,
    )


def memo() -> Mapping[str, Any]:
    """The memo that this run was started with, decoded."""
    this = _instance()
    return {key: this.converter.decode(value) for key, value in this.started.memo.items()}


def memo_value(key: str, default: Any = _UNSET, *, type_hint: Any = None) -> Any:
    """One value of the memo. Raises KeyError if there is none and no default."""
    this = _instance()
    payload = this.started.memo.get(key)
    if payload is not None:
        return this.converter.decode(payload, type_hint)
    if default is _UNSET:
        raise KeyError(f"the memo has no value {key!r}")
    return default


def cancellation_reason() -> str | None:
    """The reason given with the cancel request (it may be empty), None if there was none."""
    return _instance().cancel_reason


def all_handlers_finished() -> bool:
    """Have all signal and update handlers come to their end? Wait for it before the workflow ends:
    `await workflow.wait_condition(workflow.all_handlers_finished)`."""
    return _instance().unfinished_handlers == 0


# -- deterministic values ----------------------------------------------------------------------------------------------


def now() -> datetime:
    """The current time in UTC: the same on every replay."""
    return _datetime(_instance().now)


def time() -> float:
    """The current time in seconds since the epoch: the same on every replay."""
    return _instance().now / 1e9


def time_ns() -> int:
    """The current time in nanoseconds since the epoch: the same on every replay."""
    return _instance().now


def random() -> _random.Random:
    """A random generator whose numbers are the same on every replay."""
    return _instance().random()


def uuid4() -> UUID:
    """A random UUID, the same on every replay."""
    return _instance().uuid4()


def _datetime(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


# -- waiting -----------------------------------------------------------------------------------------------------------


async def sleep(duration: Duration, *, summary: str | None = None) -> None:
    """Sleep, durably: for milliseconds or for years. A number is in seconds."""
    seconds = seconds_of(duration)
    if seconds <= 0:
        await asyncio.sleep(0)
        return
    this = _instance()
    future = this.loop.create_future()
    cancel = this.start_timer(seconds, lambda: None if future.done() else future.set_result(None), summary)
    try:
        await future
    finally:
        cancel()


async def wait_condition(
    fn: Callable[[], bool], *, timeout: Duration | None = None, timeout_summary: str | None = None
) -> None:
    """Wait until `fn()` is true. It is asked whenever something has happened; it must not change anything.

    Raises TimeoutError once `timeout` (seconds, if a number) is over."""
    this = _instance()
    this.check_writable("wait_condition")
    future = this.loop.create_future()
    this.conditions.append((fn, future))
    cancel: Callable[[], None] | None = None
    if timeout is not None:
        expired = TimeoutError("the condition did not become true in time")
        cancel = this.start_timer(
            max(seconds_of(timeout), 0.0),
            lambda: None if future.done() else future.set_exception(expired),
            timeout_summary,
        )
    try:
        await future
    finally:
        if cancel is not None:
            cancel()


# -- activities --------------------------------------------------------------------------------------------------------


class ActivityHandle(asyncio.Task[T]):
    """An activity that was started. Await it for the result; `cancel()` cancels the activity."""


def start_activity(
    activity: Callable[..., Awaitable[T]] | Callable[..., T] | str,
    arg: Any = _UNSET,
    *,
    args: Sequence[Any] = (),
    task_queue: str | None = None,
    result_type: type[T] | None = None,
    schedule_to_close_timeout: Duration | None = None,
    schedule_to_start_timeout: Duration | None = None,
    start_to_close_timeout: Duration | None = None,
    heartbeat_timeout: Duration | None = None,
    retry_policy: RetryPolicy | None = None,
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    activity_id: str | None = None,
    summary: str | None = None,
) -> ActivityHandle[T]:
    """Start an activity and go on; await the handle for its result. Takes what `execute_activity` takes."""
    this = _instance()
    call, hint = _call_activity(
        this,
        resolve(activity),
        _arguments(arg, args),
        task_queue=task_queue,
        schedule_to_close_timeout=schedule_to_close_timeout,
        schedule_to_start_timeout=schedule_to_start_timeout,
        start_to_close_timeout=start_to_close_timeout,
        heartbeat_timeout=heartbeat_timeout,
        retry_policy=retry_policy,
        cancellation_type=cancellation_type,
        activity_id=activity_id,
        summary=summary,
    )

    async def result() -> T:
        decoded: T = this.decode_result(await call.result(), result_type or hint)
        return decoded

    handle: ActivityHandle[T] = ActivityHandle(result(), loop=this.loop)
    this.loop.adopt(handle)
    return handle


@overload
async def execute_activity(activity: Callable[..., Awaitable[T]], *arg: Any, **options: Any) -> T: ...


@overload
async def execute_activity(activity: Callable[..., T], *arg: Any, **options: Any) -> T: ...


@overload
async def execute_activity(activity: str, *arg: Any, **options: Any) -> Any: ...


async def execute_activity(
    activity: Any,
    arg: Any = _UNSET,
    *,
    args: Sequence[Any] = (),
    task_queue: str | None = None,
    result_type: Any = None,
    schedule_to_close_timeout: Duration | None = None,
    schedule_to_start_timeout: Duration | None = None,
    start_to_close_timeout: Duration | None = None,
    heartbeat_timeout: Duration | None = None,
    retry_policy: RetryPolicy | None = None,
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    activity_id: str | None = None,
    summary: str | None = None,
) -> Any:
    """Run an activity and wait for its result.

    `activity` is a function declared with `@activity.defn`, or a name. One argument is given as `arg`, several as
    `args`. Durations are timedeltas or seconds. What is not given here is what `@activity.defn` says; without any
    limit there, an attempt may take 10 minutes. Raises ActivityError, whose `cause` says what went wrong, and
    CancelledError if the wait is cancelled."""
    this = _instance()
    call, hint = _call_activity(
        this,
        resolve(activity),
        _arguments(arg, args),
        task_queue=task_queue,
        schedule_to_close_timeout=schedule_to_close_timeout,
        schedule_to_start_timeout=schedule_to_start_timeout,
        start_to_close_timeout=start_to_close_timeout,
        heartbeat_timeout=heartbeat_timeout,
        retry_policy=retry_policy,
        cancellation_type=cancellation_type,
        activity_id=activity_id,
        summary=summary,
    )
    return this.decode_result(await call.result(), result_type or hint)


def _call_activity(
    this: Instance,
    definition: ActivityDefinition,
    arguments: Sequence[Any],
    *,
    task_queue: str | None,
    schedule_to_close_timeout: Duration | None,
    schedule_to_start_timeout: Duration | None,
    start_to_close_timeout: Duration | None,
    heartbeat_timeout: Duration | None,
    retry_policy: RetryPolicy | None,
    cancellation_type: ActivityCancellationType,
    activity_id: str | None,
    summary: str | None,
) -> tuple[ActivityCall, Any]:
    if definition.signature is not None:
        definition.signature.check(arguments)
    options = definition.options
    to_close = options.schedule_to_close if schedule_to_close_timeout is None else _limit(schedule_to_close_timeout)
    once = options.start_to_close if start_to_close_timeout is None else _limit(start_to_close_timeout)
    if once is None:
        once = DEFAULT_START_TO_CLOSE if to_close is None else to_close
    command = cmd.ScheduleActivity(
        activity_id or str(this.next_number()),
        definition.name,
        task_queue or options.task_queue or this.started.task_queue,
        this.converter.encode_all(arguments),
        to_close,
        options.schedule_to_start if schedule_to_start_timeout is None else _limit(schedule_to_start_timeout),
        once,
        options.heartbeat if heartbeat_timeout is None else _limit(heartbeat_timeout),
        (retry_policy or options.retry_policy).to_model(),
        summary,
    )
    hint = None if definition.signature is None else definition.signature.result
    return ActivityCall(this, command, cancellation_type), hint


#: Seconds that an attempt of an activity may take if nothing else is said.
DEFAULT_START_TO_CLOSE = 600.0


def _limit(duration: Duration) -> float:
    seconds = seconds_of(duration)
    if seconds <= 0:
        raise ValueError(f"a timeout must be positive, not {duration!r}")
    return seconds


def _arguments(arg: Any, args: Sequence[Any]) -> Sequence[Any]:
    if arg is _UNSET:
        return args
    if args:
        raise ValueError("give one argument, or args=[...], not both")
    return (arg,)


# -- children ----------------------------------------------------------------------------------------------------------


class ChildWorkflowHandle(asyncio.Task[T], Generic[T]):
    """A child that has started. Await it for the result; `cancel()` cancels the child."""

    _call: ChildCall
    _this: Instance

    @property
    def id(self) -> str:
        return self._call.workflow_id

    @property
    def first_execution_run_id(self) -> str | None:
        return self._call.run_id

    async def signal(self, signal: str | Callable[..., Any], arg: Any = _UNSET, *, args: Sequence[Any] = ()) -> None:
        """Send the child a signal. Raises ApplicationError if it has ended."""
        command = cmd.SignalExternal(
            ExecutionRef(self.id),
            _name_of(signal, "signal"),
            self._this.converter.encode_all(_arguments(arg, args)),
            True,
        )
        await Answerable(self._this, command).future


async def start_child_workflow(
    workflow: Any,
    arg: Any = _UNSET,
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
    this = _instance()
    definition, name = _resolve_workflow(workflow)
    arguments = _arguments(arg, args)
    if definition is not None:
        definition.signature.check(arguments)
    command = cmd.StartChildWorkflow(
        id or str(uuid4()),
        name,
        task_queue or this.started.task_queue,
        this.converter.encode_all(arguments),
        parent_close_policy,
        id_reuse_policy,
        None if execution_timeout is None else _limit(execution_timeout),
        None if run_timeout is None else _limit(run_timeout),
        10.0 if task_timeout is None else _limit(task_timeout),
        None if retry_policy is None else retry_policy.to_model(),
        {key: this.converter.encode(value) for key, value in (memo or {}).items()},
    )
    call = ChildCall(this, command, cancellation_type)
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
    arg: Any = _UNSET,
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


def _resolve_workflow(workflow: Any) -> tuple[WorkflowDefinition | None, str]:
    """The definition, as far as it is known here, and the type's name."""
    if isinstance(workflow, str):
        return None, workflow
    definition = WorkflowDefinition.of_run(workflow)
    if definition is None:
        definition = WorkflowDefinition.of(workflow)
    return definition, definition.name


def _name_of(handler: str | Callable[..., Any], kind: str) -> str:
    """The name of a signal, query or update that is given as a method or by name."""
    if isinstance(handler, str):
        return handler
    mark = getattr(handler, MARK, None)
    if mark is None or mark[0] != kind:
        raise TypeError(f"{getattr(handler, '__qualname__', handler)!r} is not a @workflow.{kind} method")
    name: str = mark[1]
    return name


# -- other executions --------------------------------------------------------------------------------------------------


class ExternalWorkflowHandle:
    """Another execution, addressed by its workflow id."""

    def __init__(self, this: Instance, target: ExecutionRef) -> None:
        self._this = this
        self._target = target

    @property
    def id(self) -> str:
        return self._target.workflow_id

    @property
    def run_id(self) -> str | None:
        return self._target.run_id

    async def signal(self, signal: str | Callable[..., Any], arg: Any = _UNSET, *, args: Sequence[Any] = ()) -> None:
        """Send a signal; done once it is recorded there. Raises ApplicationError if there is no such open execution."""
        payloads = self._this.converter.encode_all(_arguments(arg, args))
        command = cmd.SignalExternal(self._target, _name_of(signal, "signal"), payloads)
        await Answerable(self._this, command).future

    async def cancel(self, *, reason: str = "") -> None:
        """Ask the execution to stop. Raises ApplicationError if there is no such open execution."""
        await Answerable(self._this, cmd.RequestCancelExternal(self._target, reason=reason)).future


def get_external_workflow_handle(workflow_id: str, *, run_id: str | None = None) -> ExternalWorkflowHandle:
    """A handle to another execution; without `run_id`, to the latest run of that id."""
    return ExternalWorkflowHandle(_instance(), ExecutionRef(workflow_id, run_id))


def continue_as_new(
    arg: Any = _UNSET,
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
    this = _instance()
    arguments = _arguments(arg, args)
    definition, name = (this.definition, None) if workflow is None else _resolve_workflow(workflow)
    if definition is not None:
        definition.signature.check(arguments)
    raise ContinueAsNewError(
        cmd.ContinueAsNew(
            name,
            task_queue,
            this.converter.encode_all(arguments),
            None if run_timeout is None else _limit(run_timeout),
            None if task_timeout is None else _limit(task_timeout),
            None if retry_policy is None else retry_policy.to_model(),
            None if memo is None else {key: this.converter.encode(value) for key, value in memo.items()},
        )
    )


# -- logging -----------------------------------------------------------------------------------------------------------


class LoggerAdapter(logging.LoggerAdapter[logging.Logger]):
    """Names the workflow with every record, and is silent while history is replayed."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        if in_workflow():
            started = _instance().started
            kwargs["extra"] = {
                "workflow_id": started.workflow_id,
                "run_id": started.run_id,
                "workflow_type": started.workflow_type,
                **(kwargs.get("extra") or {}),
            }
        return msg, kwargs

    def isEnabledFor(self, level: int) -> bool:
        if in_workflow() and _instance().replaying:
            return False
        return super().isEnabledFor(level)


logger = LoggerAdapter(logging.getLogger("tenuto.workflow"), None)
