"""Circuit breakers: a node that fails again and again is left alone for a while."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tenuto.durations import seconds_in
from tenuto.sequence.clock import Clock, SystemClock
from tenuto.sequence.errors import CircuitOpenError

__all__ = ["Circuit"]


class Circuit:
    """After `failures` failed calls in a row the circuit opens: calls raise CircuitOpenError instead of being made.

    After `reset` (seconds, a timedelta, or text such as "5m") one call is let through to try: if it succeeds the
    circuit closes, else it stays open for as long again. One circuit may guard several nodes. It lives in this process.
    """

    def __init__(self, failures: int = 3, reset: float | str | timedelta = "5m", *, clock: Clock | None = None) -> None:
        if failures < 1:
            raise ValueError(f"a circuit opens after 1 failure or more, not after {failures}")
        self.failures = failures
        self.reset = seconds_in(reset)
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._failed = 0
        self._opened: float | None = None
        self._trying = False

    @property
    def is_open(self) -> bool:
        """True if calls are refused now."""
        with self._lock:
            return self._remaining() > 0

    def close(self) -> None:
        """Let calls through again, as if none had failed."""
        with self._lock:
            self._failed, self._opened, self._trying = 0, None, False

    def _remaining(self) -> float:
        if self._opened is None:
            return 0.0
        return max(0.0, self._opened + self.reset - self._clock.elapsed())

    def enter(self, name: str) -> None:
        """Ask to make a call. Raises CircuitOpenError."""
        with self._lock:
            if self._opened is None:
                return
            remaining = self._remaining()
            if remaining > 0 or self._trying:
                raise CircuitOpenError(
                    f"node {name!r} was not called: its circuit is open after {self._failed} failures in a row; "
                    f"the next call is tried in {remaining:.1f} s"
                )
            self._trying = True

    def leave(self, succeeded: bool) -> None:
        """Tell what became of the call."""
        with self._lock:
            self._trying = False
            if succeeded:
                self._failed, self._opened = 0, None
                return
            self._failed += 1
            if self._failed >= self.failures:
                self._opened = self._clock.elapsed()


def guarded(call: Callable[..., Any], circuit: Circuit, name: str, is_async: bool) -> Callable[..., Any]:
    """`call`, through the circuit."""

    @functools.wraps(call)
    def guarded_call(*args: Any, **kwargs: Any) -> Any:
        circuit.enter(name)
        succeeded = False
        try:
            result = call(*args, **kwargs)
            succeeded = True
        finally:
            circuit.leave(succeeded)
        return result

    @functools.wraps(call)
    async def guarded_async_call(*args: Any, **kwargs: Any) -> Any:
        circuit.enter(name)
        succeeded = False
        try:
            result = await call(*args, **kwargs)
            succeeded = True
        finally:
            circuit.leave(succeeded)
        return result

    return guarded_async_call if is_async else guarded_call
