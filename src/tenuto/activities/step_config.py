"""The options of a step: how often it is tried again, after which delays, and how long an attempt may take.

What is not given has a default: 5 retries after the first attempt, exponential delays from 10 seconds on, 10 minutes an
attempt. The options are recorded when the step begins and hold for it to its end, whatever the code says later.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from msgspec import UNSET, Struct, UnsetType

from tenuto.activities.step_errors import WorkflowFatalError
from tenuto.durations import LONGEST, seconds_in
from tenuto.model.policies import Retry

Backoff = Literal["constant", "linear", "exponential"]

#: Seconds by which the engine waits longer than an attempt may take, before it takes its process for hung.
BACKSTOP = 60.0
#: Seconds that the engine waits for an attempt without a limit of its own; only so that nothing hangs for ever.
UNLIMITED = 7 * 86_400.0


class Retries(Struct, frozen=True, kw_only=True):
    """`limit` counts the retries after the first attempt, None is without limit. `delay` is in seconds, None if a
    function says it."""

    limit: int | None = 5
    delay: float | None = 10.0
    backoff: Backoff = "exponential"


class StepConfig(Struct, frozen=True, kw_only=True):
    """Options of one step. `timeout` is in seconds and holds for each attempt; None is without a limit but the engine's
    (`UNLIMITED`). A `sensitive` output is not shown."""

    retries: Retries = Retries()
    timeout: float | None = 600.0
    sensitive: Literal["output"] | UnsetType = UNSET

    def delay_after(self, attempt: int) -> float:
        """Seconds between the failure of `attempt` (from 1) and the next, for delays that no function says."""
        delay = self.retries.delay or 0.0
        try:
            factor = {"constant": 1.0, "linear": float(attempt), "exponential": 2.0 ** (attempt - 1)}
            return min(delay * factor[self.retries.backoff], LONGEST)
        except OverflowError:
            return LONGEST if delay else 0.0

    @property
    def backstop(self) -> float:
        """Seconds after which the engine takes an attempt for lost."""
        return UNLIMITED if self.timeout is None else min(self.timeout + BACKSTOP, LONGEST)

    def retry_policy(self) -> Retry:
        """What the engine is to know. The delays are told with each failure; these here are for attempts that get lost
        together with their process."""
        attempts = 0 if self.retries.limit is None else self.retries.limit + 1
        coefficient = 2.0 if self.retries.backoff == "exponential" else 1.0
        return Retry(self.retries.delay or 0.0, coefficient, LONGEST, attempts)


DelayFunction = Callable[..., Any]

_OPTIONS = ("retries", "timeout", "sensitive")
_RETRY_OPTIONS = ("limit", "delay", "backoff")


def parse(step: str, given: Mapping[str, Any] | StepConfig | None) -> tuple[StepConfig, DelayFunction | None]:
    """The options of `step` as the user wrote them, and the function that says its delays, if one does.

    Raises WorkflowFatalError for what can't be understood."""
    if given is None:
        return StepConfig(), None
    if isinstance(given, StepConfig):
        return given, None
    options = _mapping(step, "its options", given, _OPTIONS)
    retries = _mapping(step, "retries", options.get("retries") or {}, _RETRY_OPTIONS)
    delay = retries.get("delay", 10.0)
    function = delay if callable(delay) else None
    timeout = _seconds(step, "timeout", options.get("timeout", 600.0))
    if timeout <= 0:
        raise WorkflowFatalError(f"step {step!r}: timeout must be more than nothing, not {options['timeout']!r}")
    config = StepConfig(
        retries=Retries(
            limit=_limit(step, retries.get("limit", 5)),
            delay=None if function else _seconds(step, "retries.delay", delay),
            backoff=_backoff(step, retries.get("backoff", "exponential")),
        ),
        timeout=timeout,
        sensitive=_sensitive(step, options.get("sensitive")),
    )
    return config, function


def _mapping(step: str, what: str, given: Any, known: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise WorkflowFatalError(f"step {step!r}: {what} must be a mapping, not {given!r}")
    unknown = [str(key) for key in given if key not in known]
    if unknown:
        raise WorkflowFatalError(
            f"step {step!r}: {what} can't have {', '.join(map(repr, unknown))}; known are {', '.join(known)}"
        )
    return given


def _limit(step: str, limit: Any) -> int | None:
    if limit is None or limit == math.inf:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise WorkflowFatalError(
            f"step {step!r}: retries.limit is the number of retries after the first attempt, 0 or more or math.inf, "
            f"not {limit!r}"
        )
    return limit


def _backoff(step: str, backoff: Any) -> Any:
    if backoff not in get_args(Backoff):
        raise WorkflowFatalError(
            f"step {step!r}: retries.backoff is one of {', '.join(get_args(Backoff))}, not {backoff!r}"
        )
    return backoff


def _sensitive(step: str, sensitive: Any) -> Literal["output"] | UnsetType:
    if sensitive not in (None, "output"):
        raise WorkflowFatalError(f"step {step!r}: sensitive can only be 'output', not {sensitive!r}")
    return "output" if sensitive else UNSET


def _seconds(step: str, what: str, duration: Any) -> float:
    try:
        return seconds_in(duration)
    except (TypeError, ValueError) as error:
        raise WorkflowFatalError(f"step {step!r}: {what}: {error}") from None
