"""Commands against recorded events: does the code still do what it did?

Code that is replayed gives its commands again. Each recorded command event must find the next of them, of its kind and
with its identity. Arguments, time limits and retry policies are not compared, so these may be changed safely.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from operator import attrgetter
from types import FrameType
from typing import Any

from tenuto.model import commands as cmd
from tenuto.model import events as ev

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_LOOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "loop.py")
_ASYNCIO = os.path.dirname(os.path.abspath(sys.modules["asyncio"].__file__ or "")) + os.sep


class NondeterminismError(Exception):
    """The code no longer does what the history says that it did. The message shows the difference.

    The execution is not lost: it stays as it is and goes on when the code is put right."""


class Pending:
    """A command that code has given: sent to the engine, not yet seen in the history.

    `recorded` is called with its event; `withdrawn` commands never leave the task that they were given in."""

    __slots__ = ("command", "origin", "recorded", "withdrawn")

    def __init__(self, command: cmd.Command, recorded: Callable[[Any], None] | None = None) -> None:
        self.command = command
        self.recorded = recorded
        self.withdrawn = False
        #: Where in the code it comes from, as a piece of a sentence.
        self.origin = ""


#: Event type -> (command type, (attribute in the event, attribute in the command) pairs that must be equal).
_IDENTITY: dict[type[ev.Event], tuple[type, tuple[tuple[str, str], ...]]] = {
    ev.ActivityTaskScheduled: (
        cmd.ScheduleActivity,
        (("activity_id", "activity_id"), ("activity_type", "activity_type")),
    ),
    ev.ActivityTaskCancelRequested: (
        cmd.RequestCancelActivity,
        (("scheduled_event_id", "scheduled_event_id"),),
    ),
    ev.TimerStarted: (cmd.StartTimer, (("timer_id", "timer_id"),)),
    ev.TimerCanceled: (cmd.CancelTimer, (("timer_id", "timer_id"),)),
    ev.StartChildWorkflowExecutionInitiated: (
        cmd.StartChildWorkflow,
        (("workflow_id", "workflow_id"), ("workflow_type", "workflow_type")),
    ),
    ev.SignalExternalWorkflowExecutionInitiated: (
        cmd.SignalExternal,
        (("target", "target"), ("signal_name", "signal_name")),
    ),
    ev.RequestCancelExternalWorkflowExecutionInitiated: (
        cmd.RequestCancelExternal,
        (("target", "target"),),
    ),
    ev.WorkflowExecutionUpdateAccepted: (cmd.AcceptUpdate, (("update_id", "update_id"),)),
    ev.WorkflowExecutionUpdateCompleted: (cmd.CompleteUpdate, (("update_id", "update_id"),)),
    ev.WorkflowExecutionCompleted: (cmd.CompleteWorkflow, ()),
    ev.WorkflowExecutionFailed: (cmd.FailWorkflow, ()),
    ev.WorkflowExecutionCanceled: (cmd.CancelWorkflow, ()),
    ev.WorkflowExecutionContinuedAsNew: (cmd.ContinueAsNew, ()),
}


def _values(names: list[str]) -> Callable[[Any], Any]:
    return attrgetter(*names) if names else lambda thing: None


#: Event or command type -> what is equal in both, if they belong together.
_RECORDED = {event: (kind, _values([recorded for recorded, _ in pairs])) for event, (kind, pairs) in _IDENTITY.items()}
_MADE: dict[type, Callable[[Any], Any]] = {
    kind: _values([made for _, made in pairs]) for kind, pairs in _IDENTITY.values()
}

Identity = tuple[type, Any]


def identity_of_event(event: ev.AnyEvent) -> Identity:
    """What tells a recorded command from others: the command's type and what it is about."""
    kind, values = _RECORDED[type(event)]
    return kind, values(event)


def identity_of_command(command: cmd.Command) -> Identity:
    """As `identity_of_event`, of a command that code has given."""
    kind = type(command)
    values = _MADE.get(kind)
    return kind, values(command) if values else None


def match(event: ev.AnyEvent, pending: Pending | None, waits_at: Callable[[], str | None]) -> None:
    """Raise NondeterminismError unless `pending` is the command that `event` recorded. `waits_at` tells where the run
    method has come to."""
    kind, identity = _IDENTITY[type(event)]
    if pending is None:
        line = waits_at()
        raise NondeterminismError(
            f"recorded event {event.event_id} is {describe_event(event)}; the code made no such command"
            + (f", it waits at {line}" if line else "")
        )
    command = pending.command
    if type(command) is kind and all(getattr(event, recorded) == getattr(command, made) for recorded, made in identity):
        return
    raise NondeterminismError(
        f"recorded event {event.event_id} is {describe_event(event)}; "
        f"the code made {describe_command(command)} instead{pending.origin}"
    )


def unrecorded(pending: Pending, event: ev.AnyEvent) -> NondeterminismError:
    """The code gave a command that the history does not have."""
    return NondeterminismError(
        f"the code made {describe_command(pending.command)}{pending.origin}; "
        f"recorded event {event.event_id} is {describe_event(event)} instead"
    )


def calling_line() -> str | None:
    """Where in the user's code the current command comes from, as `file:line in function`; None if no code of the user
    is at work, as in `asyncio.create_task(asyncio.sleep(1))`."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_name in ("drain", "enter") and code.co_filename == _LOOP:
            return None  # what lies above runs the workflow, and is none of its code
        if not code.co_filename.startswith((_OURS, _ASYNCIO)):
            return f"{code.co_filename}:{frame.f_lineno} in {code.co_name}"
        frame = frame.f_back
    return None


def origin(waits_at: Callable[[], str | None]) -> str:
    """Where the command that is being made comes from: its own line, or else, of a task without a line of the
    user's, the line that the run method waits at."""
    line = calling_line()
    if line is not None:
        return f" at {line}"
    line = waits_at()
    return f" while the run method waits at {line}" if line else ""


def waiting_line(coroutine: Any) -> str | None:
    """Where in the user's code a suspended coroutine waits, as `file:line in function`."""
    line = None
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None)
        if frame is not None and not frame.f_code.co_filename.startswith((_OURS, _ASYNCIO)):
            line = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
        coroutine = getattr(coroutine, "cr_await", None)
    return line


def describe_event(event: ev.AnyEvent) -> str:
    return _describe(type(event).__name__, event)


def describe_command(command: cmd.Command) -> str:
    return _describe(type(command).__name__, command)


_TELLING = (
    "activity_type",
    "activity_id",
    "timer_id",
    "start_to_fire_timeout",
    "workflow_type",
    "workflow_id",
    "signal_name",
    "target",
    "update_name",
    "update_id",
    "scheduled_event_id",
)


def _describe(name: str, thing: Any) -> str:
    details = []
    for field in _TELLING:
        value = getattr(thing, field, None)
        if isinstance(value, ev.ExecutionRef):
            details.append(f"{field}={value.workflow_id!r}")
        elif value is not None:
            details.append(f"{field}={value!r}")
    return f"{name}({', '.join(details)})"
