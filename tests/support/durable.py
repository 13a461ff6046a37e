"""For tests of durable code: a client with a worker in one line, and histories that are easy to compare."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tenuto.client import Client, WorkflowFailureError, WorkflowHandle
from tenuto.common import RetryPolicy
from tenuto.model import events as ev
from tenuto.worker import Worker
from tests.support.history_checker import check_history

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
    """The events so far; fails if they are no well-formed history."""
    events: list[Any] = (await handle.fetch_history()).events
    check_history(events)
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
