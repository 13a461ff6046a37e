"""Activities that are plain functions, run in threads."""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any

from tenuto.exceptions import CancelledError


class ThreadCall:
    """A call in another thread, into which a cancellation can be thrown."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread_id: int | None = None
        self._cancelled = False

    def run(self, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        with self._lock:
            if self._cancelled:
                raise CancelledError("cancelled before it began")
            self._thread_id = threading.get_ident()
        try:
            return function(*arguments)
        finally:
            # From here on no exception may be thrown in any more: the thread belongs to somebody else.
            with self._lock:
                self._thread_id = None

    def cancel(self) -> None:
        """Raise CancelledError in the function, at the next line of Python that it runs."""
        with self._lock:
            if self._cancelled:
                return
            self._cancelled = True
            if self._thread_id is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread_id), ctypes.py_object(CancelledError)
                )


async def call_in_thread(
    executor: Executor, call: ThreadCall, function: Callable[..., Any], arguments: Sequence[Any]
) -> Any:
    """Run `function` in the executor's thread, with the caller's context variables."""
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(executor, lambda: context.run(call.run, function, arguments))
