"""The event loop that workflow code runs on.

It is deterministic: callbacks run in the order in which they were scheduled, time stands still while code runs, and a
delay is a durable timer. It never waits for anything; `drain` runs what is ready and returns. Whatever would reach out
of the workflow (threads, sockets, processes, signals) is refused.
"""

from __future__ import annotations

import asyncio
import contextvars
from asyncio.events import _get_running_loop, _set_running_loop
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    from tenuto.replay.instance import Instance

T = TypeVar("T")


class Handle:
    """A callback that is going to run; `cancel` makes it not."""

    __slots__ = ("_args", "_callback", "_context", "cancelled_")

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: contextvars.Context | None
    ) -> None:
        self._callback = callback
        self._args = args
        self._context = contextvars.copy_context() if context is None else context
        self.cancelled_ = False

    def cancel(self) -> None:
        self.cancelled_ = True

    def cancelled(self) -> bool:
        return self.cancelled_

    def run(self) -> None:
        if not self.cancelled_:
            self._context.run(self._callback, *self._args)


class TimerHandle(Handle):
    """A callback that runs when a durable timer fires."""

    __slots__ = ("_cancel_timer", "_when")

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
    ) -> None:
        super().__init__(callback, args, context)
        self._when = when
        self._cancel_timer: Callable[[], None] | None = None

    def when(self) -> float:
        return self._when

    def attach(self, cancel_timer: Callable[[], None]) -> None:
        self._cancel_timer = cancel_timer

    def cancel(self) -> None:
        if not self.cancelled_:
            self.cancelled_ = True
            if self._cancel_timer is not None:
                self._cancel_timer()


class WorkflowLoop(asyncio.AbstractEventLoop):
    """The loop of one workflow instance, which `instance` is."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self._ready: list[Handle] = []
        self.tasks: set[asyncio.Task[Any]] = set()

    def release(self) -> None:
        """The instance is gone: let it be freed at once instead of by the garbage collector."""
        del self.instance
        self._ready.clear()

    def drain(self) -> None:
        """Run everything that is ready, and what becomes ready through it."""
        outer = _get_running_loop()
        _set_running_loop(self)
        try:
            while self._ready:
                ready, self._ready = self._ready, []
                for handle in ready:
                    handle.run()
        finally:
            _set_running_loop(outer)

    def enter(self, callback: Callable[..., T], *args: Any) -> T:
        """Call `callback` as code of this loop."""
        outer = _get_running_loop()
        _set_running_loop(self)
        try:
            return callback(*args)
        finally:
            _set_running_loop(outer)

    # -- what asyncio needs of a loop ------------------------------------------------------------------------------

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        handle = Handle(callback, args, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Handle:
        if delay <= 0:
            return self.call_soon(callback, *args, context=context)
        handle = TimerHandle(self.time() + delay, callback, args, context)
        handle.attach(self.instance.start_timer(delay, lambda: self._ready.append(handle)))
        return handle

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Handle:
        return self.call_later(when - self.time(), callback, *args, context=context)

    def time(self) -> float:
        return self.instance.now / 1e9

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
        **_: Any,
    ) -> asyncio.Task[T]:
        if self.instance.read_only:  # a task of a query would run when the code goes on, and be missing on replay
            coro.close()
            self.instance.check_writable("tasks")
        task = asyncio.Task(coro, loop=self, name=name or "", context=context)
        self.adopt(task)
        return task

    def start(self, coro: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine of its own, whose end nobody waits for."""
        task: asyncio.Task[object] = asyncio.Task(coro, loop=self)
        self.adopt(task)

    def adopt(self, task: asyncio.Task[T]) -> None:
        """Keep a task alive until it is done, and end it with the instance."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def get_task_factory(self) -> None:
        return None

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        # A future may be freed after the instance was; then nobody is left to be told.
        if "instance" in self.__dict__:
            self.instance.report_loop_error(context)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.instance.report_loop_error(context)

    def get_exception_handler(self) -> None:
        return None

    async def shutdown_asyncgens(self) -> None:
        """Nothing to do: generators end with the instance."""


def _refuse(name: str) -> Callable[..., NoReturn]:
    def refuse(self: WorkflowLoop, *args: object, **kwargs: object) -> NoReturn:
        raise RuntimeError(
            f"loop.{name} is not possible in a workflow, because its effect would not be recorded; do it in an activity"
        )

    refuse.__name__ = name
    return refuse


for _name in dir(asyncio.AbstractEventLoop):
    if not _name.startswith("_") and _name not in WorkflowLoop.__dict__:
        setattr(WorkflowLoop, _name, _refuse(_name))
WorkflowLoop.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]
