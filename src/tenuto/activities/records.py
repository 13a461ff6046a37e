"""What is handed to a user's code to be read: by attribute or by key, never to be changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn


class Record(Mapping[str, Any]):
    """Values by name: `record.name` and `record["name"]` are the same. `aliases` are further names of some."""

    __slots__ = ("_aliases", "_values")

    def __init__(self, values: Mapping[str, Any], aliases: Mapping[str, str] | None = None) -> None:
        self._values = values
        self._aliases = aliases or {}

    def __getitem__(self, name: str) -> Any:
        return self._values[self._aliases.get(name, name)]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no {name!r} here, only {', '.join(map(str, self._values))}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Record({dict(self._values)!r})"


def _refuse(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
    raise TypeError("this value is read-only, because a change would be lost when the code is replayed; make a copy")


class _FrozenDict(dict[Any, Any]):
    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse


class _FrozenList(list[Any]):
    __setitem__ = __delitem__ = __iadd__ = __imul__ = append = clear = extend = insert = pop = _refuse
    remove = reverse = sort = _refuse


def frozen(value: Any) -> Any:
    """Plain data with the dicts and lists in it made read-only."""
    if isinstance(value, dict):
        return _FrozenDict((key, frozen(item)) for key, item in value.items())
    if isinstance(value, list):
        return _FrozenList(frozen(item) for item in value)
    return value
