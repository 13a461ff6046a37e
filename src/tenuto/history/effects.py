"""Effects: what must happen outside because of new events, released only when these are committed."""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct

from tenuto.model.events import WorkflowExecutionStarted
from tenuto.model.messages import Answer, Message


class DeadlineKind(IntEnum):
    """What to look at when a deadline arrives; the key is a timer id or an event id."""

    TIMER = 1
    ACTIVITY = 2
    RUN = 3
    WORKFLOW_TASK = 4


class Deadline(Struct, frozen=True, gc=False):
    """Come back at `at` (nanoseconds) and call `Execution.reach(kind, key)`, which ignores what no longer holds."""

    at: int
    kind: DeadlineKind
    key: int | str = 0


class ActivityReady(Struct, frozen=True, gc=False):
    """An attempt of this activity may start."""

    scheduled_event_id: int


class ActivityCancelled(Struct, frozen=True, gc=False):
    """Tell whoever runs this activity to stop: it was cancelled, timed out, or its run closed."""

    scheduled_event_id: int
    reason: str


class Send(Struct, frozen=True, gc=False):
    """Deliver `message` to another execution."""

    message: Message


class UpdateAnswered(Struct, frozen=True, gc=False):
    """The update reached a stage that callers wait for."""

    update_id: str
    answer: Answer


class NewRun(Struct, frozen=True, gc=False):
    """This run goes on as a new one, which begins in the same commit with `started`."""

    started: WorkflowExecutionStarted


class RunClosed(Struct, frozen=True, gc=False):
    """The run has ended; waiting callers can be told."""


Effect = Deadline | ActivityReady | ActivityCancelled | Send | UpdateAnswered | NewRun | RunClosed
