"""Workers: they have the code, and run it.

async with Worker(client, task_queue="orders", workflows=[Checkout], activities=[charge]):
    ...
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import timedelta
from types import TracebackType
from typing import Any

from tenuto.activities.definition import of
from tenuto.activities.runner import ActivityRunner
from tenuto.activities.step_runner import StepRunner
from tenuto.client import Client
from tenuto.durations import seconds_of
from tenuto.engine.engine import Engine
from tenuto.engine.gateway import PATIENCE
from tenuto.model import messages as msg
from tenuto.model.events import ExecutionRef
from tenuto.model.tasks import ActivityTask
from tenuto.replay.host import WorkflowCode
from tenuto.replay.steps import WAKE_SIGNAL, step_queue
from tenuto.store.protocol import Rank

__all__ = ["Worker"]

logger = logging.getLogger("tenuto.worker")


class Worker:
    """Serves one task queue with workflows and activities, in this process, until it is shut down.

    - `workflows`: classes declared as such; entrypoints of `tenuto.steps`, which find `env` as `self.env`; sequences.
    - `max_cached_workflows`: how many executions stay in memory while they wait; others are brought back from the
    store.
    - `max_concurrent_activities`: attempts that run at a time, of activities and, by themselves, of steps; more wait
      for a free slot.
    - `activity_executor`: where activities that are plain functions run: a thread pool (made if none is given) or a
      process pool.
    - `graceful_shutdown_timeout`: how long running activities may go on after a shutdown, before they are cancelled.
    - `workflow_failure_exception_types`: exceptions that fail a workflow, where others stop it until its code is put
      right.

    Raises ValueError for two workflows or activities of one name, TypeError for what isn't declared as one."""

    def __init__(
        self,
        client: Client,
        *,
        task_queue: str = "default",
        workflows: Sequence[object] = (),
        activities: Sequence[Callable[..., Any]] = (),
        activity_executor: Executor | None = None,
        max_cached_workflows: int = 1000,
        max_concurrent_activities: int = 1000,
        graceful_shutdown_timeout: timedelta | float = 0.0,
        workflow_failure_exception_types: Sequence[type[BaseException]] = (),
        identity: str | None = None,
        env: Any = None,
    ) -> None:
        if not workflows and not activities:
            raise ValueError("a worker needs workflows or activities")
        if max_cached_workflows < 0 or max_concurrent_activities < 1:
            raise ValueError("max_cached_workflows must be 0 or more, max_concurrent_activities 1 or more")
        self.task_queue = task_queue
        self.identity = identity or client.identity
        self._client = client
        self._cached = max_cached_workflows
        self._grace = seconds_of(graceful_shutdown_timeout)
        self._own_executor: ThreadPoolExecutor | None = None
        if activity_executor is None and any(not of(function).is_async for function in activities):
            self._own_executor = ThreadPoolExecutor(
                min(max_concurrent_activities, 64), thread_name_prefix=f"tenuto {task_queue}"
            )
        self._workflows = WorkflowCode(
            workflows,
            client.data_converter,
            self.identity,
            tuple(workflow_failure_exception_types),
            env,
            lambda: client.step_hooks,
        )
        self._activities = ActivityRunner(
            activities,
            client.data_converter,
            self.identity,
            max_concurrent_activities,
            activity_executor or self._own_executor,
        )
        self._steps: StepRunner | None = None
        if self._workflows.has_steps:
            self._steps = StepRunner(
                self._workflows, client.gateway.store, max_concurrent_activities, self._bring_up, self._wake
            )
        self._has_workflows, self._has_activities = bool(workflows), bool(activities)
        self._engine: Engine | None = None
        self._watch: asyncio.Task[None] | None = None
        self._runner: asyncio.Task[Any] | None = None
        self._cancelled_runner = False
        self._shutdown = asyncio.Event()

    @property
    def is_running(self) -> bool:
        return self._engine is not None

    async def run(self) -> None:
        """Serve until `shutdown` is called. Raises what stopped the engine, if something did."""
        await self._begin()
        try:
            assert self._engine is not None
            stopped = asyncio.create_task(_set(self._shutdown))
            try:
                await asyncio.wait({stopped, self._engine.failed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopped.cancel()
            if self._engine.failed.done():
                self._engine.failed.result()
        finally:
            await self._end()

    async def shutdown(self) -> None:
        """Take no more tasks, let running activities end, and stop."""
        self._shutdown.set()
        if self._watch is not None:
            await self._end()

    async def __aenter__(self) -> Worker:
        await self._begin()
        self._runner = asyncio.current_task()
        self._watch = asyncio.get_running_loop().create_task(self._stop_with_engine())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        engine = self._engine
        await self._end()
        if engine is not None and engine.failed.done() and not engine.failed.cancelled():
            if self._cancelled_runner and self._runner is not None:
                self._runner.uncancel()
            engine.failed.result()

    async def _begin(self) -> None:
        if self._engine is not None:
            raise RuntimeError("this worker is running already")
        self._shutdown.clear()
        gateway = self._client.gateway
        engine = await gateway.acquire(PATIENCE, Rank.WORKER)
        self._engine = engine
        engine.serve(
            self.task_queue,
            self._workflows if self._has_workflows else None,
            self._activities if self._has_activities else None,
            self._cached,
        )
        if self._steps is not None:
            engine.serve(step_queue(self.task_queue), None, self._steps, 0)
        logger.info("worker %s serves task queue %s", self.identity, self.task_queue)

    async def _stop_with_engine(self) -> None:
        """Under `async with`, an engine that can't go on ends the block."""
        assert self._engine is not None
        await asyncio.wait({self._engine.failed})
        if not self._engine.failed.cancelled() and self._runner is not None:
            self._cancelled_runner = self._runner.cancel()

    async def _end(self) -> None:
        engine, self._engine = self._engine, None
        if engine is None:
            return
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        engine.leave(self.task_queue)
        if self._steps is not None:
            engine.leave(step_queue(self.task_queue))
        await self._finish_activities(engine)
        await self._client.gateway.release()
        self._workflows.watchdog.stop()
        self._activities.close()
        if self._steps is not None:
            await self._steps.close()
        if self._own_executor is not None:
            self._own_executor.shutdown(wait=False, cancel_futures=True)

    async def _finish_activities(self, engine: Engine) -> None:
        """Wait for running attempts; after the grace they are cancelled, and an attempt that doesn't stop is left
        behind and counts as lost."""
        runners = [runner for runner in (self._activities, self._steps) if runner is not None]
        await asyncio.gather(*(self._finish(engine, runner) for runner in runners))

    async def _finish(self, engine: Engine, runner: ActivityRunner | StepRunner) -> None:
        if runner.running and self._grace:
            await _wait(runner.drained, self._grace)
        if runner.running:
            for attempt in engine.dispatch.attempts(runner):
                attempt.cancel("worker_shutdown")
            if not await _wait(runner.drained, 5.0):
                logger.warning("%d activities did not stop and are left behind", runner.running)

    def _bring_up(self, task: ActivityTask) -> None:
        """Have the code of a step's run in memory, if that takes no reading."""
        if self._engine is not None:
            self._engine.dispatch.bring_up_code(task)

    async def _wake(self, task: ActivityTask) -> None:
        """Let a run decide about what its code asks for now."""
        run = ExecutionRef(task.workflow_id, task.run_id)
        signal = msg.Signal(WAKE_SIGNAL, [], self.identity, f"{task.run_id} {task.scheduled_event_id} {task.attempt}")
        await self._client.gateway.request(run, signal)


async def _set(event: asyncio.Event) -> None:
    await event.wait()


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
