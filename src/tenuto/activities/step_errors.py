"""How steps fail: what their code raises to say how, what is recorded of it, and what comes out where the step is
awaited.

TenutoError
  +-- StepError                 a step failed with an error that is no builtin one; `name` and `message` tell
        +-- NonRetryableError   raised by a step: no further attempt
        +-- WorkflowTimeoutError (also TimeoutError)   an attempt, or the wait for an event, took too long
        +-- WorkflowInternalError   the process that ran an attempt ended before it did
        +-- WorkflowFatalError (also ValueError)   the step can't be done as it is written: a name, an option, a limit
"""

from __future__ import annotations

import builtins

from tenuto.converter import DataConverter
from tenuto.exceptions import ApplicationError, CancelledError, FailureError
from tenuto.exceptions import TimeoutError as TimeoutFailureError
from tenuto.failures import to_failure
from tenuto.model.errors import TenutoError
from tenuto.model.failures import ApplicationFailure, Failure
from tenuto.model.payloads import Payload


class StepError(TenutoError):
    """A step failed with an error that is no builtin one. `name` is that of its class, `message` what it said."""

    def __init__(self, message: str = "", name: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.name = name or type(self).__name__


class NonRetryableError(StepError):
    """Raise it in a step when another attempt would be of no use. `name` and `message` are kept."""


class WorkflowTimeoutError(StepError, TimeoutError):
    """An attempt of a step, or the wait for an event, took longer than it may."""


class WorkflowInternalError(StepError):
    """The process that ran an attempt ended before the attempt did."""


class WorkflowFatalError(StepError, ValueError):
    """The step can't be done as it is written: a wrong name or option, too many steps, a result that can't be kept.
    Such a step is not tried again."""


_OWN = {
    kind.__name__: kind for kind in (NonRetryableError, WorkflowTimeoutError, WorkflowInternalError, WorkflowFatalError)
}
#: Builtin exceptions that a message alone doesn't make, or that mean something to whoever awaits.
_NOT_REBUILT = (StopIteration, StopAsyncIteration, UnicodeError, BaseExceptionGroup)
_RECORD = "_tenuto_failure"


def is_final(error: BaseException) -> bool:
    """Is another attempt of no use? Known by the class's name, so that libraries need not import ours."""
    if isinstance(error, ApplicationError):
        return error.non_retryable
    return isinstance(error, WorkflowFatalError) or any(
        kind.__name__ == NonRetryableError.__name__ for kind in type(error).__mro__
    )


def name_of(error: BaseException) -> str:
    """What the error is called in a status: the name that it says, or else that of its class."""
    if isinstance(error, ApplicationError) and error.type:
        return error.type
    name = getattr(error, "name", None) if is_final(error) or isinstance(error, StepError) else None
    return name if isinstance(name, str) and name else type(error).__name__


def message_of(error: BaseException) -> str:
    """What the error says, without its name."""
    if isinstance(error, FailureError | StepError):
        return str(error.message)
    if isinstance(error, KeyError) and len(error.args) == 1:
        return str(error.args[0])
    return to_failure(error, DataConverter.default).message


def record_of(error: BaseException, *, final: bool = False, delay: float | None = None) -> Failure:
    """What is recorded of an error that a step's or an instance's code raised. `delay`: seconds to the next attempt."""
    final = final or is_final(error)
    own = next((kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _OWN), None)
    details = [DataConverter.default.encode(own)] if own else []
    info = ApplicationFailure(name_of(error), final, details, next_retry_delay=delay)
    made = to_failure(error, DataConverter.default)
    cause = getattr(error, _RECORD, None) or made.cause
    return Failure(message_of(error), info, cause, made.stack_trace)


def raised_from(cause: BaseException | None, step: str) -> Exception:
    """What comes out where a failed step is awaited: the same when it fails and whenever it is replayed. `cause` is
    what the history says."""
    if isinstance(cause, ApplicationError):
        rebuilt = _rebuilt(cause)
    elif isinstance(cause, TimeoutFailureError):
        rebuilt = WorkflowInternalError(cause.message)
    elif isinstance(cause, CancelledError):
        rebuilt = StepError(f"step {step!r} was cancelled", "CancelledError")
    else:
        rebuilt = StepError(f"step {step!r} failed: {cause}")
    if isinstance(cause, FailureError):
        setattr(rebuilt, _RECORD, cause.failure)
    return rebuilt


def _rebuilt(error: ApplicationError) -> Exception:
    own = _OWN.get(error.details[0]) if error.details and isinstance(error.details[0], str) else None
    name = error.type or ""
    if own is not None:
        return own(error.message, name)
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, _NOT_REBUILT):
        return kind(error.message)
    return StepError(error.message, name)


def closing_failure(error: BaseException, details: list[Payload]) -> Failure:
    """With what an instance ends whose code raised `error`: the error's name and message, and `details`."""
    record = record_of(error)
    info = ApplicationFailure(name_of(error), True, details)
    return Failure(record.message, info, record.cause, record.stack_trace)
