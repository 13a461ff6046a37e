"""Messages of a process that does tasks to the one that owns their executions."""

from __future__ import annotations

from msgspec import Struct

from tenuto.model.commands import Command
from tenuto.model.payloads import Payload
from tenuto.model.tasks import ActivityOutcome, WorkflowTaskBroken


class AttemptEnded(Struct, array_like=True, gc=False, tag_field="kind", tag="attempt_ended"):
    """An attempt of an activity is over."""

    scheduled_event_id: int
    attempt: int
    started_time: int
    outcome: ActivityOutcome
    identity: str = ""
    details: list[Payload] | None = None
    """Of its last heartbeat, if that was not sent on its own."""


class AttemptAlive(Struct, array_like=True, gc=False, tag_field="kind", tag="attempt_alive"):
    """An attempt made a heartbeat; the next one shall know `details`."""

    scheduled_event_id: int
    attempt: int
    started_time: int
    details: list[Payload] = []


class TaskReturned(Struct, array_like=True, gc=False, tag_field="kind", tag="task_returned"):
    """Whoever claimed this task has not begun it and won't: others shall have it."""

    key: int
    attempt: int = 0
    """Of an activity."""


class DecisionMade(Struct, array_like=True, gc=False, tag_field="kind", tag="decision_made"):
    """Workflow code has decided about all events up to `last_event_id` and the updates that it was shown."""

    last_event_id: int
    started_time: int
    """The time that the code saw."""
    commands: list[Command] = []
    broken: WorkflowTaskBroken | None = None
    """Why it could not decide, if it couldn't."""
    identity: str = ""


TaskBody = AttemptEnded | AttemptAlive | TaskReturned | DecisionMade
