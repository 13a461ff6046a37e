"""What the other doors share: retry policies, policies for ids, raw values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum

from tenuto.model.payloads import Payload
from tenuto.model.policies import Retry, WorkflowIDConflictPolicy, WorkflowIDReusePolicy

__all__ = [
    "QueryRejectCondition",
    "RawValue",
    "RetryPolicy",
    "WorkflowIDConflictPolicy",
    "WorkflowIDReusePolicy",
]


class QueryRejectCondition(IntEnum):
    """For which executions a query is rejected instead of answered."""

    NONE = 1
    NOT_OPEN = 2
    """Reject if the run is closed."""
    NOT_COMPLETED_CLEANLY = 3
    """Reject if the run is closed in any way but completed."""


@dataclass(frozen=True)
class RawValue:
    """A value that stays encoded: given as an argument or result it is stored as it is, and
    where it is the type hint the payload is handed over undecoded."""

    payload: Payload


@dataclass(frozen=True)
class RetryPolicy:
    """When failed work is tried again.

    The wait after attempt n is `initial_interval * backoff_coefficient ** (n - 1)`, at most
    `maximum_interval`. Raises ValueError if a field is out of range (with `maximum_attempts=1`
    the intervals are never used and not checked), TypeError if it is not of its type.
    """

    initial_interval: timedelta = timedelta(seconds=1)
    """The wait after the first attempt; zero or more."""
    backoff_coefficient: float = 2.0
    """What the wait is multiplied with after each attempt; 1 or more."""
    maximum_interval: timedelta | None = None
    """The longest wait; at least `initial_interval`. None means 100 times `initial_interval`."""
    maximum_attempts: int = 0
    """How often to try in all; 0 means without limit, 1 means no retry."""
    non_retryable_error_types: Sequence[str] | None = None
    """Names of errors that are never retried: the class name, or `ApplicationError.type`."""
    _model: Retry = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = _names(self.non_retryable_error_types)
        object.__setattr__(self, "non_retryable_error_types", names)
        initial = _seconds("initial_interval", self.initial_interval)
        maximum = self.maximum_interval
        longest = None if maximum is None else _seconds("maximum_interval", maximum)
        if self.maximum_attempts < 0:
            raise ValueError(f"maximum_attempts must be 0 or more, not {self.maximum_attempts}")
        if self.maximum_attempts != 1:
            self._check_intervals()
        model = Retry(
            initial_interval=initial,
            backoff_coefficient=float(self.backoff_coefficient),
            maximum_interval=longest,
            maximum_attempts=self.maximum_attempts,
            non_retryable_error_types=names or (),
        )
        object.__setattr__(self, "_model", model)

    def _check_intervals(self) -> None:
        if self.initial_interval < timedelta():
            raise ValueError(f"initial_interval must not be negative, not {self.initial_interval}")
        if not (self.backoff_coefficient >= 1 and math.isfinite(self.backoff_coefficient)):
            raise ValueError(f"backoff_coefficient must be 1 or more, not {self.backoff_coefficient}")
        if self.maximum_interval is not None and self.maximum_interval < self.initial_interval:
            raise ValueError(
                f"maximum_interval must not be less than initial_interval "
                f"({self.initial_interval}), not {self.maximum_interval}"
            )

    def to_model(self) -> Retry:
        """The policy as it is stored; made once, so this costs nothing."""
        return self._model

    @classmethod
    def from_model(cls, model: Retry) -> RetryPolicy:
        """The policy that was stored as `model`."""
        longest = model.maximum_interval
        return cls(
            initial_interval=timedelta(seconds=model.initial_interval),
            backoff_coefficient=model.backoff_coefficient,
            maximum_interval=None if longest is None else timedelta(seconds=longest),
            maximum_attempts=model.maximum_attempts,
            non_retryable_error_types=model.non_retryable_error_types or None,
        )


def _seconds(name: str, value: timedelta) -> float:
    if not isinstance(value, timedelta):
        raise TypeError(f"{name} must be a timedelta, not {value!r}")
    return value.total_seconds()


def _names(given: Sequence[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    names = tuple(given)
    if isinstance(given, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"non_retryable_error_types must be a list of names such as ['ValueError'], not {given!r}")
    return names
