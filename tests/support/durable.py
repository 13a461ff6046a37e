"""For tests of durable code: a client with a worker in one line, and histories that are easy to compare."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest

from tenuto.client import Client, WorkflowFailureError, WorkflowHandle
from tenuto.common import RetryPolicy
from tenuto.model import events as ev
from tenuto.worker import Worker

#: Retries without a wait worth mentioning.
AT_ONCE = RetryPolicy(initial_interval=timedelta(milliseconds=1), maximum_interval=timedelta(milliseconds=1))
ONCE = RetryPolicy(maximum_attempts=1)


def at_most(attempts: int) -> RetryPolicy:
    """A policy that retries at once, and allows so many attempts."""
    return RetryPolicy(initial_interval=timedelta(milliseconds=1), maximum_attempts=attempts)


def an_id() -> str:
    """A workflow id that no other test uses."""
    return f"w-{uuid4().hex[:8]}"


@asynccontextmanager
async def serving(
    *workflows: type[Any],
    activities: Sequence[Callable[..., Any]] = (),
    url: str = "memory://",
    connect: dict[str, Any] | None = None,
    **worker: Any,
) -> AsyncIterator[Client]:
    """A client whose process also runs a worker with this code."""
    async with (
        await Client.connect(url, **(connect or {})) as client,
        Worker(client, workflows=workflows, activities=activities, **worker),
    ):
        yield client


async def ended(handle: WorkflowHandle[Any]) -> WorkflowHandle[Any]:
    """The handle, once its run has ended, however it did."""
    with suppress(WorkflowFailureError):
        await handle.result()
    return handle


async def failure_of(result: Awaitable[Any]) -> BaseException:
    """What the workflow failed with; fails if it didn't."""
    with pytest.raises(WorkflowFailureError) as caught:
        await result
    return caught.value.cause


async def until(condition: Callable[[], Any | Awaitable[Any]], seconds: float = 5.0) -> Any:
    """Wait until `condition()` is true, and return what it gave."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.002)


# -- histories -------------------------------------------------------------------------------------------------------


async def history(handle: WorkflowHandle[Any]) -> list[Any]:
    """The events so far, after a check that all they say of each other is true."""
    events: list[Any] = (await handle.fetch_history()).events
    check_references(events)
    return events


async def shape(handle: WorkflowHandle[Any]) -> list[str]:
    """The event types so far, short: `WorkflowExecutionStarted` is `Started`, `WorkflowTask...` is `Task...`."""
    return [short(event) for event in await history(handle)]


def short(event: ev.Event) -> str:
    name = type(event).__name__
    for long, brief in (("WorkflowExecution", ""), ("WorkflowTask", "Task"), ("ActivityTask", "Activity")):
        if name.startswith(long):
            return brief + name.removeprefix(long)
    return name.replace("WorkflowExecution", "")


def of_type(events: list[Any], kind: type[ev.Event]) -> list[Any]:
    return [event for event in events if type(event) is kind]


#: What a workflow task leaves in the history.
TASK = ["TaskScheduled", "TaskStarted", "TaskCompleted"]

#: field -> what the event with that id must be.
_REFERENCES: dict[str, Callable[[ev.Event], tuple[type[ev.Event], ...]]] = {
    "workflow_task_completed_event_id": lambda event: (ev.WorkflowTaskCompleted,),
    "scheduled_event_id": lambda event: (
        (ev.WorkflowTaskScheduled,) if type(event).__name__.startswith("Workflow") else (ev.ActivityTaskScheduled,)
    ),
    "started_event_id": lambda event: (
        (ev.WorkflowTaskStarted,)
        if type(event).__name__.startswith("WorkflowTask")
        else (ev.ActivityTaskStarted,)
        if type(event).__name__.startswith("Activity")
        else (ev.TimerStarted,)
        if type(event).__name__.startswith("Timer")
        else (ev.ChildWorkflowExecutionStarted,)
    ),
    "initiated_event_id": lambda event: (
        (ev.StartChildWorkflowExecutionInitiated,)
        if "Child" in type(event).__name__
        else (ev.SignalExternalWorkflowExecutionInitiated,)
        if "Signal" in type(event).__name__
        else (ev.RequestCancelExternalWorkflowExecutionInitiated,)
    ),
    "latest_cancel_requested_event_id": lambda event: (ev.ActivityTaskCancelRequested,),
    "accepted_event_id": lambda event: (ev.WorkflowExecutionUpdateAccepted,),
}


def check_references(events: list[Any]) -> None:
    """Ids without gaps, time that doesn't go back, references to the right kind of earlier event, command events
    directly behind their workflow task, tasks never overlapping."""
    assert [event.event_id for event in events] == list(range(1, len(events) + 1))
    by_id = {event.event_id: event for event in events}
    for event in events:
        for field, kinds in _REFERENCES.items():
            reference = getattr(event, field, None)
            if reference is None or (reference == 0 and field in ("started_event_id",)):
                continue
            assert reference < event.event_id, f"{event} refers ahead"
            assert type(by_id[reference]) in kinds(event), f"{event} refers to {by_id[reference]}"
    for before, event in pairwise(events):
        if type(event) in ev.COMMAND_EVENTS:
            assert type(before) is ev.WorkflowTaskCompleted or type(before) in ev.COMMAND_EVENTS, (
                f"{event} is a command event, but follows {before}"
            )
            assert _task_of(events, event) == getattr(
                event, "workflow_task_completed_event_id", _task_of(events, event)
            )
        if type(event) is ev.WorkflowTaskStarted:
            assert type(before) is ev.WorkflowTaskScheduled or before.event_id >= event.scheduled_event_id
        if type(event) in (ev.WorkflowTaskCompleted, ev.WorkflowTaskFailed):
            assert type(before) is ev.WorkflowTaskStarted, f"{event} doesn't follow its start: {before}"


def _task_of(events: list[Any], event: Any) -> int:
    """The id of the task completion whose command events `event` stands among."""
    for earlier in reversed(events[: event.event_id]):
        if type(earlier) is ev.WorkflowTaskCompleted:
            return int(earlier.event_id)
    raise AssertionError(f"{event} stands before any completed task")
