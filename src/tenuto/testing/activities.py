"""Activities on their own: without a workflow, an engine or a store; and mocks of them.

env = ActivityEnvironment()
env.on_heartbeat = beats.append
assert await env.run(charge, order) == receipt
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tenuto.activities.context import Context, Info, current
from tenuto.activities.threads import ThreadCall
from tenuto.converter import DataConverter

__all__ = ["ActivityEnvironment"]

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class ActivityEnvironment:
    """What an activity finds around it when it runs.

    - `info` is what `activity.info()` gives; replace it, or parts of it with `msgspec.structs.replace`.
    - `on_heartbeat` is called with the details of every heartbeat."""

    def __init__(self) -> None:
        self.info = Info(
            activity_id="test",
            activity_type="unknown",
            attempt=1,
            current_attempt_scheduled_time=_EPOCH,
            heartbeat_details=[],
            heartbeat_timeout=None,
            namespace="default",
            schedule_to_close_timeout=timedelta(seconds=1),
            scheduled_time=_EPOCH,
            start_to_close_timeout=timedelta(seconds=1),
            started_time=_EPOCH,
            task_queue="test",
            task_token=b"test",
            workflow_id="test",
            workflow_run_id="test-run",
            workflow_type="test",
            last_failure=None,
        )
        self.on_heartbeat: Callable[..., Any] = lambda *details: None
        self.data_converter = DataConverter.default
        self._reason: str | None = None
        self._running: dict[_Context, Callable[[], object]] = {}

    def run(self, activity: Callable[..., Any], *args: Any) -> Any:
        """Run `activity`: a plain function in the thread that calls, whose result is returned; for a coroutine function
        await what this returns. Raises what the activity raises."""
        function: Any = activity
        if not inspect.isroutine(activity):
            function = getattr(activity, "__call__", activity)  # noqa: B004 - what it would run
        if inspect.iscoroutinefunction(function):
            return self._run_in_loop(activity, args)
        call, context = ThreadCall(), _Context(self)
        own = contextvars.copy_context()
        own.run(current.set, context)
        self._begin(context, call.cancel)
        try:
            return own.run(call.run, activity, args)
        finally:
            del self._running[context]

    async def _run_in_loop(self, activity: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        context = _Context(self)

        async def attempt() -> Any:
            current.set(context)
            self._begin(context, task.cancel)
            return await activity(*args)

        task = asyncio.ensure_future(attempt())
        try:
            return await task
        finally:
            task.cancel()
            self._running.pop(context, None)

    def cancel(self) -> None:
        """Ask what runs, and what is run later, to stop, as the engine does when the workflow cancels it: a coroutine
        is cancelled, a function in another thread gets CancelledError thrown in."""
        self._stop("cancel_requested")

    def worker_shutdown(self) -> None:
        """As `cancel`, for another reason: the worker stops, and its grace is over."""
        self._stop("worker_shutdown")

    def _stop(self, reason: str) -> None:
        self._reason = reason
        for context, cancel in list(self._running.items()):
            context.cancel(reason)
            cancel()

    def _begin(self, context: _Context, cancel: Callable[[], object]) -> None:
        self._running[context] = cancel
        if self._reason is not None:
            context.cancel(self._reason)
            cancel()


class _Context(Context):
    """One run in the environment; implements `tenuto.activities.context.AnyContext`."""

    def __init__(self, environment: ActivityEnvironment) -> None:
        self._environment = environment
        self._waiters = []
        self.cancel_reason = None

    @property
    def info(self) -> Info:
        return self._environment.info

    def heartbeat(self, details: tuple[Any, ...]) -> None:
        self._environment.data_converter.encode_all(details)  # raises, as elsewhere, for what can't be stored
        self._environment.on_heartbeat(*details)
