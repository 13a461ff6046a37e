"""Rollbacks: what undoes the steps of an instance that fails, newest first, each a durable, retried step itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from tenuto.activities.records import Record
from tenuto.activities.step_code import StepCode
from tenuto.activities.step_config import DelayFunction, StepConfig, parse
from tenuto.activities.step_errors import message_of, name_of
from tenuto.model.payloads import Payload
from tenuto.replay.keyed import KeyedInstance
from tenuto.replay.steps import run_step
from tenuto.steps.control import RollbackOutcome
from tenuto.steps.errors import WorkflowFatalError
from tenuto.steps.keys import rollback_id

Handler = Callable[[Any], Any]


class Rollback(Struct, eq=False):
    """The handler of one step that has begun. `output` is the step's result, None without one."""

    name: str
    count: int
    handler: Handler
    config: StepConfig
    delay: DelayFunction | None
    output: Payload | None = None


class Rollbacks:
    """The rollbacks of one instance."""

    def __init__(self, instance: KeyedInstance, result_limit: int) -> None:
        self._instance = instance
        self._result_limit = result_limit
        self._begun: list[Rollback] = []
        #: Does the instance fail, so that nothing new may begin?
        self.final = False

    def add(self, name: str, count: int, handler: Handler, config: Mapping[str, Any] | None) -> Rollback:
        """The step begins. Raises WorkflowFatalError if its rollback can't be done as it is written."""
        if not callable(handler):
            raise WorkflowFatalError(f"step {name!r}: the rollback must be a function of one argument, not {handler!r}")
        rollback = Rollback(name, count, handler, *parse(name, config))
        self._begun.append(rollback)
        return rollback

    async def run_all(self, error: BaseException, *, continue_on_error: bool = False) -> None:
        """Roll back what has begun so far, each step once. Raises what a handler fails with: at once, or with
        `continue_on_error` all of them at the end, as an ExceptionGroup."""
        failures: list[Exception] = []
        begun, self._begun = self._begun, []
        for rollback in reversed(begun):
            try:
                await self._run(rollback, error)
            except Exception as failure:
                if not continue_on_error:
                    raise
                failures.append(failure)
        if failures:
            raise ExceptionGroup(f"{len(failures)} of {len(begun)} rollbacks failed", failures)

    async def finish(self, error: BaseException) -> RollbackOutcome | None:
        """The instance fails with `error`: stop what is under way and roll back, up to the first handler that fails.
        None if there is nothing to be rolled back."""
        self.final = True
        if not self._begun:
            return None
        await self._stop_all()
        done: list[str] = []
        while self._begun:
            rollback = self._begun.pop()
            try:
                await self._run(rollback, error)
            except Exception as failure:  # noqa: BLE001 - whatever the handler raises
                return RollbackOutcome("failed", done, rollback.name, name_of(failure), message_of(failure))
            done.append(rollback.name)
        return RollbackOutcome("complete", done)

    async def _run(self, rollback: Rollback, error: BaseException) -> None:
        output = None if rollback.output is None else self._instance.converter.decode(rollback.output)
        step = Record({"name": rollback.name, "count": rollback.count})
        code = StepCode(
            f"rollback:{rollback.name}",
            rollback.count,
            rollback.handler,
            self._result_limit,
            [Record({"error": _named(error), "output": output, "step": step})],
            rollback.delay,
        )
        await run_step(self._instance, rollback_id(rollback.name, rollback.count), rollback.config, code)

    async def _stop_all(self) -> None:
        """Cancel what the instance's other tasks do, and wait until no step is under way: what is rolled back must not
        go on meanwhile."""
        this = asyncio.current_task()
        others = [task for task in self._instance.loop.tasks if task is not this]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        ended = self._instance.loop.create_future()
        self._instance.conditions.append((lambda: not self._instance.activities, ended))
        await ended


def _named(error: BaseException) -> BaseException:
    """The error, which says its name and message, as `StepError` does, even if it is a builtin one."""
    for attribute, value in (("name", name_of(error)), ("message", message_of(error))):
        if not hasattr(error, attribute):
            setattr(error, attribute, value)
    return error
