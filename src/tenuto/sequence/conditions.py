"""Conditions of a decision's branches: what is left of `>>` in `decision("even" >> halve, _ >> triple)`.

Which branch is taken doesn't depend on the order in which they stand, but on how exact their conditions are:

    5       a template instance: all its attributes that are not None
    10      a value
    30      a list, tuple or set: one of its members
    40      a dict: all its keys with equal values; the more keys, the earlier
    50      a range
    100     a type: the deeper in its family, the earlier; 10 earlier for each constraint
    1000    a predicate: called with the value, or with the value and the shared state
    last    the default: `_`

Of conditions of the same rank the first counts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from tenuto.sequence.nodes import BaseNode
from tenuto.sequence.stages import Chain, Stage
from tenuto.sequence.state import SharedState

__all__ = ["NodeMapper", "TypePattern", "create_type_pattern", "default"]

Matcher = Callable[[Any, SharedState], bool]

_VALUES = (str, bytes, int, float, complex, bool, type(None), Enum)


class NodeMapper:
    """A condition and what is to be done when it holds; made by `condition >> node`."""

    def __init__(self, condition: Any, node: Stage) -> None:
        self.condition = condition
        self.stages: tuple[Stage, ...] = node.stages if isinstance(node, Chain) else (node,)
        self.priority, self.matches = _matcher(condition)

    @property
    def node(self) -> Stage:
        """The branch, as a stage."""
        return self.stages[0] if len(self.stages) == 1 else Chain(self.stages)

    def __rshift__(self, right: Any) -> NodeMapper:
        return NodeMapper(self.condition, self.node >> right)

    def describe(self) -> str:
        """The condition in a few words, for schemas and errors."""
        condition = self.condition
        if condition is default or condition == "_":
            return "otherwise"
        if isinstance(condition, type | BaseNode) or inspect.isroutine(condition):
            return str(getattr(condition, "__name__", condition))
        return repr(condition)

    def __repr__(self) -> str:
        return f"<NodeMapper {self.describe()} >> {self.node.name}>"


class Default:
    """`_`: when no other condition holds."""

    def __rshift__(self, node: Any) -> NodeMapper:
        from tenuto.sequence.joining import as_stage

        return NodeMapper(self, as_stage(node))

    def __repr__(self) -> str:
        return "_"


default = Default()


class TypePattern:
    """An instance of a type whose attributes have these values."""

    def __init__(self, kind: type, **constraints: Any) -> None:
        self.kind = kind
        self.constraints = constraints

    def __rshift__(self, node: Any) -> NodeMapper:
        from tenuto.sequence.joining import as_stage

        return NodeMapper(self, as_stage(node))

    def __repr__(self) -> str:
        return ", ".join([self.kind.__name__, *(f"{key}={value!r}" for key, value in self.constraints.items())])


def create_type_pattern(kind: type, node: Any, **constraints: Any) -> NodeMapper:
    """The branch for values of a type, as `kind >> node`; with constraints, only if attributes have these values."""
    return TypePattern(kind, **constraints).__rshift__(node)


def _matcher(condition: Any) -> tuple[float, Matcher]:
    """Rank of a condition, and how to check it."""
    if isinstance(condition, Default) or (isinstance(condition, str) and condition == "_"):
        return float("inf"), lambda value, state: True
    if isinstance(condition, type):
        condition = TypePattern(condition)
    if isinstance(condition, TypePattern):
        pattern, rank = condition, 100 - len(condition.kind.__mro__) - 10 * len(condition.constraints)
        return rank, lambda value, state: isinstance(value, pattern.kind) and _has(value, pattern.constraints)
    if isinstance(condition, _VALUES):
        return 10, lambda value, state: _equal(value, condition)
    if isinstance(condition, range):
        return 50, lambda value, state: _is_number(value) and value in condition
    if isinstance(condition, list | tuple | set | frozenset):
        members = tuple(condition)
        return 30, lambda value, state: any(_equal(value, member) for member in members)
    if isinstance(condition, Mapping):
        return (
            40 - 5 * len(condition),
            lambda value, state: (
                isinstance(value, Mapping) and all(key in value and value[key] == condition[key] for key in condition)
            ),
        )
    if callable(condition):
        return 1000, _predicate(condition)
    wanted = {key: value for key, value in _attributes(condition).items() if value is not None}
    return 5, lambda value, state: isinstance(value, type(condition)) and _has(value, wanted)


def _predicate(condition: Callable[..., Any]) -> Matcher:
    try:
        parameters = inspect.signature(condition).parameters.values()
        takes_state = sum(1 for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD) >= 2
    except (TypeError, ValueError):  # a builtin that hides its parameters
        takes_state = False
    if takes_state:
        return lambda value, state: bool(condition(value, state))
    return lambda value, state: bool(condition(value))


def _equal(value: Any, wanted: Any) -> bool:
    # True is no 1 here, nor False a 0.
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_NOTHING = object()


def _has(value: Any, wanted: Mapping[str, Any]) -> bool:
    return all(getattr(value, key, _NOTHING) == expected for key, expected in wanted.items())


def _attributes(template: Any) -> dict[str, Any]:
    names = list(getattr(template, "__dict__", ())) or [n for k in type(template).__mro__ for n in _slots(k)]
    return {name: getattr(template, name) for name in names if not name.startswith("_") and hasattr(template, name)}


def _slots(kind: type) -> tuple[str, ...]:
    slots = getattr(kind, "__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)
