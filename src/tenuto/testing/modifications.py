"""What a test changes of the steps of one instance."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import Any

from msgspec import Struct

__all__ = ["Modifier", "StepSelector"]

StepSelector = str | tuple[str, int] | Mapping[str, Any]
"""A step, sleep or wait: its name, `(name, count)` or `{"name": ..., "index": ...}`. The count says the how-manieth of
its name it is, 1 unless given."""

Key = tuple[str, int]


class Failing(Struct, frozen=True):
    """How the attempts up to `last` fail that no entry before it covers; all of them if `last` is None. Without an
    error they time out."""

    last: int | None
    error: Exception | None


class Done:
    """Nothing is left to be done; may be awaited."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


_DONE = Done()


class Modifier:
    """Changes what steps, sleeps and waits of an instance do. What they do goes on record as if they had done it by
    themselves, with its attempts. Steps that are over stay as they are.

    The methods do it at once; they may be awaited nevertheless, as elsewhere in this notation."""

    def __init__(self) -> None:
        #: All sleeps and delays (None), or some of them.
        self._sleeps: set[Key] | None = set()
        self._delays: set[Key] | None = set()
        self._results: dict[Key, Any] = {}
        self._failing: dict[Key, list[Failing]] = {}
        self._late_events: set[Key] = set()
        #: Events that have not been sent yet, as type and payload.
        self.events: list[tuple[str, Any]] = []

    # -- for tests -----------------------------------------------------------------------------------------------------

    def disable_sleeps(self, steps: Iterable[StepSelector] | None = None) -> Done:
        """These sleeps, or all, end at once."""
        self._sleeps = _added(self._sleeps, steps)
        return _DONE

    def disable_retry_delays(self, steps: Iterable[StepSelector] | None = None) -> Done:
        """The next attempts of these steps, or of all, come at once."""
        self._delays = _added(self._delays, steps)
        return _DONE

    def mock_step_result(self, step: StepSelector, result: Any) -> Done:
        """The step gives `result`, and its code does not run; after the attempts that `mock_step_error` or
        `force_step_timeout` let fail. Raises ValueError if it has a result already."""
        key = key_of(step)
        if key in self._results:
            raise ValueError(f"step {_shown(key)} has a mocked result already")
        if key in self._failing and self._failing[key][-1].last is None:
            raise ValueError(f"step {_shown(key)} fails in every attempt, so it can't have a result")
        self._results[key] = result
        return _DONE

    def mock_step_error(self, step: StepSelector, error: Exception, times: int | None = None) -> Done:
        """The next `times` attempts of the step fail with `error`, or every attempt; its code does not run. Calls for
        one step add up: its first attempts fail as the first call says, those after them as the second says. Raises
        ValueError if the step has a mocked result, or fails in every attempt already."""
        return self._let_fail(step, error, times)

    def force_step_timeout(self, step: StepSelector, times: int | None = None) -> Done:
        """As `mock_step_error`: the attempts time out, at once."""
        return self._let_fail(step, None, times)

    def mock_event(self, type: str | Mapping[str, Any], payload: Any = None) -> Done:
        """Send the instance an event, as soon as there is one: `mock_event("approved", {...})` or
        `mock_event({"type": "approved", "payload": {...}})`."""
        event = type if isinstance(type, Mapping) else {"type": type, "payload": payload}
        self.events.append((event["type"], event.get("payload")))
        return _DONE

    def force_event_timeout(self, step: StepSelector) -> Done:
        """The wait for an event times out at once, whatever events there are."""
        self._late_events.add(key_of(step))
        return _DONE

    def _let_fail(self, step: StepSelector, error: Exception | None, times: int | None) -> Done:
        key = key_of(step)
        if times is not None and times < 1:
            raise ValueError(f"times is a number of attempts, 1 or more, not {times}")
        if key in self._results:
            raise ValueError(f"step {_shown(key)} has a mocked result; say how it fails before that")
        plan = self._failing.setdefault(key, [])
        before = plan[-1].last if plan else 0
        if before is None:
            raise ValueError(f"step {_shown(key)} fails in every attempt already")
        plan.append(Failing(None if times is None else before + times, error))
        return _DONE

    # -- for steps -----------------------------------------------------------------------------------------------------

    def failing(self, key: Key, attempt: int) -> Failing | None:
        """How this attempt fails; None if it doesn't."""
        for failing in self._failing.get(key, ()):
            if failing.last is None or attempt <= failing.last:
                return failing
        return None

    def result(self, key: Key) -> tuple[Any] | None:
        """What the step gives, in a tuple."""
        return (self._results[key],) if key in self._results else None

    def skips_sleep(self, key: Key) -> bool:
        return self._sleeps is None or key in self._sleeps

    def skips_delay(self, key: Key) -> bool:
        return self._delays is None or key in self._delays

    def loses_event(self, key: Key) -> bool:
        return key in self._late_events


def key_of(step: StepSelector) -> Key:
    """The name and the count. Raises ValueError for what selects no step."""
    name: Any = step
    count: Any = 1
    if isinstance(step, tuple) and len(step) == 2:
        name, count = step
    elif isinstance(step, Mapping):
        name, count = step.get("name"), step.get("index", 1)
    if not isinstance(name, str) or type(count) is not int or count < 1:
        raise ValueError(f"a step is a name, (name, count) or a mapping with name and index, not {step!r}")
    return name, count


def _added(keys: set[Key] | None, steps: Iterable[StepSelector] | None) -> set[Key] | None:
    return None if keys is None or steps is None else keys | {key_of(step) for step in steps}


def _shown(key: Key) -> str:
    return f"{key[0]!r}" if key[1] == 1 else f"{key[0]!r} ({key[1]})"
