"""Entrypoints: the classes that users derive from, and how a run of one goes."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any

from tenuto.activities.records import Record, frozen
from tenuto.activities.step_errors import closing_failure
from tenuto.common import RawValue
from tenuto.model import commands as cmd
from tenuto.model.events import WorkflowExecutionSignaled
from tenuto.model.payloads import Payload
from tenuto.replay.definition import DEFINITION, KeyedDefinition
from tenuto.replay.errors import RunEndedError
from tenuto.replay.keyed import KeyedInstance
from tenuto.replay.steps import RESERVED
from tenuto.steps.control import ASKED_QUERY, Asked
from tenuto.steps.events import Inbox
from tenuto.steps.options import StartOptions
from tenuto.steps.schedules import SchedulerDefinition
from tenuto.steps.step import WorkflowStep
from tenuto.workflows.context import utc


class WorkflowEntrypoint:
    """Derive from it and write `async def run(self, event, step)`; what it returns is the instance's output.

    `event` has `payload` (read-only), `timestamp`, `instance_id` and `workflow_name`, as attributes and as keys. All
    work goes into steps: code between them runs again whenever the instance is brought back. Any exception that leaves
    `run` ends the instance as failed. The workflow is called like the class, or `class Publish(WorkflowEntrypoint,
    name="publish")`. Raises TypeError if `run` is not a coroutine function."""

    env: Any
    """What the worker was given as `env`; a mapping's values are attributes, too."""

    def __init_subclass__(cls, *, name: str | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.run is WorkflowEntrypoint.run:
            return  # a base for others
        if not inspect.iscoroutinefunction(cls.run):
            raise TypeError(f"{cls.__qualname__}.run must be 'async def run(self, event, step)'")
        definition = EntrypointDefinition(cls, name or cls.__name__)
        setattr(cls, DEFINITION, definition)
        if "run" in vars(cls):
            setattr(cls.run, DEFINITION, definition)

    async def run(self, event: Any, step: WorkflowStep) -> Any:
        """The workflow."""
        raise NotImplementedError


class EntrypointDefinition(KeyedDefinition):
    """How the machinery of replay sees an entrypoint."""

    def __init__(self, cls: type[WorkflowEntrypoint], name: str) -> None:
        super().__init__(cls, name, _run, {ASKED_QUERY: _asked})
        self.companions = (SchedulerDefinition(name),)

    def construct(self, instance: KeyedInstance) -> Running:
        return Running(instance)

    def take_signal(self, made: Running, signal: WorkflowExecutionSignaled) -> None:
        if not signal.signal_name.startswith(RESERVED):
            made.inbox.arrived(signal)


class Running:
    """One instance at work."""

    def __init__(self, instance: KeyedInstance) -> None:
        self.instance = instance
        self.inbox = Inbox(instance)
        self.step: WorkflowStep | None = None

    def entrypoint(self) -> WorkflowEntrypoint:
        """An object of the user's class, with its environment."""
        cls, env = self.instance.definition.cls, self.instance.code.env
        made: WorkflowEntrypoint = object.__new__(cls)
        made.env = Record(env or {}) if isinstance(env, Mapping | None) else env
        made.__init__()  # type: ignore[misc]
        return made

    def event(self, payload: Any) -> Record:
        started = self.instance.started
        return Record(
            {
                "payload": frozen(payload),
                "timestamp": utc(started.time),
                "instance_id": started.workflow_id,
                "workflow_name": started.workflow_type,
            },
            {"instanceId": "instance_id", "workflowName": "workflow_name"},
        )


async def _run(running: Running, payload: Any = None, options: StartOptions | None = None) -> Any:
    instance = running.instance
    step = running.step = WorkflowStep(instance, options or StartOptions(), running.inbox)
    try:
        output = await running.entrypoint().run(running.event(payload), step)
        return RawValue(instance.converter.encode(output))
    except asyncio.CancelledError as error:
        details = await _rolled_back(running, error)
        if instance.cancel_reason is not None:
            raise RunEndedError(cmd.CancelWorkflow(details)) from None
        raise RunEndedError(cmd.FailWorkflow(closing_failure(error, details))) from None
    except Exception as error:  # noqa: BLE001 - whatever the user's code raises fails the instance
        details = await _rolled_back(running, error)
        raise RunEndedError(cmd.FailWorkflow(closing_failure(error, details))) from None


async def _rolled_back(running: Running, error: BaseException) -> list[Payload]:
    assert running.step is not None
    outcome = await running.step.rollbacks.finish(error)
    return [] if outcome is None else [running.instance.converter.encode(outcome)]


def _asked(running: Running) -> list[Asked]:
    return [] if running.step is None else running.step.asked
