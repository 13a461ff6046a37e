"""Tasks: what the engine hands to whoever has the code, and what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from tenuto.model.commands import Command
from tenuto.model.failures import Failure
from tenuto.model.payloads import Payload

if TYPE_CHECKING:  # messages carry what comes back
    from tenuto.model.messages import Update


class WorkflowTask(Struct, gc=False):
    """One decision round, after the instance was shown all events. `now` is the time that the code sees."""

    updates: list[Update]
    now: int
    history_length: int
    history_size: int
    continue_as_new_suggested: bool


class WorkflowTaskDone(Struct, gc=False):
    """The commands of a decision round, in the order in which code gave them, a closing one last."""

    commands: list[Command]


#: How the task queues end where steps wait that are closures of their workflow's code.
STEPS = " steps"

#: The cause of a broken task that took longer than its time limit.
TASK_TIMED_OUT = "TASK_TIMED_OUT"


class WorkflowTaskBroken(Struct, array_like=True, gc=False):
    """The code could not make its decision: a bug, a missing type, or code that doesn't match the history."""

    cause: str
    failure: Failure


class ActivityTask(Struct, array_like=True, gc=False):
    """One attempt of an activity. Times are nanoseconds since the epoch, durations seconds. `started_time` is 0 as long
    as it waits for a worker."""

    workflow_id: str
    run_id: str
    workflow_type: str
    scheduled_event_id: int
    activity_id: str
    activity_type: str
    task_queue: str
    input: list[Payload]
    attempt: int
    scheduled_time: int
    current_attempt_scheduled_time: int
    started_time: int
    schedule_to_close_timeout: float | None
    start_to_close_timeout: float | None
    heartbeat_timeout: float | None
    heartbeat_details: list[Payload]
    last_failure: Failure | None


class ActivityCompleted(Struct, array_like=True, gc=False, tag_field="kind", tag="completed"):
    result: list[Payload]


class ActivityFailed(Struct, array_like=True, gc=False, tag_field="kind", tag="failed"):
    failure: Failure


class ActivityCanceled(Struct, array_like=True, gc=False, tag_field="kind", tag="canceled"):
    details: list[Payload] = []


ActivityOutcome = ActivityCompleted | ActivityFailed | ActivityCanceled


class AttemptNote(Struct, array_like=True, gc=False):
    """What is known of work that is still pending: kept beside the history, overwritten, gone when the work is done.

    For an activity: its attempts so far. With event id 0: the attempts of a workflow task that keeps failing. With -1:
    that the run waits for its turn."""

    attempt: int = 1
    started_time: int | None = None
    last_failure: Failure | None = None
    heartbeat_details: list[Payload] = []
    heartbeat_time: int | None = None
    next_attempt_time: int | None = None
