"""Who has the code: what the engine asks of the workers in its process."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from tenuto.model.events import AnyEvent, WorkflowExecutionStarted
from tenuto.model.messages import Outcome, Query
from tenuto.model.payloads import Payload
from tenuto.model.tasks import (
    ActivityOutcome,
    ActivityTask,
    WorkflowTask,
    WorkflowTaskBroken,
    WorkflowTaskDone,
)


class WorkflowInstance(Protocol):
    """A suspended workflow: code brought to the point that its history says."""

    def feed(self, events: list[AnyEvent]) -> WorkflowTaskBroken | None:
        """Show it further history, in order and without gaps. After a `WorkflowTaskBroken` it is of no use any more."""
        ...

    def activate(self, task: WorkflowTask) -> WorkflowTaskDone | WorkflowTaskBroken:
        """Let the code decide about all that it was shown. Never raises."""
        ...

    def answer(self, query: Query) -> Outcome:
        """Answer a query. Never raises; changes nothing."""
        ...

    def discard(self) -> None:
        """Forget it: its coroutines end without any command."""
        ...


class WorkflowHost(Protocol):
    """A worker that has workflow code for one task queue."""

    identity: str

    @property
    def types(self) -> Collection[str]:
        """The types of which it has code."""
        ...

    def has(self, workflow_type: str) -> bool:
        """Does it have code of this type?"""
        ...

    def create(self, started: WorkflowExecutionStarted) -> WorkflowInstance:
        """A new instance that has seen nothing yet. A type that this host hasn't got gives an instance whose every
        task is broken, with the reason."""
        ...


class Attempt(Protocol):
    """One attempt of an activity that runs in this process."""

    task: ActivityTask

    def cancel(self, reason: str) -> None:
        """Ask it to stop. `reason`: cancel_requested, timed_out, not_found or worker_shutdown."""
        ...


class Watcher(Protocol):
    """Who wants to know of an attempt. To be called on the event loop."""

    def ended(self, outcome: ActivityOutcome) -> None:
        """The attempt is over; called exactly once."""
        ...

    def beat(self, details: list[Payload]) -> None:
        """The attempt is alive; the next one shall know `details`."""
        ...


class ActivityHost(Protocol):
    """A worker that runs activities of one task queue."""

    identity: str
    slots: int
    """How many attempts may run at a time."""

    def start(self, task: ActivityTask, watcher: Watcher) -> Attempt:
        """Run an attempt and tell `watcher` of it."""
        ...
