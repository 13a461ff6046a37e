"""Threads for what must not hold up an event loop.

They are daemons: a node that never returns can't keep the process from ending. A few idle ones are kept for a while,
because starting one takes as long as a small node.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["in_thread", "start"]

#: Idle threads that are kept, and for how many seconds.
MOST_IDLE = 32
IDLE_SECONDS = 5.0

Job = Callable[[], None]
T = TypeVar("T")

_idle: list[queue.SimpleQueue[Job]] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # threads don't survive it


def start(job: Job) -> None:
    """Run `job`, which must not raise, in a thread at once."""
    try:
        jobs = _idle.pop()
    except IndexError:
        jobs = queue.SimpleQueue()
        threading.Thread(target=_work, args=(jobs,), name="tenuto sequence", daemon=True).start()
    jobs.put(job)


def _work(jobs: queue.SimpleQueue[Job]) -> None:
    jobs.get()()
    while len(_idle) < MOST_IDLE:
        _idle.append(jobs)
        try:
            job = jobs.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            try:
                _idle.remove(jobs)
            except ValueError:  # somebody took it just now
                job = jobs.get()
            else:
                return
        job()
        del job  # what it refers to shall not live on while the thread is idle


async def in_thread(function: Callable[..., T], *args: Any) -> T:
    """Call a function in a thread, with the caller's context variables; its result or its error."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def job() -> None:
        try:
            result = context.run(function, *args)
        except BaseException as error:  # noqa: BLE001 - passed on
            tell(answer.set_exception, error)
        else:
            tell(answer.set_result, result)

    def tell(settle: Callable[[Any], None], outcome: Any) -> None:
        # The loop may be closed: nobody waits any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: None if answer.done() else settle(outcome))

    start(job)
    return await answer
