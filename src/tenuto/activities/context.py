"""What an attempt of an activity knows of itself, wherever it runs: on the event loop, in a thread, in a process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tenuto.model.errors import TenutoError


class NotInActivityError(TenutoError, RuntimeError):
    """A function of `tenuto.activity` was called outside an activity."""


@dataclass(frozen=True)
class Info:
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
    """Lives as long as the attempt. `cancel_reason` is why it should stop, None while it need not. What few attempts
    ask for (their info, something to wait on) is made when it is asked for."""

    __slots__ = ("_info", "_make_info", "_waiters", "cancel_reason", "heartbeat")

    def __init__(self, make_info: Callable[[], Info], heartbeat: Callable[[tuple[Any, ...]], None]) -> None:
        self._make_info = make_info
        self._info: Info | None = None
        self._waiters: list[asyncio.Event | threading.Event] = []
        self.heartbeat = heartbeat
        self.cancel_reason: str | None = None

    @property
    def info(self) -> Info:
        if self._info is None:
            self._info = self._make_info()
        return self._info

    def cancel(self, reason: str) -> None:
        self.cancel_reason = reason
        for waiter in self._waiters:
            waiter.set()

    def wait_on(self, event: asyncio.Event | threading.Event) -> None:
        """Set `event` when the attempt should stop."""
        self._waiters.append(event)
        if self.cancel_reason is not None:
            event.set()


current: ContextVar[Context] = ContextVar("tenuto activity")


def context() -> Context:
    """The attempt that calls. Raises NotInActivityError outside one."""
    found = current.get(None)
    if found is None:
        raise NotInActivityError("this function of tenuto.activity can only be called by an activity")
    return found
