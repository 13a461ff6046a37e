"""Mocks of activities: other functions under the names of the real ones.

charge = mock_activity("charge", error=BankDown(), times=2, result={"receipt": 7})
async with Worker(env.client, workflows=[Checkout], activities=[charge, ship]):
    ...
charge.assert_called_with("order-42", 100)
assert charge.call_count == 3
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from tenuto.activities.definition import DEFINITION, NO_OPTIONS, ActivityDefinition, resolve

__all__ = ["ActivityMock", "mock_activity"]


class ActivityMock:
    """Stands for an activity; give it to a worker instead. Every attempt is a call.

    - `calls` has the arguments of every call, the oldest first."""

    def __init__(self, name: str, answer: Callable[[int, tuple[Any, ...]], Any]) -> None:
        self.name = name
        self.calls: list[tuple[Any, ...]] = []
        self._answer = answer

    async def __call__(self, *args: Any) -> Any:
        self.calls.append(args)
        answer = self._answer(len(self.calls), args)
        return await answer if inspect.isawaitable(answer) else answer

    @property
    def call_count(self) -> int:
        """How often it was called."""
        return len(self.calls)

    def assert_called_with(self, *args: Any) -> None:
        """Was the latest call one with these arguments?"""
        self._assert(self.calls[-1:] == [args], f"was not called with {args} last")

    def assert_called_once_with(self, *args: Any) -> None:
        """Was there one call, with these arguments?"""
        self._assert(self.calls == [args], f"was not called once, with {args}")

    def assert_any_call(self, *args: Any) -> None:
        """Was there a call with these arguments?"""
        self._assert(args in self.calls, f"was never called with {args}")

    def assert_not_called(self) -> None:
        """Was there no call?"""
        self._assert(not self.calls, "was called")

    def _assert(self, holds: bool, complaint: str) -> None:
        if not holds:
            calls = ", ".join(str(call) for call in self.calls) or "none"
            raise AssertionError(f"activity {self.name!r} {complaint}; its calls: {calls}")


def mock_activity(
    activity: Callable[..., Any] | str,
    *,
    result: Any = None,
    error: BaseException | type[BaseException] | None = None,
    times: int | None = None,
    function: Callable[..., Any] | None = None,
) -> ActivityMock:
    """A mock of `activity`, which is the real one or just its name. With the real one, calls are checked against its
    arguments, which have the types that it declares.

    It raises `error`: the first `times` calls, or all of them. Other calls give `result`, or what `function` makes of
    the arguments, which may be sync or async. Raises ValueError for options that don't go together."""
    if times is not None and (error is None or times < 1):
        raise ValueError("times is how many calls raise the error: 1 or more, and only together with error")
    if function is not None and result is not None:
        raise ValueError("a mock has a result or a function that makes it, not both")
    real = resolve(activity)

    def answer(number: int, args: tuple[Any, ...]) -> Any:
        if error is not None and (times is None or number <= times):
            raise error
        return result if function is None else function(*args)

    mock = ActivityMock(real.name, answer)
    definition = ActivityDefinition(real.name, None, NO_OPTIONS)
    definition.is_async = True
    definition.signature = real.signature
    setattr(mock, DEFINITION, definition)
    return mock
