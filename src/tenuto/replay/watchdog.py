"""Stops workflow code that doesn't give control back.

Workflow code runs on the worker's event loop, between two waits; if it loops for ever or blocks, everything in the
process stands still. One thread looks at the clock, and throws `RunsTooLongError` into code that has run for longer
than its task timeout.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
import time

#: Seconds between two looks.
PERIOD = 0.25


class RunsTooLongError(BaseException):
    """The workflow's code ran for longer than its task timeout without waiting for anything."""


class Watchdog:
    """Watches the one piece of workflow code that runs at a time on its thread. `enter` and `leave` cost next to
    nothing.

    The thread starts with the first `enter` and ends with `stop`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: float | None = None
        self._fired = False
        self._watched = threading.get_ident()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def enter(self, limit: float) -> None:
        """Code begins to run; it may for `limit` seconds."""
        if self._thread is None:
            self._watched = threading.get_ident()
            self._thread = threading.Thread(target=self._watch, name="tenuto watchdog", daemon=True)
            self._thread.start()
        self._ends = time.monotonic() + limit

    def leave(self) -> bool:
        """The code has ended. True if it was stopped."""
        with self._lock:
            self._ends = None
            fired, self._fired = self._fired, False
        if fired:
            _let_it_arrive()
        return fired

    def stop(self) -> None:
        """End the thread; the next `enter` starts a new one."""
        if self._thread is not None:
            self._stopped.set()
            self._thread.join()
            self._stopped.clear()
            self._thread = None

    def _watch(self) -> None:
        while not self._stopped.wait(PERIOD):
            ends = self._ends
            if ends is None or time.monotonic() < ends or sys.gettrace() is not None:
                continue
            with self._lock:
                # Only while the lock is held is it sure that the code has not ended meanwhile.
                if self._ends is not None and time.monotonic() >= self._ends and not self._fired:
                    self._fired = True
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(
                        ctypes.c_ulong(self._watched), ctypes.py_object(RunsTooLongError)
                    )


def _let_it_arrive() -> None:
    """The error may have been thrown just as the code ended: it then arrives within the next few instructions."""
    with contextlib.suppress(RunsTooLongError):
        for _ in range(1000):
            pass
