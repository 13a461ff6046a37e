"""How a node's parameters are filled from what came before. Worked out once, when the node is made.

The rules, in their order:

1. A parameter annotated `SharedState` gets the state.
2. Parameters with defaults, `*args` and `**kwargs` are not filled.
3. One parameter gets the whole value.
4. Several get the elements of a tuple or list, if it has enough; surplus ones are ignored.
5. Several get the values of a dict by their names; a missing one is a TypeError unless the parameter may be None.
   Several, with any other value, get that value each.
6. What the caller of `execute` gives is passed to the first node by position and by name.
7. None: the node is called without input.
8. One parameter annotated int, str, float or bool, with a value that is nothing of the kind: it gets what an earlier
   node of the run was given for a parameter of the same name, if that fits (`Scope.remembered`).
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from numbers import Number
from typing import TYPE_CHECKING, Any, NamedTuple

from tenuto.sequence.state import SharedState

if TYPE_CHECKING:
    from tenuto.sequence.scope import Scope

__all__ = ["Arguments", "Filled", "Parameter", "Parameters"]

_EMPTY = inspect.Parameter.empty
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_SCALARS = (int, str, float, bool)
_NO_NAMES: dict[str, Any] = {}

#: Arguments of one call: by position, and by name.
Filled = tuple[tuple[Any, ...], dict[str, Any]]


class Parameter(NamedTuple):
    """An input parameter: filled from what came before."""

    name: str
    hint: Any
    may_be_none: bool


class Arguments:
    """What the caller of `execute` gave, on its way to the first node."""

    __slots__ = ("args", "kwargs")

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args = args
        self.kwargs = kwargs

    @property
    def value(self) -> Any:
        """As one value: the only argument, or all as a tuple or dict; None if there is none."""
        if self.kwargs:
            return dict(self.kwargs) if not self.args else (*self.args, dict(self.kwargs))
        return self.args[0] if len(self.args) == 1 else self.args or None


class Parameters:
    """A callable's parameters, and its result's type.

    Raises ValueError if more than one parameter asks for the shared state."""

    __slots__ = (
        "_by_name",
        "_fillers",
        "_state_by_name",
        "all_positional",
        "inputs",
        "is_plain",
        "memory",
        "node",
        "readable",
        "result",
        "state",
        "variadic",
    )

    def __init__(self, node: str, function: Callable[..., Any]) -> None:
        self.node = node
        parameters, self.readable = _parameters_of(function)
        hints = _hints_of(function, parameters)
        self.result: Any = hints.get("return")
        wanting_state = [p.name for p in parameters if _is_state(hints.get(p.name))]
        if len(wanting_state) > 1:
            raise ValueError(f"node {node!r} asks for the shared state {len(wanting_state)} times: {wanting_state}")
        #: Name of the parameter that gets the state.
        self.state = wanting_state[0] if wanting_state else None
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.inputs = [
            Parameter(p.name, hints.get(p.name), _may_be_none(hints.get(p.name)))
            for p in parameters
            if p.name != self.state and p.default is _EMPTY and p.kind not in _VARIABLE
        ]
        self.all_positional = [p.name for p in parameters if p.kind in _POSITIONAL and p.name != self.state]
        self._plan(parameters)
        only = self.inputs[0] if len(self.inputs) == 1 else None
        #: Name and type of the parameter that rule 8 is about.
        self.memory = (only.name, only.hint) if only is not None and only.hint in _SCALARS else None
        #: One value in, nothing else to think of.
        self.is_plain = only is not None and self.state is None and not self._by_name and self.memory is None
        self.is_plain = self.is_plain and len(self._fillers) == 1

    def _plan(self, parameters: list[inspect.Parameter]) -> None:
        """Say for each positional parameter, up to the last that is filled, where its value comes from: the number of
        an input, the state, or its own default."""
        number = {parameter.name: index for index, parameter in enumerate(self.inputs)}
        positional = [p for p in parameters if p.kind in _POSITIONAL]
        last = max((i for i, p in enumerate(positional) if p.name in number or p.name == self.state), default=-1)
        self._fillers: list[tuple[int, Any]] = []
        for parameter in positional[: last + 1]:
            if parameter.name == self.state:
                self._fillers.append((_STATE, None))
            else:
                self._fillers.append((number.get(parameter.name, _DEFAULT), parameter.default))
        by_name = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        self._by_name = [(name, number[name]) for name in by_name if name in number]
        self._state_by_name = self.state if self.state in by_name else None

    def fill(self, value: Any, state: SharedState, scope: Scope) -> Filled:
        """The arguments for a call with `value`, the previous output. Raises TypeError if one is missing."""
        if value.__class__ is Arguments:
            return self._fill_first(value, state, scope)
        inputs = self.inputs
        if not inputs:
            return self._placed((), state)
        if len(inputs) > 1:
            return self._placed(self._spread(value), state)
        if self.memory is not None and not isinstance(value, self.memory[1]) and _is_no_scalar(value):
            value = scope.remembered(*self.memory, value)
        return self._placed((value,), state)

    def _spread(self, value: Any) -> tuple[Any, ...]:
        count = len(self.inputs)
        if isinstance(value, tuple | list) and len(value) >= count:
            return tuple(value[:count])
        if isinstance(value, Mapping):
            return tuple(self._named(value, parameter) for parameter in self.inputs)
        return (value,) * count

    def _named(self, value: Mapping[Any, Any], parameter: Parameter) -> Any:
        if parameter.name in value:
            return value[parameter.name]
        if parameter.may_be_none:
            return None
        raise TypeError(
            f"node {self.node!r} needs {parameter.name!r}, which the output before it lacks; it has "
            f"{', '.join(map(repr, value)) or 'nothing'}"
        )

    def _fill_first(self, given: Arguments, state: SharedState, scope: Scope) -> Filled:
        args, kwargs = given.args, given.kwargs
        if len(args) == 1 and not kwargs and self.inputs:
            return self.fill(args[0], state, scope)
        if not args and not kwargs and not self.inputs:
            return self._placed((), state)
        if not self.all_positional and not kwargs and not self.variadic:
            return self._placed((), state)  # rule 7
        return self._called(args, kwargs, state)

    def _called(self, args: tuple[Any, ...], kwargs: dict[str, Any], state: SharedState) -> Filled:
        """As Python fills them for a call with these arguments, with the state where it belongs."""
        by_name = dict(kwargs)
        if self.state is not None:
            by_name.setdefault(self.state, state)
        if len(args) > len(self.all_positional) and not self.variadic:
            wanted = ", ".join(self.all_positional) or "nothing"
            raise TypeError(f"node {self.node!r} takes {wanted}, but {len(args)} arguments were given")
        for name, value in zip(self.all_positional, args, strict=False):
            if name in by_name:
                raise TypeError(f"node {self.node!r} got two values for {name!r}")
            by_name[name] = value
        missing = [p.name for p in self.inputs if p.name not in by_name]
        if missing:
            raise TypeError(f"node {self.node!r} is the first one and needs {missing}: give it to execute()")
        surplus = args[len(self.all_positional) :]
        if surplus:
            ordered = [by_name.pop(name) for name in self.all_positional]
            return (*ordered, *surplus), by_name
        return (), by_name

    def _placed(self, inputs: tuple[Any, ...], state: SharedState) -> Filled:
        args = tuple(
            inputs[source] if source >= 0 else state if source == _STATE else default
            for source, default in self._fillers
        )
        if not self._by_name and self._state_by_name is None:
            return args, _NO_NAMES
        names = {name: inputs[source] for name, source in self._by_name}
        if self._state_by_name is not None:
            names[self._state_by_name] = state
        return args, names

    def value_of(self, name: str, filled: Filled) -> Any:
        """What a call was given for its input parameter `name`; raises KeyError if nothing."""
        args, names = filled
        if name in names:
            return names[name]
        number = next((i for i, parameter in enumerate(self.inputs) if parameter.name == name), None)
        for index, (source, _) in enumerate(self._fillers[: len(args)]):
            if source == number:
                return args[index]
        raise KeyError(name)


_STATE, _DEFAULT = -1, -2


def _parameters_of(function: Callable[..., Any]) -> tuple[list[inspect.Parameter], bool]:
    """The parameters, and whether they could be read; a callable that hides them takes one value."""
    try:
        return list(inspect.signature(function).parameters.values()), True
    except (TypeError, ValueError):
        return [inspect.Parameter("value", inspect.Parameter.POSITIONAL_ONLY)], False


def _hints_of(function: Callable[..., Any], parameters: Iterable[inspect.Parameter]) -> dict[str, Any]:
    """Annotations as types; one that can't be resolved stays the text it is."""
    target = inspect.unwrap(function)
    if not inspect.isfunction(target) and not inspect.ismethod(target):
        target = getattr(target, "__func__", getattr(type(target), "__call__", target))  # noqa: B004 - as it is
    try:
        return typing.get_type_hints(target)
    except Exception:  # noqa: BLE001 - whatever an annotation does when it is evaluated, the node is usable
        annotations = {p.name: p.annotation for p in parameters if p.annotation is not _EMPTY}
        annotations |= {k: v for k, v in getattr(target, "__annotations__", {}).items() if k == "return"}
        return {name: _resolved(hint, target) for name, hint in annotations.items()}


def _resolved(hint: Any, target: Any) -> Any:
    if not isinstance(hint, str):
        return hint
    try:
        enclosed = inspect.getclosurevars(target).nonlocals if inspect.isfunction(target) else {}
        names = {**vars(sys.modules.get(target.__module__, typing)), **enclosed}
        return eval(hint, names)  # noqa: S307 - an annotation is the user's own code
    except Exception:  # noqa: BLE001 - see above
        return hint


def _is_state(hint: Any) -> bool:
    if isinstance(hint, str):
        return hint.split("|")[0].strip().rpartition(".")[2] == "SharedState"
    if isinstance(hint, type):
        return issubclass(hint, SharedState)
    return typing.get_origin(hint) in (typing.Union, types.UnionType) and any(map(_is_state, typing.get_args(hint)))


def _may_be_none(hint: Any) -> bool:
    if isinstance(hint, str):
        return "Optional" in hint or "None" in hint
    return type(None) in typing.get_args(hint)


def _is_no_scalar(value: Any) -> bool:
    return value is not None and not isinstance(value, int | str | float | bool | bytes | Number)
