"""Calling activities."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, overload

from tenuto.activities.definition import ActivityDefinition, resolve
from tenuto.common import RetryPolicy
from tenuto.durations import Duration, positive_seconds
from tenuto.given import UNSET, chosen, given
from tenuto.model import commands as cmd
from tenuto.replay.calls import ActivityCall, ActivityCancellationType, CallTask
from tenuto.replay.instance import Instance
from tenuto.workflows.context import current

T = TypeVar("T")


class ActivityHandle(CallTask[T]):
    """An activity that was started. Await it for the result; `cancel()` cancels the activity."""


@overload
def start_activity(activity: Callable[..., Awaitable[T]], *arg: Any, **options: Any) -> ActivityHandle[T]: ...


@overload
def start_activity(activity: Callable[..., T], *arg: Any, **options: Any) -> ActivityHandle[T]: ...


@overload
def start_activity(activity: str, *arg: Any, **options: Any) -> ActivityHandle[Any]: ...


def start_activity(
    activity: Any,
    arg: Any = UNSET,
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
) -> ActivityHandle[Any]:
    """Start an activity and go on; await the handle for its result. Takes what `execute_activity` takes."""
    this = current()
    call, hint = _call_activity(
        this,
        resolve(activity),
        given(arg, args),
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

    async def result() -> Any:
        return this.decode_result(await call.result(), result_type or hint)

    handle: ActivityHandle[Any] = ActivityHandle(result(), loop=this.loop)
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
    arg: Any = UNSET,
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
    this = current()
    call, hint = _call_activity(
        this,
        resolve(activity),
        given(arg, args),
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
    to_close = (
        options.schedule_to_close if schedule_to_close_timeout is None else positive_seconds(schedule_to_close_timeout)
    )
    once = options.start_to_close if start_to_close_timeout is None else positive_seconds(start_to_close_timeout)
    if once is None:
        once = DEFAULT_START_TO_CLOSE if to_close is None else to_close
    command = cmd.ScheduleActivity(
        activity_id or str(this.next_number()),
        definition.name,
        task_queue or options.task_queue or this.started.task_queue,
        this.converter.encode_all(arguments),
        to_close,
        options.schedule_to_start if schedule_to_start_timeout is None else positive_seconds(schedule_to_start_timeout),
        once,
        options.heartbeat if heartbeat_timeout is None else positive_seconds(heartbeat_timeout),
        (retry_policy or options.retry_policy).to_model(),
        summary,
    )
    hint = None if definition.signature is None else definition.signature.result
    return ActivityCall(this, command, chosen(ActivityCancellationType, cancellation_type)), hint


#: Seconds that an attempt of an activity may take if nothing else is said.
DEFAULT_START_TO_CLOSE = 600.0
