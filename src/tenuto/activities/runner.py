"""Runs the attempts of one worker's activities."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from typing import Any, Protocol

from tenuto.activities import definition as definitions
from tenuto.activities.context import Context, current
from tenuto.activities.definition import ActivityDefinition
from tenuto.activities.heartbeats import Heartbeats
from tenuto.activities.processes import Bridge
from tenuto.activities.threads import ThreadCall, call_in_thread
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


class Watcher(Protocol):
    """Who wants to know of an attempt; see `tenuto.engine.hosts.Watcher`."""

    def ended(self, outcome: ActivityOutcome) -> None: ...

    def beat(self, details: list[Payload]) -> None: ...


class RunningAttempt:
    """One attempt; implements `tenuto.engine.hosts.Attempt`."""

    __slots__ = ("begun", "call", "context", "is_async", "loop_task", "task")

    def __init__(self, task: ActivityTask, context: Context, is_async: bool) -> None:
        self.task = task
        self.context = context
        self.is_async = is_async
        self.begun = False
        self.call: ThreadCall | None = None
        self.loop_task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """From here on the user's code runs. Raises CancelledError if nobody wants it any more."""
        if self.context.cancel_reason is not None:
            raise CancelledError("cancelled before it began")
        self.begun = True

    def cancel(self, reason: str) -> None:
        """Ask it to stop: a coroutine is cancelled, a thread gets CancelledError thrown in, a process can't be told."""
        self.context.cancel(reason)
        if self.call is not None:
            self.call.cancel()
        elif self.is_async and self.begun and self.loop_task is not None:
            # A task that is cancelled before its first step never takes one, so it could not report its end.
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
        self._bridge: Bridge | None = None
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

    def start(self, task: ActivityTask, watcher: Watcher) -> RunningAttempt:
        """Run an attempt and tell `watcher` of it."""
        found = self._definitions.get(task.activity_type)
        loop = asyncio.get_running_loop()
        context = Context(
            task, self._converter, Heartbeats(watcher.beat, self._converter, task.heartbeat_timeout), loop
        )
        attempt = RunningAttempt(task, context, found is not None and found[0].is_async)
        self.running += 1
        self.drained.clear()
        attempt.loop_task = loop.create_task(self._run(attempt, watcher, found))
        return attempt

    async def _run(
        self,
        attempt: RunningAttempt,
        watcher: Watcher,
        found: tuple[ActivityDefinition, Callable[..., Any]] | None,
    ) -> None:
        try:
            if found is None:
                outcome: ActivityOutcome = _not_registered(attempt.task, self._definitions)
            else:
                outcome = await self._outcome(attempt, *found)
            attempt.context.heartbeats.stop()
            watcher.ended(outcome)
        finally:
            self.running -= 1
            if not self.running:
                self.drained.set()

    async def _outcome(
        self, attempt: RunningAttempt, definition: ActivityDefinition, function: Callable[..., Any]
    ) -> ActivityOutcome:
        try:
            arguments = self._arguments(attempt.task, definition)
        except (PayloadError, TypeError) as error:
            return ActivityFailed(_never_again(error, self._converter))
        try:
            current.set(attempt.context)
            attempt.begin()
            if definition.is_async:
                result = await function(*arguments)
            else:
                result = await self._call_elsewhere(attempt, function, arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever the user's code raises ends the attempt
            return self._failed(attempt, error)
        try:
            return ActivityCompleted([self._converter.encode(result)])
        except PayloadError as error:
            return ActivityFailed(_never_again(error, self._converter))

    async def _call_elsewhere(self, attempt: RunningAttempt, function: Callable[..., Any], arguments: list[Any]) -> Any:
        """Run a plain function by the executor."""
        if isinstance(self._executor, ProcessPoolExecutor):
            return await self._call_in_process(attempt, self._executor, function, arguments)
        attempt.call = ThreadCall()
        assert self._executor is not None
        return await call_in_thread(self._executor, attempt.call, function, arguments)

    async def _call_in_process(
        self,
        attempt: RunningAttempt,
        executor: ProcessPoolExecutor,
        function: Callable[..., Any],
        arguments: list[Any],
    ) -> Any:
        if self._bridge is None:
            self._bridge = Bridge(asyncio.get_running_loop())
        context = attempt.context
        return await self._bridge.call(
            executor, function, arguments, context.info, context.heartbeats, lambda: context.cancel_reason
        )

    def close(self) -> None:
        """The worker has ended."""
        if self._bridge is not None:
            self._bridge.close()

    def _failed(self, attempt: RunningAttempt, error: BaseException) -> ActivityOutcome:
        reason = attempt.context.cancel_reason
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

    def _arguments(self, task: ActivityTask, definition: ActivityDefinition) -> list[Any]:
        signature = definition.signature
        if signature is None:
            return self._converter.decode_all(task.input)
        signature.check(task.input)
        return self._converter.decode_all(task.input, signature.hints)


def _never_again(error: Exception, converter: DataConverter) -> Failure:
    """Values of a wrong kind are of a wrong kind in the next attempt too."""
    failure = to_failure(error, converter)
    info = ApplicationFailure(type(error).__name__, non_retryable=True)
    return Failure(failure.message, info, failure.cause, failure.stack_trace)


def _not_registered(task: ActivityTask, known: dict[str, Any]) -> ActivityFailed:
    """Retryable: the next version of the worker may have it."""
    names = ", ".join(sorted(known)) or "none"
    message = (
        f"activity {task.activity_type!r} is not registered with the worker of task queue {task.task_queue!r}; "
        f"it has: {names}"
    )
    logger.warning("%s", message, extra={"action": "activity_not_registered", "workflow_id": task.workflow_id})
    return ActivityFailed(Failure(message, ApplicationFailure("NotFoundError")))
