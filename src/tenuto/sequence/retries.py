"""Error strategies: what is tried again, how often, how long after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tenuto.sequence.errors import FatalError, RetryableError

__all__ = ["ErrorConfig", "RetryPolicy"]

STRATEGIES = ("default", "strict", "permissive")

#: Mistakes in the code or in the data: the next attempt would make them again.
_MISTAKES = (TypeError, ValueError, AttributeError, NameError, SyntaxError, PermissionError)
_MISTAKES_IN_CODE = (TypeError, AttributeError, NameError, SyntaxError)
_PASSING = (ConnectionError, TimeoutError)
#: Factor by which a delay of the default strategy varies to either side.
_JITTER = 0.2


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How one node of one run is tried.

    attempts: in total, at least 1. Delays are seconds. max_delay caps them all. use_fallback: whether the node's
    fallback value counts."""

    strategy: str = "default"
    attempts: int = 3
    base_delay: float = 1.0
    max_delay: float = 30.0
    use_fallback: bool = True

    def delay_after(self, error: Exception, attempt: int, random: Callable[[], float]) -> float | None:
        """Seconds to wait after the attempt number `attempt` (from 1) failed; None if it was the last."""
        if isinstance(error, RetryableError):
            attempts = self.attempts if error.max_retries is None else error.max_retries
            if attempt >= attempts:
                return None
            return self._delay(attempt, random) if error.retry_after is None else max(0.0, error.retry_after)
        if attempt >= self.attempts or not self._may_retry(error):
            return None
        return self._delay(attempt, random)

    def _may_retry(self, error: Exception) -> bool:
        if isinstance(error, FatalError):
            return False
        if self.strategy == "strict":
            return isinstance(error, _PASSING)
        return not isinstance(error, _MISTAKES_IN_CODE if self.strategy == "permissive" else _MISTAKES)

    def _delay(self, attempt: int, random: Callable[[], float]) -> float:
        if self.strategy == "strict":
            return 0.5
        if self.strategy == "permissive":
            return min(self.base_delay * attempt, self.max_delay)
        jitter = 1 - _JITTER + 2 * _JITTER * random()
        # Beyond 2^60 every delay is over its cap, and a larger power would be no float any more.
        return float(min(self.base_delay * 2 ** min(attempt - 1, 60) * jitter, self.max_delay))


@dataclass(frozen=True, slots=True)
class ErrorConfig:
    """`error_config` of a run, checked. `max_retries` is None if it was not given."""

    strategy: str = "default"
    max_retries: int | None = None
    base_delay: float = 1.0
    max_delay: float = 30.0

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> ErrorConfig:
        """From a user's dict; unknown keys are ignored. Raises ValueError for a value that makes no sense."""
        config = replace(cls(), **{key: given[key] for key in _KEYS if given.get(key) is not None})
        if config.strategy not in STRATEGIES:
            raise ValueError(f"error_config: strategy is one of {', '.join(STRATEGIES)}, not {config.strategy!r}")
        for key in ("base_delay", "max_delay"):
            value = getattr(config, key)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
                raise ValueError(f"error_config: {key} is a number of seconds, not {value!r}")
        if config.max_retries is not None:
            _check_attempts(config.max_retries, "error_config: max_retries")
        return config

    def policy(self, node_retries: int | None) -> RetryPolicy:
        """For a node, with the attempts it asks for itself."""
        given = self.max_retries if node_retries is None else _check_attempts(node_retries, "a node's max_retries")
        attempts = {"default": 3, "strict": 2, "permissive": 5}[self.strategy] if given is None else max(1, given)
        if self.strategy == "strict":
            attempts = min(2, attempts)
        return RetryPolicy(self.strategy, attempts, self.base_delay, self.max_delay, self.strategy != "strict")


_KEYS = ("strategy", "max_retries", "base_delay", "max_delay")


def _check_attempts(value: Any, what: str) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{what} is a number of attempts, 0 or more, not {value!r}")
    return value
