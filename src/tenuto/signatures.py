"""What can be known of a user's function: its arguments' types and count, its result's type."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any


class Signature:
    """Positional arguments of a function. `hints` has one entry an argument, None where there is no annotation."""

    __slots__ = ("hints", "least", "most", "name", "result")

    def __init__(self, function: Callable[..., Any], *, method: bool) -> None:
        self.name = getattr(function, "__qualname__", repr(function))
        annotations = _annotations(function)
        parameters = list(inspect.signature(function).parameters.values())
        if method:
            parameters = parameters[1:]
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self.hints: list[Any] = [annotations.get(p.name) for p in positional]
        self.least = sum(1 for p in positional if p.default is p.empty)
        variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.most: int | None = None if variadic else len(positional)
        self.result: Any = annotations.get("return")
        for parameter in parameters:
            if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
                raise TypeError(
                    f"{self.name} has the keyword-only argument {parameter.name!r}; workflows and activities take "
                    "positional arguments only"
                )

    def check(self, arguments: Sequence[Any]) -> None:
        """Raise TypeError if the function can't be called with so many arguments."""
        count = len(arguments)
        if count < self.least or (self.most is not None and count > self.most):
            if self.most is None:
                wanted = f"at least {self.least}"
            elif self.least == self.most:
                wanted = str(self.most)
            else:
                wanted = f"{self.least} to {self.most}"
            raise TypeError(f"{self.name} takes {wanted} argument{'s' * (wanted != '1')}, {count} given")


@lru_cache(maxsize=4096)
def signature_of(function: Callable[..., Any], *, method: bool = False) -> Signature:
    """The signature of `function`; with `method`, without its first argument."""
    return Signature(function, method=method)


def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):
        # An annotation that can't be resolved at run time, such as a name imported for type checking only: values then
        # come as plain builtins, as if there were no annotation.
        return {}
