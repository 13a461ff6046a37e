"""How work fails: the errors that are recorded, and that workflows and clients receive.

TenutoError (tenuto.model.errors)
  +-- FailureError                      base of what can be recorded as a failure
        +-- ApplicationError            raised by user code, or standing for what it raised
        +-- CancelledError              the work was cancelled (not asyncio.CancelledError)
        +-- TerminatedError             the execution was terminated from outside
        +-- TimeoutError                a time limit ran out
        +-- ActivityError               an activity ended without a result; see its cause
        +-- ChildWorkflowError          a child ended without a result; see its cause
        +-- WorkflowAlreadyStartedError the id is taken

A workflow that raises one of these fails; any other exception is a bug in its code, which is
retried until the code is mended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from tenuto.model.errors import TenutoError
from tenuto.model.failures import Failure
from tenuto.model.policies import RetryState, TimeoutType

__all__ = [
    "ActivityError",
    "ApplicationError",
    "CancelledError",
    "ChildWorkflowError",
    "FailureError",
    "RetryState",
    "TenutoError",
    "TerminatedError",
    "TimeoutError",
    "TimeoutType",
    "WorkflowAlreadyStartedError",
    "is_cancelled_exception",
]


class FailureError(TenutoError):
    """Base of the errors that are recorded as failures."""

    def __init__(self, message: str, *, failure: Failure | None = None) -> None:
        super().__init__(message)
        self._message = message
        self._failure = failure

    @property
    def message(self) -> str:
        """What went wrong, without the type."""
        return self._message

    @property
    def failure(self) -> Failure | None:
        """The record this error was read from, with the stack trace of where it was raised."""
        return self._failure

    @property
    def cause(self) -> BaseException | None:
        """What lies beneath: the same as `__cause__`."""
        return self.__cause__

    def __reduce__(self) -> tuple[Any, ...]:
        # Constructors with named arguments can't be called again with `args` alone.
        return _unpickled, (type(self), self.args, self.__dict__)


def _unpickled(kind: type[FailureError], args: tuple[Any, ...], state: dict[str, Any]) -> FailureError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ApplicationError(FailureError):
    """An error of the application. Raise it to say how a failure is to be treated.

    `type` is the name that retry policies compare (a subclass without one goes by its class
    name), `non_retryable` forbids further attempts whatever the policy says, `next_retry_delay`
    replaces the policy's wait for the next one. `details` are values stored with the failure.
    """

    def __init__(
        self,
        message: str,
        *details: Any,
        type: str | None = None,
        non_retryable: bool = False,
        next_retry_delay: timedelta | None = None,
        failure: Failure | None = None,
    ) -> None:
        super().__init__(message, failure=failure)
        if type:
            self.args = (f"{type}: {message}",)
        self._details = details
        self._type = type
        self._non_retryable = non_retryable
        self._next_retry_delay = next_retry_delay

    @property
    def details(self) -> Sequence[Any]:
        """The values stored with the failure; read from a record they are plain builtins, or a
        `RawValue` where one can't be decoded."""
        return self._details

    @property
    def type(self) -> str | None:
        """The name that `RetryPolicy.non_retryable_error_types` is compared with."""
        return self._type

    @property
    def non_retryable(self) -> bool:
        """True if no further attempt may be made."""
        return self._non_retryable

    @property
    def next_retry_delay(self) -> timedelta | None:
        """The wait before the next attempt; None leaves it to the retry policy."""
        return self._next_retry_delay


class CancelledError(FailureError):
    """The work was cancelled. Not `asyncio.CancelledError`, which is how code is told to stop."""

    def __init__(self, message: str = "Cancelled", *details: Any, failure: Failure | None = None) -> None:
        super().__init__(message, failure=failure)
        self._details = details

    @property
    def details(self) -> Sequence[Any]:
        """What the cancelled work left behind."""
        return self._details


class TerminatedError(FailureError):
    """The execution was terminated from outside."""

    def __init__(self, message: str, *details: Any, failure: Failure | None = None) -> None:
        super().__init__(message, failure=failure)
        self._details = details

    @property
    def details(self) -> Sequence[Any]:
        """What was given to the termination."""
        return self._details


class TimeoutError(FailureError):  # the name of Temporal's, on purpose
    """A time limit ran out. Not the builtin `TimeoutError`."""

    def __init__(
        self,
        message: str,
        *,
        type: TimeoutType | None,
        last_heartbeat_details: Sequence[Any] = (),
        failure: Failure | None = None,
    ) -> None:
        super().__init__(message, failure=failure)
        self._type = type
        self._last_heartbeat_details = last_heartbeat_details

    @property
    def type(self) -> TimeoutType | None:
        """Which of the limits it was."""
        return self._type

    @property
    def last_heartbeat_details(self) -> Sequence[Any]:
        """The details of the last heartbeat that was recorded."""
        return self._last_heartbeat_details


class ActivityError(FailureError):
    """An activity ended without a result; `cause` says why, `retry_state` why no attempt follows.

    `started_event_id` is 0 if no attempt was started.
    """

    def __init__(
        self,
        message: str,
        *,
        scheduled_event_id: int,
        started_event_id: int,
        identity: str,
        activity_type: str,
        activity_id: str,
        retry_state: RetryState,
        failure: Failure | None = None,
    ) -> None:
        super().__init__(message, failure=failure)
        self.scheduled_event_id = scheduled_event_id
        self.started_event_id = started_event_id
        self.identity = identity
        self.activity_type = activity_type
        self.activity_id = activity_id
        self.retry_state = retry_state


class ChildWorkflowError(FailureError):
    """A child ended without a result; `cause` says why, `retry_state` why no run follows."""

    def __init__(
        self,
        message: str,
        *,
        namespace: str,
        workflow_id: str,
        run_id: str,
        workflow_type: str,
        initiated_event_id: int,
        started_event_id: int,
        retry_state: RetryState,
        failure: Failure | None = None,
    ) -> None:
        super().__init__(message, failure=failure)
        self.namespace = namespace
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.workflow_type = workflow_type
        self.initiated_event_id = initiated_event_id
        self.started_event_id = started_event_id
        self.retry_state = retry_state


class WorkflowAlreadyStartedError(FailureError):
    """The id belongs to an execution that forbids another one; `run_id` is its, where known."""

    def __init__(self, workflow_id: str, workflow_type: str, *, run_id: str | None = None) -> None:
        super().__init__(f"Workflow execution {workflow_id!r} ({workflow_type}) is already started")
        self.workflow_id = workflow_id
        self.workflow_type = workflow_type
        self.run_id = run_id


def is_cancelled_exception(exc: BaseException) -> bool:
    """True if `exc` is a cancellation, or an activity or child that ended because of one."""
    here: BaseException | None = exc
    while isinstance(here, ActivityError | ChildWorkflowError):
        here = here.cause
    return isinstance(here, asyncio.CancelledError | CancelledError)
