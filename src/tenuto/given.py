"""What users give: arguments, one as `arg` or several as `args`, and choices."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, TypeVar

Choice = TypeVar("Choice", bound=IntEnum)

#: Stands for an argument that was not given, where None is a value.
UNSET: Any = object()


def given(arg: Any, args: Sequence[Any]) -> Sequence[Any]:
    """The arguments of a call. Raises ValueError if both forms are used."""
    if arg is UNSET:
        return args
    if args:
        raise ValueError("give one argument, or args=[...], not both")
    return (arg,)


def chosen(kind: type[Choice], value: Choice | int) -> Choice:
    """The member of `kind` that `value` is, or is the number of. Raises TypeError for anything else."""
    try:
        return kind(value)
    except ValueError:
        raise TypeError(f"{value!r} is no {kind.__name__}; choose one of {', '.join(kind.__members__)}") from None
