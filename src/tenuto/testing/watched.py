"""An engine's workers, watched: what fails in their code fails the test, and on request every decision of a workflow is
preceded by a replay of all that it has done before."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tenuto.converter import DataConverter
from tenuto.engine.dispatch import Dispatch
from tenuto.engine.engine import Engine
from tenuto.engine.hosts import ActivityHost, Attempt, Watcher, WorkflowHost, WorkflowInstance
from tenuto.engine.turns import Turns
from tenuto.failures import to_failure
from tenuto.model.commands import FailWorkflow
from tenuto.model.events import AnyEvent, WorkflowExecutionStarted
from tenuto.model.messages import Outcome, Query
from tenuto.model.payloads import Payload
from tenuto.model.tasks import (
    ActivityFailed,
    ActivityOutcome,
    ActivityTask,
    WorkflowTask,
    WorkflowTaskBroken,
    WorkflowTaskDone,
)
from tenuto.replay.keyed import KeyedInstance
from tenuto.replay.matching import NondeterminismError, describe_event
from tenuto.testing.verdicts import Verdicts, is_assertion, is_missing


def watch(engine: Engine, verdicts: Verdicts, *, always_replay: bool) -> None:
    """Watch all workers that `engine` gets from now on."""
    engine.turns = WatchedTurns(engine, verdicts, always_replay)
    engine.dispatch = WatchedDispatch(engine, verdicts)
    verdicts.engine_failed = engine.failed


class WatchedTurns(Turns):
    """Workflow tasks, with every worker's code watched."""

    def __init__(self, engine: Engine, verdicts: Verdicts, always_replay: bool) -> None:
        super().__init__(engine)
        self._verdicts = verdicts
        self._always_replay = always_replay

    def add_host(self, task_queue: str, host: WorkflowHost) -> None:
        super().add_host(task_queue, WatchedCode(host, self._verdicts, self._always_replay))


class WatchedDispatch(Dispatch):
    """Activities, with every worker's outcomes watched."""

    def __init__(self, engine: Engine, verdicts: Verdicts) -> None:
        super().__init__(engine)
        self._verdicts = verdicts
        self._watched: dict[int, WatchedActivities] = {}

    def add_host(self, task_queue: str, host: ActivityHost) -> None:
        watched = self._watched[id(host)] = WatchedActivities(host, self._verdicts)
        super().add_host(task_queue, watched)

    def attempts(self, host: ActivityHost) -> list[Attempt]:
        return super().attempts(self._watched.get(id(host), host))


class WatchedActivities:
    """A worker's activities; implements `tenuto.engine.hosts.ActivityHost`."""

    def __init__(self, host: ActivityHost, verdicts: Verdicts) -> None:
        self.identity = host.identity
        self.slots = host.slots
        self._host = host
        self._verdicts = verdicts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def start(self, task: ActivityTask, watcher: Watcher) -> Attempt:
        return self._host.start(task, WatchedAttempt(task, watcher, self._verdicts))


class WatchedAttempt:
    """Whoever wants to know of an attempt, and we; implements `tenuto.engine.hosts.Watcher`."""

    def __init__(self, task: ActivityTask, watcher: Watcher, verdicts: Verdicts) -> None:
        self._task = task
        self._watcher = watcher
        self._verdicts = verdicts

    def ended(self, outcome: ActivityOutcome) -> None:
        if isinstance(outcome, ActivityFailed) and (is_assertion(outcome.failure) or is_missing(outcome.failure)):
            task = self._task
            where = f"activity {task.activity_type!r} of workflow {task.workflow_id!r}, attempt {task.attempt}"
            self._verdicts.failed_assertion(outcome.failure, where)
        self._watcher.ended(outcome)

    def beat(self, details: list[Payload]) -> None:
        self._watcher.beat(details)


class WatchedCode:
    """A worker's workflow code; implements `tenuto.engine.hosts.WorkflowHost`."""

    def __init__(self, host: WorkflowHost, verdicts: Verdicts, always_replay: bool) -> None:
        self.identity = host.identity
        self._host = host
        self._verdicts = verdicts
        self._always_replay = always_replay

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    @property
    def types(self) -> Collection[str]:
        return self._host.types

    def has(self, workflow_type: str) -> bool:
        return self._host.has(workflow_type)

    def create(self, started: WorkflowExecutionStarted) -> WorkflowInstance:
        instance = self._host.create(started)
        if self._always_replay:
            instance = ReplayedInstance(self._host, started, instance)
        return WatchedInstance(started, instance, self._verdicts)


class WatchedInstance:
    """An instance whose failures are seen; implements `tenuto.engine.hosts.WorkflowInstance`."""

    def __init__(self, started: WorkflowExecutionStarted, instance: WorkflowInstance, verdicts: Verdicts) -> None:
        self._started = started
        self._instance = instance
        self._verdicts = verdicts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._instance, name)

    @property
    def _name(self) -> str:
        return f"workflow {self._started.workflow_id!r} ({self._started.workflow_type})"

    def feed(self, events: list[AnyEvent]) -> WorkflowTaskBroken | None:
        broken = self._instance.feed(events)
        if broken is not None:
            self._verdicts.stuck(self._started.run_id, self._name, broken.failure)
        return broken

    def activate(self, task: WorkflowTask) -> WorkflowTaskDone | WorkflowTaskBroken:
        answer = self._instance.activate(task)
        if isinstance(answer, WorkflowTaskBroken):
            self._verdicts.stuck(self._started.run_id, self._name, answer.failure)
            return answer
        self._verdicts.mended(self._started.run_id)
        for command in answer.commands:
            if isinstance(command, FailWorkflow) and is_assertion(command.failure):
                self._verdicts.failed_assertion(command.failure, self._name)
        return answer

    def answer(self, query: Query) -> Outcome:
        return self._instance.answer(query)

    def discard(self) -> None:
        self._instance.discard()


class ReplayedInstance:
    """An instance that is made anew from its whole history for every decision; implements
    `tenuto.engine.hosts.WorkflowInstance`. Code that does not decide again as it has decided is broken."""

    def __init__(self, host: WorkflowHost, started: WorkflowExecutionStarted, instance: WorkflowInstance) -> None:
        self._host = host
        self._started = started
        self._instance = instance
        self._events: list[AnyEvent] = []
        self._used = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._instance, name)

    def feed(self, events: list[AnyEvent]) -> WorkflowTaskBroken | None:
        self._events += events
        if not self._used:
            return self._instance.feed(events)
        self._instance.discard()
        self._instance = self._host.create(self._started)
        self._used = False
        return self._instance.feed(self._events) or _unasked(self._instance)

    def activate(self, task: WorkflowTask) -> WorkflowTaskDone | WorkflowTaskBroken:
        self._used = True
        return self._instance.activate(task)

    def answer(self, query: Query) -> Outcome:
        return self._instance.answer(query)

    def discard(self) -> None:
        self._instance.discard()


def _unasked(instance: WorkflowInstance) -> WorkflowTaskBroken | None:
    """Steps are found by their names, so code that has changed may ask for others. Code that has not changed asks for
    all that is recorded, and is broken if it doesn't."""
    records = instance._records if isinstance(instance, KeyedInstance) else {}
    for event in records.values():
        error = NondeterminismError(
            f"recorded event {event.event_id} is {describe_event(event)}, which the same code does not ask for when it "
            "is replayed; names of steps, sleeps and waits must not depend on time, chance or what happens elsewhere"
        )
        return WorkflowTaskBroken("NON_DETERMINISTIC_ERROR", to_failure(error, DataConverter.default))
    return None
