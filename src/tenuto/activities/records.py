"""What is handed to a user's code to be read: by attribute or by key, never to be changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn


def _refuse(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
    raise TypeError("this value is read-only, because a change would be lost when the code is replayed; make a copy")


class _FrozenDict(dict[Any, Any]):
    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, (dict(self),)  # copies can be changed


class _FrozenList(list[Any]):
    __setitem__ = __delitem__ = __iadd__ = __imul__ = append = clear = extend = insert = pop = _refuse
    remove = reverse = sort = _refuse

    def __reduce_ex__(self, protocol: Any) -> Any:
        return list, (list(self),)


class Record(_FrozenDict):
    """Values by name: `record.name` and `record["name"]` are the same. `aliases` are further names of some. It can be
    stored like any dict."""

    __slots__ = ("_aliases",)

    def __init__(self, values: Mapping[str, Any], aliases: Mapping[str, str] | None = None) -> None:
        super().__init__(values)
        self._aliases = aliases or {}

    def __missing__(self, name: str) -> Any:
        if name not in self._aliases:
            raise KeyError(name)
        return self[self._aliases[name]]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no {name!r} here, only {', '.join(map(str, self))}") from None


def frozen(value: Any) -> Any:
    """Plain data with the dicts and lists in it made read-only."""
    if isinstance(value, dict):
        return _FrozenDict((key, frozen(item)) for key, item in value.items())
    if isinstance(value, list):
        return _FrozenList(frozen(item) for item in value)
    return value
