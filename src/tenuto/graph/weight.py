"""How large values are once they are written.

Expressions share values instead of copying them, so what is small in memory can name itself so often that no disk holds
it. Everything that becomes an input, an output or a variable is therefore weighed before it is kept.
"""

from __future__ import annotations

from typing import Final

from tenuto.model.json_values import DEPTH, Json

#: What one value may come to, and what one execution may add to its history between two commits; about bytes of JSON.
VALUE: Final = 16 * 1024 * 1024
COMMIT: Final = 64 * 1024 * 1024

_NUMBER = 4


#: An object of at most so many entries, each at most so long, is small.
_FEW, _SHORT = 16, 256


class TooLarge(Exception):
    """A value that can't be kept; the message goes on after "it"."""


def weigh(value: Json, room: int = VALUE) -> int:
    """About how many bytes of JSON a value comes to. What it holds several times is looked at once a level.

    Raises TooLarge."""
    if isinstance(value, dict) and len(value) <= _FEW and not any(map(_may_be_large, value.values())):
        return _own_weight(value, 1, {})  # most values are small, and seen at once to be so
    left = room
    level: dict[int, tuple[Json, int]] = {0: ([value], 1)}
    for _ in range(DEPTH + 1):
        below: dict[int, tuple[Json, int]] = {}
        for holder, times in level.values():
            left -= times * _own_weight(holder, times, below)
            if left < 0:
                raise TooLarge(f"comes to more than {room:,} bytes as JSON")
        if not below:
            return room - left
        level = below
    raise TooLarge(f"is nested more than {DEPTH} deep")


def _may_be_large(value: Json) -> bool:
    if isinstance(value, str):
        return len(value) > _SHORT
    return isinstance(value, dict | list)


def _own_weight(holder: Json, times: int, below: dict[int, tuple[Json, int]]) -> int:
    """The weight of an object or list without the objects and lists in it, which are added to `below`."""
    own, items = 2 + len(holder), holder
    if isinstance(holder, dict):
        own += 3 * len(holder) + sum(map(len, holder))
        items = holder.values()
    for item in items:
        if isinstance(item, str):
            own += len(item) + 2
        elif isinstance(item, dict | list):
            seen = below.get(id(item))
            below[id(item)] = (item, times if seen is None else times + seen[1])
        else:
            own += _NUMBER
    return own
