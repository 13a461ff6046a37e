"""From synchronous code into coroutines: the event loop of a run that was begun by `execute`."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

from tenuto.sequence.threads import start

__all__ = ["Portal", "run_coroutine"]


class Portal:
    """An event loop that exists from the first coroutine until the portal is left.

    Coroutines run in the calling thread; if that has a running loop already, in another one while the caller waits."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run to the end; its result or its error."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._call(self._runner.run, coroutine)

    def _call(self, function: Any, *args: Any) -> Any:
        context = contextvars.copy_context()
        kwargs = {"context": context} if args else {}
        if asyncio._get_running_loop() is None:
            return function(*args, **kwargs)
        return _elsewhere(function, args, kwargs)

    def __enter__(self) -> Portal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            self._call(self._runner.close)


def _elsewhere(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    outcome: list[Any] = [None, None]
    done = threading.Event()

    def job() -> None:
        try:
            outcome[0] = function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - passed on
            outcome[1] = error
        finally:
            done.set()

    start(job)
    done.wait()
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run one coroutine to the end, whether or not the caller is in an event loop."""
    with Portal() as portal:
        return portal.run(coroutine)
