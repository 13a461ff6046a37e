"""What a sequence itself reports. An error that a node raises reaches the caller as it is.

Exception
└─ WorkflowError
   ├─ RetryableError                raised by a node: try me again
   ├─ FatalError                    raised by a node: don't
   │  └─ CircuitOpenError           the node's circuit is open, it was not called
   ├─ ParallelExecutionError        a branch of a block failed; also of the class of the branch's own error
   ├─ ParallelTimeoutError          a block took too long; also a TimeoutError
   ├─ MaxIterationsExceededError    a decision went back more often than it may
   ├─ MaxStepsExceededError         a run takes more steps than it may
   ├─ NodeNotFoundError             a node's output was asked for, which there is not; also a KeyError
   └─ WorkflowStoppedException      the controller's stop() was called
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "CircuitOpenError",
    "FatalError",
    "MaxIterationsExceededError",
    "MaxStepsExceededError",
    "NodeNotFoundError",
    "ParallelExecutionError",
    "ParallelTimeoutError",
    "RetryableError",
    "WorkflowError",
    "WorkflowStoppedException",
]


class WorkflowError(Exception):
    """Base of what a sequence reports. `context` tells more about the place, as a dict."""

    def __init__(self, message: str = "", context: Mapping[str, Any] | None = None) -> None:
        Exception.__init__(self, message)
        self.message = message
        self.context = dict(context or {})

    def __str__(self) -> str:
        return self.message


class RetryableError(WorkflowError):
    """Raise it in a node to have it tried again, whatever the strategy says about this kind of error.

    retry_after: seconds to wait before the next attempt, instead of the strategy's delay.
    max_retries: attempts in total, instead of the strategy's."""

    def __init__(
        self,
        message: str = "",
        retry_after: float | None = None,
        max_retries: int | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, context)
        self.retry_after = retry_after
        self.max_retries = max_retries


class FatalError(WorkflowError):
    """Raise it in a node to fail at once: no further attempt is made."""


class CircuitOpenError(FatalError):
    """The node failed too often in a row; until its circuit closes again it is not called."""


class ParallelExecutionError(WorkflowError):
    """A branch of a parallel block failed; the others were allowed to finish.

    errors: the failed branches' errors by branch name. results: the other branches' results by branch name."""

    def __init__(
        self, message: str = "", errors: Mapping[str, Exception] | None = None, results: Mapping[str, Any] | None = None
    ) -> None:
        WorkflowError.__init__(self, message)
        self.errors = dict(errors or {})
        self.results = dict(results or {})

    def __reduce__(self) -> tuple[Any, ...]:
        # Its class may have been made for the occasion, which pickle can't find by name.
        return ParallelExecutionError, (self.message, self.errors, self.results)


class ParallelTimeoutError(WorkflowError, TimeoutError):
    """A parallel block did not finish in its time. `results` has what was finished, by branch name."""

    def __init__(self, message: str = "", results: Mapping[str, Any] | None = None) -> None:
        WorkflowError.__init__(self, message)
        self.results = dict(results or {})


class MaxIterationsExceededError(WorkflowError):
    """A decision sent the run back more often than it may."""


class MaxStepsExceededError(WorkflowError):
    """A run took more steps than it may: most likely nodes were linked to a circle by hand."""


class NodeNotFoundError(WorkflowError, KeyError):
    """No output of this node is on record in this run."""


class WorkflowStoppedException(WorkflowError):
    """The run was stopped by `controller.stop()`; `execute` returns None then."""


def branch_error(branch: str, errors: Mapping[str, Exception], results: Mapping[str, Any]) -> ParallelExecutionError:
    """The error of a block whose `branch` failed, if possible also an instance of that branch's own error's class."""
    cause = errors[branch]
    message = f"Branch {branch!r} failed in parallel execution: {cause}"
    kind = type(cause)
    error = ParallelExecutionError(message, errors, results)
    if not isinstance(cause, ParallelExecutionError | ExceptionGroup):
        try:
            both = type("ParallelExecutionError", (ParallelExecutionError, kind), {"__module__": __name__})
            error = both(message, errors, results)
        except Exception:  # noqa: BLE001, S110 - the class, which may do anything, can't be a base beside ours
            pass
    error.__cause__ = cause
    return error
