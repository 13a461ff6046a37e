"""What a durable sequence is started with: the arguments of its first node, and a config where there is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tenuto.converter import DataConverter
from tenuto.model.errors import PayloadError
from tenuto.sequence.nodes import BaseNode
from tenuto.sequence.parameters import Arguments

if TYPE_CHECKING:
    from tenuto.sequence.workflow import Sequence

__all__ = ["START", "typed_arguments"]

_KEY = "__tenuto_sequence__"
_PLAIN = (None, int, str, float, bool, list, dict, Any)


class Start:
    """How arguments and config travel: as they are if there is nothing but arguments by position, else in one."""

    def write(self, args: tuple[Any, ...], kwargs: dict[str, Any], config: Mapping[str, Any] | None) -> list[Any]:
        """The arguments of the start."""
        if not kwargs and config is None:
            return list(args)
        return [{_KEY: 1, "args": list(args), "kwargs": kwargs, "config": None if config is None else dict(config)}]

    def read(self, args: tuple[Any, ...]) -> tuple[Arguments, dict[str, Any] | None]:
        """What `write` was given."""
        first = args[0] if len(args) == 1 else None
        if isinstance(first, dict) and _KEY in first:
            return Arguments(tuple(first["args"]), first["kwargs"]), first["config"]
        return Arguments(args, {}), None


START = Start()


def typed_arguments(sequence: Sequence, given: Arguments, converter: DataConverter) -> Arguments:
    """Arguments as the first node's annotations say, where they fit; as plain values, which JSON has, where not."""
    first = sequence.stages[0]
    if not isinstance(first, BaseNode):
        return given
    inputs = {parameter.name: parameter.hint for parameter in first.parameters.inputs}
    whole = len(given.args) == 1 and len(inputs) == 1
    names = list(inputs) if whole else first.parameters.all_positional
    args = [
        _typed(value, inputs.get(names[index]) if index < len(names) else None, converter)
        for index, value in enumerate(given.args)
    ]
    return Arguments(tuple(args), {k: _typed(v, inputs.get(k), converter) for k, v in given.kwargs.items()})


def _typed(value: Any, hint: Any, converter: DataConverter) -> Any:
    if hint in _PLAIN or isinstance(hint, str):
        return value
    try:
        return converter.decode(converter.encode(value), hint)
    except PayloadError:
        return value
