"""Runs the attempts of steps: coroutines on the worker's event loop, plain functions in its threads.

The runner itself ends an attempt that takes too long, and says when the next one comes, because delays may be functions
of the user's. The engine's own time limit lies behind and only catches a process that hangs.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tenuto.activities.context import Context, current
from tenuto.activities.heartbeats import Heartbeats
from tenuto.activities.records import Record
from tenuto.activities.runner import RunningAttempt, Watcher
from tenuto.activities.step_callbacks import StepCallbacks
from tenuto.activities.step_code import StepCode, context_of, fitting, is_async
from tenuto.activities.step_config import UNLIMITED, StepConfig
from tenuto.activities.step_errors import (
    WorkflowFatalError,
    WorkflowInternalError,
    WorkflowTimeoutError,
    is_final,
    record_of,
)
from tenuto.activities.step_hooks import StepAt, StepHooks
from tenuto.activities.threads import ThreadCall, call_in_thread
from tenuto.durations import seconds_in
from tenuto.exceptions import CancelledError
from tenuto.model.errors import PayloadError
from tenuto.model.failures import ApplicationFailure, Failure
from tenuto.model.payloads import Payload
from tenuto.model.tasks import ActivityCanceled, ActivityCompleted, ActivityFailed, ActivityOutcome, ActivityTask
from tenuto.replay.host import WorkflowCode
from tenuto.store.protocol import Store

logger = logging.getLogger("tenuto.activity")

#: Seconds that a function of the user's has to say a delay.
DELAY_BUDGET = 5.0
#: Seconds that a thread has to end after it was told to, before its attempt counts as over.
MERCY = 1.0
#: Seconds to wait, one after the other, for code that decides about a step that it does not ask for.
UNASKED = (0.1, 1.0, 5.0)
#: Threads for callbacks that are plain functions.
THREADS = 64


class StepRunner:
    """The steps of one worker; implements `tenuto.engine.hosts.ActivityHost`. `bring_up` replays the code of a run that
    the engine of this process has in memory; `wake` makes a run decide about what its code asks for now."""

    def __init__(
        self,
        code: WorkflowCode,
        store: Store,
        slots: int,
        bring_up: Callable[[ActivityTask], None],
        wake: Callable[[ActivityTask], Awaitable[None]],
    ) -> None:
        self.identity = code.identity
        self.slots = slots
        self.running = 0
        self.drained = asyncio.Event()
        self.drained.set()
        self._code = code
        self._callbacks = StepCallbacks(code, store)
        self._bring_up = bring_up
        self._wake = wake
        self._threads = ThreadPoolExecutor(min(slots, THREADS), thread_name_prefix="tenuto steps")

    def start(self, task: ActivityTask, watcher: Watcher) -> RunningAttempt:
        """Run an attempt and tell `watcher` of it."""
        loop = asyncio.get_running_loop()
        heartbeats = Heartbeats(watcher.beat, self._code.converter, task.heartbeat_timeout)
        attempt = RunningAttempt(task, Context(task, self._code.converter, heartbeats, loop), is_async=True)
        self.running += 1
        self.drained.clear()
        if self._callbacks.at_hand(task) is None:
            self._bring_up(task)
        attempt.loop_task = loop.create_task(self._run(attempt, watcher))
        return attempt

    async def close(self) -> None:
        """The worker has ended."""
        await self._callbacks.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, attempt: RunningAttempt, watcher: Watcher) -> None:
        try:
            try:
                attempt.begin()
                outcome = await self._outcome(attempt)
            except (asyncio.CancelledError, CancelledError):
                outcome = _stopped(attempt)
            except Exception as error:  # of hooks, for example: an attempt always has an outcome
                logger.exception("step %s of workflow %s", attempt.task.activity_id, attempt.task.workflow_id)
                outcome = ActivityFailed(record_of(error))
            attempt.context.heartbeats.stop()
            watcher.ended(outcome)
        finally:
            self.running -= 1
            if not self.running:
                self.drained.set()

    async def _outcome(self, attempt: RunningAttempt) -> ActivityOutcome:
        task = attempt.task
        config = StepConfig()
        try:
            config = self._code.converter.decode(task.input[0], StepConfig)
            code = self._callbacks.at_hand(task) or await self._find(task)
        except Exception as error:  # noqa: BLE001 - a worker with other code may have it, or this one later
            logger.warning(
                "step %s of workflow %s can't be attempted: %s",
                task.activity_id,
                task.workflow_id,
                error,
                extra={"action": "step_not_found", "workflow_id": task.workflow_id},
            )
            return ActivityFailed(record_of(error, delay=config.delay_after(task.attempt)))
        return await self._attempt(attempt, code, config)

    async def _find(self, task: ActivityTask) -> StepCode:
        """The step's code. If that of today does not ask for the step, let it decide: it asks for it now, or cancels
        it. Raises WorkflowInternalError if there is no code, or it can't be brought back."""
        for pause in UNASKED:
            code = await self._callbacks.find(task)
            if code is not None:
                return code
            await self._wake(task)
            await asyncio.sleep(pause)
        raise WorkflowInternalError(
            f"the code of workflow {task.workflow_type!r} does not ask for step {task.activity_id!r}; it has changed "
            "since the step began"
        )

    async def _attempt(self, attempt: RunningAttempt, code: StepCode, config: StepConfig) -> ActivityOutcome:
        task = attempt.task
        context = context_of(code, task.attempt, config)
        hooks = self._code.step_hooks()
        try:
            mocked = None if hooks is None else _mocked(hooks, _at(task, code), config)
            value = mocked[0] if mocked else await self._call(attempt, code, context, config.timeout)
            return ActivityCompleted([self._encoded(code, value)])
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if attempt.context.cancel_reason is not None and isinstance(error, asyncio.CancelledError | CancelledError):
                raise
            _log(task, error)
            return await self._failed(code, config, context, error, task)

    async def _call(self, attempt: RunningAttempt, code: StepCode, context: Record, timeout: float | None) -> Any:
        current.set(attempt.context)
        arguments = fitting(code.callback, code.arguments, [context])
        if timeout is None:
            return await self._called(code.callback, arguments)
        try:
            async with asyncio.timeout(timeout) as limit:
                value = await self._called(code.callback, arguments)
        except Exception:
            if not limit.expired():
                raise
        if limit.expired():  # even if the callback would not be cancelled and has a result: that comes too late
            raise _timed_out(code.name, timeout, context.attempt)
        return value

    async def _called(self, function: Callable[..., Any], arguments: list[Any]) -> Any:
        if is_async(function):
            return await function(*arguments)
        value = await self._in_thread(function, arguments)
        return await value if inspect.isawaitable(value) else value

    async def _in_thread(self, function: Callable[..., Any], arguments: list[Any]) -> Any:
        call = ThreadCall()
        running = asyncio.ensure_future(call_in_thread(self._threads, call, function, arguments))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            call.cancel()
            running.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            await asyncio.wait({running}, timeout=MERCY)
            if running.done() and not running.cancelled() and running.exception() is None:
                return running.result()  # it was just about to end
            raise

    # -- attempts end --------------------------------------------------------------------------------------------------

    def _encoded(self, code: StepCode, value: Any) -> Payload:
        try:
            payload = self._code.converter.encode(value)
        except PayloadError as error:
            raise WorkflowFatalError(f"the result of step {code.name!r} can't be kept: {error}") from None
        if len(payload.data) > code.result_limit:
            raise WorkflowFatalError(
                f"the result of step {code.name!r} has {len(payload.data):,} bytes; at most {code.result_limit:,} are "
                "kept. Put it elsewhere, as with tenuto.storage, and return a reference to it"
            )
        return payload

    async def _failed(
        self, code: StepCode, config: StepConfig, context: Record, error: BaseException, task: ActivityTask
    ) -> ActivityFailed:
        limit = config.retries.limit
        if is_final(error) or (limit is not None and task.attempt > limit):
            return ActivityFailed(record_of(error))
        try:
            delay = await self._delay(code, config, context, error)
        except WorkflowFatalError as fault:
            fault.__cause__ = error
            return ActivityFailed(record_of(fault))
        hooks = self._code.step_hooks()
        if hooks is not None:
            delay = hooks.retry_delay(_at(task, code), delay)
        return ActivityFailed(record_of(error, delay=delay))

    async def _delay(self, code: StepCode, config: StepConfig, context: Record, error: BaseException) -> float:
        """Seconds until the next attempt. Raises WorkflowFatalError if the user's function doesn't say it."""
        if config.retries.delay is not None:
            return config.delay_after(context.attempt)
        if code.delay is None:
            return StepConfig().delay_after(context.attempt)  # the code of today has no such function any more
        try:
            async with asyncio.timeout(DELAY_BUDGET):
                return seconds_in(await self._called(code.delay, fitting(code.delay, [], [context, error])))
        except TimeoutError:
            why = f"took longer than {DELAY_BUDGET:g} s"
        except Exception as fault:  # noqa: BLE001 - the user's function may raise anything
            why = f"failed: {type(fault).__name__}: {fault}"
        raise WorkflowFatalError(f"step {code.name!r}: the function that says its delay {why}")


def _at(task: ActivityTask, code: StepCode) -> StepAt:
    return StepAt(task.workflow_type, task.workflow_id, code.name, code.count, task.attempt)


def _mocked(hooks: StepHooks, at: StepAt, config: StepConfig) -> tuple[Any] | None:
    if hooks.step_times_out(at):
        raise _timed_out(at.name, config.timeout or UNLIMITED, at.attempt)
    error = hooks.step_error(at)
    if error is not None:
        raise error
    return hooks.step_result(at)


def _timed_out(name: str, timeout: float, attempt: int) -> WorkflowTimeoutError:
    return WorkflowTimeoutError(f"step {name!r} timed out after {timeout:g} s (attempt {attempt})")


def _stopped(attempt: RunningAttempt) -> ActivityOutcome:
    """It was cancelled from outside."""
    if attempt.context.cancel_reason == "worker_shutdown":
        info = ApplicationFailure("WorkerShutdown", next_retry_delay=0.0)
        return ActivityFailed(Failure("the worker was shut down", info))
    return ActivityCanceled()


def _log(task: ActivityTask, error: BaseException) -> None:
    logger.info(
        "step %s of workflow %s failed (attempt %d): %r",
        task.activity_id,
        task.workflow_id,
        task.attempt,
        error,
        extra={"action": "step_failed", "workflow_id": task.workflow_id},
    )
