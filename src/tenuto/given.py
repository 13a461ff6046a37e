"""Arguments as users give them: one as `arg`, several as `args`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

#: Stands for an argument that was not given, where None is a value.
UNSET: Any = object()


def given(arg: Any, args: Sequence[Any]) -> Sequence[Any]:
    """The arguments of a call. Raises ValueError if both forms are used."""
    if arg is UNSET:
        return args
    if args:
        raise ValueError("give one argument, or args=[...], not both")
    return (arg,)
