"""What an attempt of an activity knows of itself, wherever it runs: on the event loop, in a thread, in a process."""

from __future__ import annotations

import asyncio
import threading
from asyncio.events import _get_running_loop
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from msgspec import Struct

from tenuto.activities.heartbeats import Heartbeats
from tenuto.converter import DataConverter
from tenuto.model.errors import TenutoError
from tenuto.model.tasks import ActivityTask


class NotInActivityError(TenutoError, RuntimeError):
    """A function of `tenuto.activity` was called outside an activity."""


class Info(Struct, frozen=True, kw_only=True):
    """What an attempt can know of itself. `attempt` counts from 1."""

    activity_id: str
    activity_type: str
    attempt: int
    current_attempt_scheduled_time: datetime
    heartbeat_details: list[Any]
    heartbeat_timeout: timedelta | None
    namespace: str
    schedule_to_close_timeout: timedelta | None
    scheduled_time: datetime
    start_to_close_timeout: timedelta | None
    started_time: datetime
    task_queue: str
    task_token: bytes
    workflow_id: str
    workflow_run_id: str
    workflow_type: str
    last_failure: str | None
    """What the attempt before this one died of, in one line; None for the first."""

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this activity and different from every other's: hand it to services that
        should do a thing once."""
        return f"{self.workflow_run_id}:{self.activity_id}"


class Context:
    """Lives as long as the attempt. `cancel_reason` is why it should stop, None while it need not."""

    __slots__ = ("_converter", "_info", "_loop", "_task", "_waiters", "cancel_reason", "heartbeats")

    def __init__(
        self,
        task: ActivityTask,
        converter: DataConverter,
        heartbeats: Heartbeats,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._task = task
        self._converter = converter
        self._loop = loop
        self._info: Info | None = None
        self._waiters: list[asyncio.Event | threading.Event] = []
        self.heartbeats = heartbeats
        self.cancel_reason: str | None = None

    @property
    def info(self) -> Info:
        if self._info is None:
            self._info = _info(self._task, self._converter)
        return self._info

    def heartbeat(self, details: tuple[Any, ...]) -> None:
        """From the event loop or from the thread that runs the attempt."""
        encoded = self.heartbeats.encode(details)
        if _get_running_loop() is self._loop:
            self.heartbeats.beat(encoded)
        else:
            self._loop.call_soon_threadsafe(self.heartbeats.beat, encoded)

    def cancel(self, reason: str) -> None:
        self.cancel_reason = reason
        for waiter in self._waiters:
            waiter.set()

    async def wait_in_loop(self) -> None:
        """Return when the attempt should stop."""
        event = asyncio.Event()
        self._wait_on(event)
        await event.wait()

    def wait_in_thread(self, timeout: float | None) -> None:
        """Return when the attempt should stop, or after `timeout` seconds."""
        event = threading.Event()
        self._wait_on(event)
        event.wait(timeout)

    def _wait_on(self, event: asyncio.Event | threading.Event) -> None:
        self._waiters.append(event)
        if self.cancel_reason is not None:
            event.set()


class AnyContext(Protocol):
    """What an attempt knows of itself, wherever it runs."""

    @property
    def info(self) -> Info: ...

    @property
    def cancel_reason(self) -> str | None: ...

    def heartbeat(self, details: tuple[Any, ...]) -> None: ...

    def wait_in_thread(self, timeout: float | None) -> None: ...


current: ContextVar[AnyContext] = ContextVar("tenuto activity")


def context() -> AnyContext:
    """The attempt that calls. Raises NotInActivityError outside one."""
    found = current.get(None)
    if found is None:
        raise NotInActivityError("this function of tenuto.activity can only be called by an activity")
    return found


def _time(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


def _duration(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _info(task: ActivityTask, converter: DataConverter) -> Info:
    return Info(
        activity_id=task.activity_id,
        activity_type=task.activity_type,
        attempt=task.attempt,
        current_attempt_scheduled_time=_time(task.current_attempt_scheduled_time),
        heartbeat_details=converter.decode_all(task.heartbeat_details),
        heartbeat_timeout=_duration(task.heartbeat_timeout),
        namespace="default",
        schedule_to_close_timeout=_duration(task.schedule_to_close_timeout),
        scheduled_time=_time(task.scheduled_time),
        start_to_close_timeout=_duration(task.start_to_close_timeout),
        started_time=_time(task.started_time),
        task_queue=task.task_queue,
        task_token=f"{task.run_id}:{task.scheduled_event_id}:{task.attempt}".encode(),
        workflow_id=task.workflow_id,
        workflow_run_id=task.run_id,
        workflow_type=task.workflow_type,
        last_failure=None if task.last_failure is None else task.last_failure.brief(),
    )
