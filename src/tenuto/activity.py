"""What activities are written with.

    from tenuto import activity

    @activity.defn(start_to_close_timeout=timedelta(seconds=30))
    async def charge(order: Order) -> Receipt:
        return await bank.charge(order, key=activity.info().idempotency_key)

An activity is ordinary code: it may do I/O, take long, fail. It runs at least once; its result is recorded once.
"""

from __future__ import annotations

import functools
import inspect
import logging
from asyncio.events import _get_running_loop
from collections.abc import Callable, MutableMapping
from datetime import timedelta
from typing import Any, TypeVar, overload

from tenuto.activities.context import Context, Info, NotInActivityError, context, current
from tenuto.activities.definition import DEFINITION, NO_RETRY_POLICY, ActivityDefinition, ActivityOptions
from tenuto.common import RetryPolicy
from tenuto.durations import seconds_of
from tenuto.replay.loop import WorkflowLoop

__all__ = [
    "Info",
    "NotInActivityError",
    "cancellation_reason",
    "defn",
    "heartbeat",
    "in_activity",
    "info",
    "is_cancelled",
    "logger",
    "wait_for_cancelled",
    "wait_for_cancelled_sync",
]

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
Duration = timedelta | float | int


@overload
def defn(function: FunctionT) -> FunctionT: ...


@overload
def defn(
    *,
    name: str | None = None,
    task_queue: str | None = None,
    schedule_to_close_timeout: Duration | None = None,
    schedule_to_start_timeout: Duration | None = None,
    start_to_close_timeout: Duration | None = None,
    heartbeat_timeout: Duration | None = None,
    retry_policy: RetryPolicy | None = None,
) -> Callable[[FunctionT], FunctionT]: ...


def defn(
    function: Any = None,
    *,
    name: str | None = None,
    task_queue: str | None = None,
    schedule_to_close_timeout: Duration | None = None,
    schedule_to_start_timeout: Duration | None = None,
    start_to_close_timeout: Duration | None = None,
    heartbeat_timeout: Duration | None = None,
    retry_policy: RetryPolicy | None = None,
) -> Any:
    """Declare a function or method, sync or async, as an activity.

    The options are what every call of it uses that says nothing else; durations are timedeltas or seconds. Called by
    workflow code (`await charge(order)`) it is executed durably with these options; called anywhere else it is the
    plain function. Raises TypeError for keyword-only arguments, ValueError for limits that are not positive."""

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        options = ActivityOptions(
            task_queue=task_queue,
            schedule_to_close=_limit("schedule_to_close_timeout", schedule_to_close_timeout),
            schedule_to_start=_limit("schedule_to_start_timeout", schedule_to_start_timeout),
            start_to_close=_limit("start_to_close_timeout", start_to_close_timeout),
            heartbeat=_limit("heartbeat_timeout", heartbeat_timeout),
            retry_policy=retry_policy or NO_RETRY_POLICY,
        )
        method = next(iter(inspect.signature(function).parameters), None) == "self"
        definition = ActivityDefinition(name or function.__name__, function, options, method=method)
        wrapper = _wrap(definition, function, method)
        setattr(wrapper, DEFINITION, definition)
        return wrapper

    return declare if function is None else declare(function)


def _wrap(definition: ActivityDefinition, function: Callable[..., Any], method: bool) -> Callable[..., Any]:
    """A function that is executed durably when workflow code calls it."""
    skip = 1 if method else 0

    def durably(arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        from tenuto import workflow

        if options:
            raise TypeError(f"{definition.name} is an activity; a workflow calls it with positional arguments only")
        execute: Any = workflow.execute_activity  # which takes a definition as well as a function
        return execute(definition, args=arguments[skip:])

    if definition.is_async:

        @functools.wraps(function)
        async def call(*arguments: Any, **options: Any) -> Any:
            if type(_get_running_loop()) is WorkflowLoop:
                return await durably(arguments, options)
            return await function(*arguments, **options)

        return call

    @functools.wraps(function)
    def call_sync(*arguments: Any, **options: Any) -> Any:
        if type(_get_running_loop()) is WorkflowLoop:
            return durably(arguments, options)
        return function(*arguments, **options)

    return call_sync


def _limit(name: str, duration: Duration | None) -> float | None:
    if duration is None:
        return None
    seconds = seconds_of(duration)
    if seconds <= 0:
        raise ValueError(f"{name} must be positive, not {duration!r}")
    return seconds


def in_activity() -> bool:
    """Is this the code of an activity?"""
    return current.get(None) is not None


def info() -> Info:
    """What this attempt can know of itself."""
    return context().info


def heartbeat(*details: Any) -> None:
    """Say that the attempt is alive. The next attempt finds the details of the last heartbeat in
    `info().heartbeat_details`. Cheap: call it as often as you like. Raises PayloadError if the details can't be
    stored."""
    context().heartbeat(details)


def is_cancelled() -> bool:
    """Has somebody asked this attempt to stop?"""
    return context().cancel_reason is not None


def cancellation_reason() -> str | None:
    """Why this attempt should stop: cancel_requested, timed_out, not_found (its run is closed) or worker_shutdown; None
    while it need not."""
    return context().cancel_reason


async def wait_for_cancelled() -> None:
    """Wait until somebody asks this attempt to stop (async activities)."""
    this = context()
    if not isinstance(this, Context):
        raise NotInActivityError("wait_for_cancelled() is for async activities; use wait_for_cancelled_sync()")
    await this.wait_in_loop()


def wait_for_cancelled_sync(timeout: Duration | None = None) -> None:
    """Wait until somebody asks this attempt to stop, or for `timeout` seconds (activities that are plain functions)."""
    context().wait_in_thread(None if timeout is None else seconds_of(timeout))


class LoggerAdapter(logging.LoggerAdapter[logging.Logger]):
    """Names the activity and its workflow with every record."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        found = current.get(None)
        if found is not None:
            kwargs["extra"] = {
                "activity_type": found.info.activity_type,
                "activity_id": found.info.activity_id,
                "attempt": found.info.attempt,
                "workflow_id": found.info.workflow_id,
                "run_id": found.info.workflow_run_id,
                **(kwargs.get("extra") or {}),
            }
        return msg, kwargs


logger = LoggerAdapter(logging.getLogger("tenuto.activity"), None)
