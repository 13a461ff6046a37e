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


class TooLarge(Exception):
    """A value that can't be kept; the message goes on after "it"."""


def weigh(value: Json, room: int = VALUE) -> int:
    """About how many bytes of JSON a value comes to. It takes no longer than a value of `room` bytes does.

    Raises TooLarge."""
    left = room
    level = [value]
    for _ in range(DEPTH + 1):
        below: list[Json] = []
        for item in level:
            if isinstance(item, str):
                left -= len(item) + 3
            elif isinstance(item, dict):
                left -= len(item) + 2 + sum(map(len, item))
                if left >= 0:
                    below += item.values()
            elif isinstance(item, list):
                left -= len(item) + 2
                if left >= 0:
                    below += item
            else:
                left -= _NUMBER
            if left < 0:
                raise TooLarge(f"comes to more than {room:,} bytes as JSON")
        if not below:
            return room - left
        level = below
    raise TooLarge(f"is nested more than {DEPTH} deep")
