"""Waiting, durably: for time to pass, for something to become true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tenuto.durations import Duration, seconds_of
from tenuto.workflows.context import current


async def sleep(duration: Duration, *, summary: str | None = None) -> None:
    """Sleep, durably: for milliseconds or for years. A number is in seconds."""
    seconds = seconds_of(duration)
    if seconds <= 0:
        await asyncio.sleep(0)
        return
    this = current()
    future = this.loop.create_future()
    cancel = this.start_timer(seconds, lambda: None if future.done() else future.set_result(None), summary)
    try:
        await future
    finally:
        cancel()


async def wait_condition(
    fn: Callable[[], bool], *, timeout: Duration | None = None, timeout_summary: str | None = None
) -> None:
    """Wait until `fn()` is true. It is asked whenever something has happened; it must not change anything.

    Raises TimeoutError once `timeout` (seconds, if a number) is over."""
    this = current()
    this.check_writable("wait_condition")
    future = this.loop.create_future()
    this.conditions.append((fn, future))
    cancel: Callable[[], None] | None = None
    if timeout is not None:
        expired = TimeoutError("the condition did not become true in time")
        cancel = this.start_timer(
            max(seconds_of(timeout), 0.0),
            lambda: None if future.done() else future.set_exception(expired),
            timeout_summary,
        )
    try:
        await future
    finally:
        if cancel is not None:
            cancel()
