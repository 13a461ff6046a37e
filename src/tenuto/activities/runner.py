"""Runs the attempts of one worker's activities."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

from tenuto.activities import definition as definitions
from tenuto.activities.context import Context, Info, current
from tenuto.activities.definition import ActivityDefinition
from tenuto.activities.heartbeats import Heartbeats
from tenuto.activities.threads import ThreadCall, call_in_process, call_in_thread
from tenuto.converter import DataConverter
from tenuto.exceptions import CancelledError
from tenuto.failures import to_failure
from tenuto.model.errors import PayloadError
from tenuto.model.failures import ApplicationFailure, Failure
from tenuto.model.payloads import Payload
from tenuto.model.tasks import (
    ActivityCanceled,
    ActivityCompleted,
    ActivityFailed,
    ActivityOutcome,
    ActivityTask,
)

logger = logging.getLogger("tenuto.activity")

Report = Callable[[ActivityOutcome], None]
Send = Callable[[list[Payload]], None]


class RunningAttempt:
    """One attempt; implements `tenuto.engine.hosts.Attempt`."""

    __slots__ = ("beats", "call", "context", "definition", "loop_task", "report", "task")

    def __init__(self, task: ActivityTask, definition: ActivityDefinition, report: Report, beats: Heartbeats) -> None:
        self.task = task
        self.definition = definition
        self.report = report
        self.beats = beats
        self.call: ThreadCall | None = None
        self.context: Context | None = None
        self.loop_task: asyncio.Task[None] | None = None

    def cancel(self, reason: str) -> None:
        """Ask it to stop: a coroutine is cancelled, a thread gets CancelledError thrown in, a process can't be told."""
        if self.context is not None:
            self.context.cancel(reason)
        if self.call is not None:
            self.call.cancel()
        elif self.definition.is_async and self.loop_task is not None:
            self.loop_task.cancel()


class ActivityRunner:
    """The activities of one worker; implements `tenuto.engine.hosts.ActivityHost`."""

    def __init__(
        self,
        activities: Iterable[Callable[..., Any]],
        converter: DataConverter,
        identity: str,
        slots: int,
        executor: Executor | None,
    ) -> None:
        self.identity = identity
        self.slots = slots
        self.running = 0
        self.drained = asyncio.Event()
        self.drained.set()
        self._converter = converter
        self._executor = executor
        self._definitions: dict[str, tuple[ActivityDefinition, Callable[..., Any]]] = {}
        for function in activities:
            self._register(function)

    def _register(self, function: Callable[..., Any]) -> None:
        definition = definitions.of(function)
        if definition.name in self._definitions:
            raise ValueError(f"two activities are named {definition.name!r}; give one @activity.defn(name=...)")
        if isinstance(self._executor, ProcessPoolExecutor) or definition.function is None:
            call = function
        else:
            owner = getattr(function, "__self__", None)
            call = definition.function if owner is None else definition.function.__get__(owner)
        self._definitions[definition.name] = (definition, call)

    def start(self, task: ActivityTask, report: Report, heartbeat: Send) -> RunningAttempt:
        """Run an attempt; `report` is called with its outcome, on the event loop."""
        beats = Heartbeats(heartbeat, self._converter, task.heartbeat_timeout)
        found = self._definitions.get(task.activity_type)
        definition, function = found or (_missing(task.activity_type, self._definitions), None)
        attempt = RunningAttempt(task, definition, report, beats)
        self.running += 1
        self.drained.clear()
        loop = asyncio.get_running_loop()
        attempt.loop_task = loop.create_task(self._run(attempt, function))
        return attempt

    async def _run(self, attempt: RunningAttempt, function: Callable[..., Any] | None) -> None:
        try:
            if function is None:
                outcome: ActivityOutcome = _not_registered(attempt.task, self._definitions)
            else:
                outcome = await self._outcome(attempt, function)
            attempt.beats.stop()
            attempt.report(outcome)
        finally:
            self.running -= 1
            if not self.running:
                self.drained.set()

    async def _outcome(self, attempt: RunningAttempt, function: Callable[..., Any]) -> ActivityOutcome:
        try:
            arguments = self._arguments(attempt)
        except (PayloadError, TypeError) as error:
            return ActivityFailed(_never_again(error, self._converter))
        try:
            result = await self._call(attempt, function, arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever the user's code raises ends the attempt
            return self._failed(attempt, error)
        try:
            return ActivityCompleted([self._converter.encode(result)])
        except PayloadError as error:
            return ActivityFailed(_never_again(error, self._converter))

    async def _call(self, attempt: RunningAttempt, function: Callable[..., Any], arguments: list[Any]) -> Any:
        definition = attempt.definition
        loop = asyncio.get_running_loop()
        beats, task = attempt.beats, attempt.task

        def info() -> Info:
            return _info(task, self._converter)

        if definition.is_async:
            context = Context(info, lambda details: beats.beat(beats.encode(details)))
            attempt.context = context
            current.set(context)
            return await function(*arguments)
        if isinstance(self._executor, ProcessPoolExecutor):
            return await call_in_process(self._executor, function, arguments, info())
        context = Context(info, lambda details: _from_thread(loop, beats, details))
        attempt.context = context
        current.set(context)
        attempt.call = ThreadCall()
        assert self._executor is not None
        return await call_in_thread(self._executor, attempt.call, function, arguments)

    def _failed(self, attempt: RunningAttempt, error: BaseException) -> ActivityOutcome:
        reason = attempt.context.cancel_reason if attempt.context is not None else None
        cancelled = isinstance(error, asyncio.CancelledError | CancelledError)
        if reason == "worker_shutdown" and cancelled:
            return ActivityFailed(Failure("the worker was shut down", ApplicationFailure("WorkerShutdown")))
        if reason is not None and cancelled:
            return ActivityCanceled()
        if isinstance(error, BrokenExecutor):
            logger.error("the executor of activity %s is broken: %s", attempt.task.activity_type, error)
        logger.info(
            "activity %s of workflow %s failed (attempt %d): %r",
            attempt.task.activity_type,
            attempt.task.workflow_id,
            attempt.task.attempt,
            error,
            extra={"action": "activity_failed", "workflow_id": attempt.task.workflow_id},
        )
        return ActivityFailed(to_failure(error, self._converter))

    def _arguments(self, attempt: RunningAttempt) -> list[Any]:
        signature = attempt.definition.signature
        if signature is None:
            return self._converter.decode_all(attempt.task.input)
        signature.check(attempt.task.input)
        return self._converter.decode_all(attempt.task.input, signature.hints)


def _from_thread(loop: asyncio.AbstractEventLoop, beats: Heartbeats, details: tuple[Any, ...]) -> None:
    loop.call_soon_threadsafe(beats.beat, beats.encode(details))


def _never_again(error: Exception, converter: DataConverter) -> Failure:
    """Values of a wrong kind are of a wrong kind in the next attempt too."""
    failure = to_failure(error, converter)
    info = ApplicationFailure(type(error).__name__, non_retryable=True)
    return Failure(failure.message, info, failure.cause, failure.stack_trace)


def _missing(name: str, known: dict[str, Any]) -> ActivityDefinition:
    return ActivityDefinition(name, None, definitions.NO_OPTIONS)


def _not_registered(task: ActivityTask, known: dict[str, Any]) -> ActivityFailed:
    """Retryable: the next version of the worker may have it."""
    names = ", ".join(sorted(known)) or "none"
    message = (
        f"activity {task.activity_type!r} is not registered with the worker of task queue {task.task_queue!r}; "
        f"it has: {names}"
    )
    logger.warning("%s", message, extra={"action": "activity_not_registered", "workflow_id": task.workflow_id})
    return ActivityFailed(Failure(message, ApplicationFailure("NotFoundError")))


def _time(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, timezone.utc)


def _duration(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _info(task: ActivityTask, converter: DataConverter) -> Info:
    return Info(
        activity_id=task.activity_id,
        activity_type=task.activity_type,
        attempt=task.attempt,
        current_attempt_scheduled_time=_time(task.current_attempt_scheduled_time),
        heartbeat_details=converter.decode_all(task.heartbeat_details),
        heartbeat_timeout=_duration(task.heartbeat_timeout),
        namespace="default",
        schedule_to_close_timeout=_duration(task.schedule_to_close_timeout),
        scheduled_time=_time(task.scheduled_time),
        start_to_close_timeout=_duration(task.start_to_close_timeout),
        started_time=_time(task.started_time),
        task_queue=task.task_queue,
        task_token=f"{task.run_id}:{task.scheduled_event_id}:{task.attempt}".encode(),
        workflow_id=task.workflow_id,
        workflow_run_id=task.run_id,
        workflow_type=task.workflow_type,
        last_failure=None if task.last_failure is None else task.last_failure.brief(),
    )
