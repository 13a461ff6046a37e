"""Policies as they are stored: plain numbers, durations in seconds."""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct


class Retry(Struct, array_like=True, frozen=True, gc=False):
    """When to try again. `maximum_attempts` 0 means without limit; intervals are seconds."""

    initial_interval: float = 1.0
    backoff_coefficient: float = 2.0
    maximum_interval: float | None = None
    maximum_attempts: int = 0
    non_retryable_error_types: tuple[str, ...] = ()

    def delay_after(self, attempt: int) -> float:
        """Seconds to wait after the failure of `attempt` (1-based)."""
        ceiling = self.maximum_interval
        if ceiling is None:
            ceiling = 100 * self.initial_interval
        try:
            delay = self.initial_interval * self.backoff_coefficient ** (attempt - 1)
        except OverflowError:
            return ceiling
        return min(delay, ceiling)


class RetryState(IntEnum):
    """Why no further attempt was made (or that one will be)."""

    IN_PROGRESS = 1
    NON_RETRYABLE_FAILURE = 2
    TIMEOUT = 3
    MAXIMUM_ATTEMPTS_REACHED = 4
    RETRY_POLICY_NOT_SET = 5
    INTERNAL_SERVER_ERROR = 6
    CANCEL_REQUESTED = 7


class TimeoutType(IntEnum):
    """Which of the time limits ran out."""

    START_TO_CLOSE = 1
    SCHEDULE_TO_START = 2
    SCHEDULE_TO_CLOSE = 3
    HEARTBEAT = 4


class ParentClosePolicy(IntEnum):
    """What happens to a child when its parent's run closes."""

    UNSPECIFIED = 0
    TERMINATE = 1
    ABANDON = 2
    REQUEST_CANCEL = 3


class WorkflowIDReusePolicy(IntEnum):
    """May the id of a *closed* execution be used again?"""

    ALLOW_DUPLICATE = 1
    ALLOW_DUPLICATE_FAILED_ONLY = 2
    REJECT_DUPLICATE = 3
    TERMINATE_IF_RUNNING = 4


class WorkflowIDConflictPolicy(IntEnum):
    """What a start does when the id belongs to a *running* execution."""

    UNSPECIFIED = 0
    FAIL = 1
    USE_EXISTING = 2
    TERMINATE_EXISTING = 3


class ExecutionStatus(IntEnum):
    """Where a run stands."""

    RUNNING = 1
    COMPLETED = 2
    FAILED = 3
    CANCELED = 4
    TERMINATED = 5
    CONTINUED_AS_NEW = 6
    TIMED_OUT = 7
