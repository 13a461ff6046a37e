"""What one step calls: the user's callback, and what comes with it. Lives in the memory of whoever has the code."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import lru_cache
from types import FunctionType
from typing import Any

import msgspec
from msgspec import Struct

from tenuto.activities.records import Record, frozen
from tenuto.activities.step_config import DelayFunction, StepConfig


class StepCode(Struct, eq=False):
    """`callback` is called with `arguments`, and with the attempt's context if it takes one more. `delay` says the
    seconds until the next attempt, if the options don't. `result_limit` is in bytes."""

    name: str
    count: int
    callback: Callable[..., Any]
    result_limit: int
    arguments: Sequence[Any] = ()
    delay: DelayFunction | None = None


def context_of(code: StepCode, attempt: int, config: StepConfig) -> Record:
    """What an attempt can know of itself: `step.name`, `step.count`, `attempt` (from 1) and `config`."""
    step = Record({"name": code.name, "count": code.count})
    return Record({"step": step, "attempt": attempt, "config": _plain(config)})


@lru_cache(maxsize=1000)
def _plain(config: StepConfig) -> Any:
    """The options as plain data; many steps have the same."""
    return frozen(msgspec.to_builtins(config))


def is_async(function: Callable[..., Any]) -> bool:
    """Does calling it give a coroutine, as far as can be told before?"""
    if isinstance(function, FunctionType):
        return bool(function.__code__.co_flags & inspect.CO_COROUTINE)  # as inspect says, but at once
    return inspect.iscoroutinefunction(function)


def fitting(function: Callable[..., Any], arguments: Sequence[Any], optional: Sequence[Any]) -> list[Any]:
    """`arguments`, and as many of the optional ones as the function requires. Parameters with a default are left alone:
    they often bind a variable, as in `lambda url=url: fetch(url)`."""
    return [*arguments, *optional[: max(0, _required(function) - len(arguments))]]


def _required(function: Callable[..., Any]) -> int:
    """How many positional arguments it must have."""
    if isinstance(function, FunctionType) and not hasattr(function, "__wrapped__"):
        return function.__code__.co_argcount - len(function.__defaults__ or ())  # as inspect says, but at once
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some builtins don't tell
        return 0
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(1 for p in parameters if p.kind in kinds and p.default is p.empty)
