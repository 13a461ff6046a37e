"""What workflow code waits for: activities, children, answers of other executions.

Each object here is one command with a future for its outcome. Waiting for it translates a cancellation of the waiting
task into what was asked for: a cancel request, or none, and waiting for the true end, or not.
"""

from __future__ import annotations

import asyncio
import inspect
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeVar

from tenuto.model import commands as cmd
from tenuto.model import events as ev
from tenuto.model.payloads import Payload
from tenuto.replay.matching import Pending

if TYPE_CHECKING:
    from tenuto.replay.instance import Instance

T = TypeVar("T")


class ActivityCancellationType(IntEnum):
    """What cancelling the wait for an activity does to the activity."""

    TRY_CANCEL = 0
    """Ask it to stop and go on at once."""
    WAIT_CANCELLATION_COMPLETED = 1
    """Ask it to stop and wait for its end, whatever it is."""
    ABANDON = 2
    """Go on at once and leave it alone."""


class ChildWorkflowCancellationType(IntEnum):
    """What cancelling the wait for a child does to the child."""

    ABANDON = 0
    TRY_CANCEL = 1
    WAIT_CANCELLATION_COMPLETED = 2
    WAIT_CANCELLATION_REQUESTED = 3


class CallTask(asyncio.Task[T]):
    """Waits for a call. A plain task that is cancelled before its first step never takes one, and the call would not
    learn of its cancellation; this one takes its first step before."""

    def cancel(self, msg: Any | None = None) -> bool:
        if inspect.getcoroutinestate(self.get_coro()) == inspect.CORO_CREATED:  # type: ignore[arg-type]
            self.get_loop().call_soon(super().cancel, msg)
            return True
        return super().cancel(msg)


class ActivityCall:
    """One activity, from its command to its outcome."""

    __slots__ = ("_cancel_asked", "_instance", "_type", "future", "pending", "scheduled_event_id")

    def __init__(
        self, instance: Instance, command: cmd.ScheduleActivity, cancellation: ActivityCancellationType
    ) -> None:
        self._instance = instance
        self._type = cancellation
        self._cancel_asked = False
        self.scheduled_event_id = 0
        self.future: asyncio.Future[list[Payload]] = instance.loop.create_future()
        self.pending = instance.command(command, self._recorded)

    def _recorded(self, event: ev.ActivityTaskScheduled) -> None:
        self.scheduled_event_id = event.event_id
        self._instance.activities[event.event_id] = self

    async def result(self) -> list[Payload]:
        """The encoded result. Raises ActivityError, or CancelledError if the wait was cancelled."""
        while True:
            try:
                payloads = await self.future
            except asyncio.CancelledError:
                if not self._keep_waiting():
                    raise
                self.future = self._instance.loop.create_future()
            else:
                return payloads

    def _keep_waiting(self) -> bool:
        """The waiting task was cancelled; do what was asked for. False to pass the cancellation on."""
        if self.future.done() and not self.future.cancelled():
            return False
        if not self.scheduled_event_id:
            self.pending.withdrawn = True
            return False
        if self._type is ActivityCancellationType.ABANDON:
            return False
        if not self._cancel_asked:
            self._cancel_asked = True
            self._instance.command(cmd.RequestCancelActivity(self.scheduled_event_id))
        return self._type is ActivityCancellationType.WAIT_CANCELLATION_COMPLETED

    def canceled(self, failure: BaseException) -> None:
        """The activity ended because it was cancelled."""
        if self.future.done():
            return
        if self._cancel_asked:
            # The task that waits was cancelled before; now that the activity has ended, the cancellation goes on.
            self._type = ActivityCancellationType.ABANDON
            self.future.cancel()
        else:
            self.future.set_exception(failure)


class Answerable:
    """A signal or a cancel request to another execution: done once that has it."""

    __slots__ = ("future",)

    def __init__(self, instance: Instance, command: cmd.SignalExternal | cmd.RequestCancelExternal) -> None:
        self.future: asyncio.Future[None] = instance.loop.create_future()
        pending = instance.command(command, lambda event: instance.awaiting.__setitem__(event.event_id, self))
        self.future.add_done_callback(
            lambda future: setattr(pending, "withdrawn", True) if future.cancelled() else None
        )


class ChildCall:
    """One child workflow: first it starts, later it ends."""

    __slots__ = (
        "_cancel_asked",
        "_instance",
        "_type",
        "initiated_event_id",
        "pending",
        "result_future",
        "run_id",
        "start_future",
        "workflow_id",
    )

    def __init__(
        self, instance: Instance, command: cmd.StartChildWorkflow, cancellation: ChildWorkflowCancellationType
    ) -> None:
        self._instance = instance
        self._type = cancellation
        self._cancel_asked = False
        self.workflow_id = command.workflow_id
        self.run_id: str | None = None
        self.initiated_event_id = 0
        self.start_future: asyncio.Future[None] = instance.loop.create_future()
        self.result_future: asyncio.Future[list[Payload]] = instance.loop.create_future()
        self.pending = instance.command(command, self._recorded)

    def _recorded(self, event: ev.StartChildWorkflowExecutionInitiated) -> None:
        self.initiated_event_id = event.event_id
        self._instance.children[event.event_id] = self

    async def started(self) -> None:
        """Wait until the child has started. A child whose command was not sent yet is taken back when cancelled."""
        while True:
            try:
                await self.start_future
            except asyncio.CancelledError:
                decided = self.start_future.done() and not self.start_future.cancelled()
                if decided and self.start_future.exception() is not None:
                    raise
                if not self.initiated_event_id:
                    self.pending.withdrawn = True
                    raise
                if not self._ask_cancel():
                    raise
                if decided:
                    return  # it has started together with the cancellation: who asks for its result learns of its end
                self.start_future = self._instance.loop.create_future()
            else:
                return

    async def result(self) -> list[Payload]:
        """The encoded result. Raises ChildWorkflowError, or CancelledError if the wait was cancelled."""
        while True:
            try:
                payloads = await self.result_future
            except asyncio.CancelledError:
                if self.result_future.done() and not self.result_future.cancelled():
                    raise
                if not self._ask_cancel():
                    raise
                self.result_future = self._instance.loop.create_future()
            else:
                return payloads

    def _ask_cancel(self) -> bool:
        """Pass the cancellation to the child as asked for. False if there is nothing to wait for."""
        if self._type is ChildWorkflowCancellationType.ABANDON:
            return False
        if not self._cancel_asked:
            self._cancel_asked = True
            self._instance.command(
                cmd.RequestCancelExternal(ev.ExecutionRef(self.workflow_id), child_workflow_only=True),
                lambda event: self._instance.awaiting.__setitem__(event.event_id, self),
            )
        return self._type in (
            ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
            ChildWorkflowCancellationType.WAIT_CANCELLATION_REQUESTED,
        )

    def cancel_delivered(self) -> None:
        """The child has the cancel request."""
        if self._type is ChildWorkflowCancellationType.WAIT_CANCELLATION_REQUESTED:
            self._give_up()

    def canceled(self, failure: BaseException) -> None:
        """The child ended because it was cancelled."""
        if self._cancel_asked:
            self._give_up()
        elif not self.result_future.done():
            self.result_future.set_exception(failure)

    def _give_up(self) -> None:
        self._type = ChildWorkflowCancellationType.ABANDON
        for future in (self.start_future, self.result_future):
            if not future.done():
                future.cancel()


class TimerCall:
    """One durable timer."""

    __slots__ = ("_fire", "_instance", "fired", "pending", "sent", "timer_id")

    def __init__(self, instance: Instance, timer_id: str, seconds: float, fire: Any, summary: str | None) -> None:
        self._instance = instance
        self._fire = fire
        self.timer_id = timer_id
        self.fired = False
        self.sent = False
        self.pending: Pending = instance.command(cmd.StartTimer(timer_id, seconds, summary), self._recorded)
        instance.timers[timer_id] = self

    def _recorded(self, event: ev.TimerStarted) -> None:
        self.sent = True

    def fire(self) -> None:
        self.fired = True
        self._fire()

    def cancel(self) -> None:
        if self.fired or self._instance.timers.pop(self.timer_id, None) is None:
            return
        if self.sent:
            self._instance.command(cmd.CancelTimer(self.timer_id))
        else:
            self.pending.withdrawn = True
