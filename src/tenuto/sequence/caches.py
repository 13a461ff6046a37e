"""Result caches: a node's output for the same arguments is not worked out again."""

from __future__ import annotations

import functools
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tenuto.durations import seconds_in
from tenuto.sequence.clock import Clock, SystemClock
from tenuto.sequence.state import SharedState

__all__ = ["Cache"]

_MISSING = object()


class Cache:
    """Outputs by arguments, in this process.

    ttl: how long one is good for: seconds, a timedelta or text such as "10m"; None for ever.
    size: how many are kept; the ones used longest ago go first.

    Arguments that can be neither hashed nor pickled are not cached. The shared state is no part of the arguments. An
    output is handed out as it is, not as a copy. Errors are not cached."""

    def __init__(
        self, ttl: float | str | timedelta | None = None, size: int = 1024, *, clock: Clock | None = None
    ) -> None:
        if size < 1:
            raise ValueError(f"a cache keeps at least one output, not {size}")
        self.ttl = None if ttl is None else seconds_in(ttl)
        self.size = size
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._kept: OrderedDict[Any, tuple[float, Any]] = OrderedDict()

    @classmethod
    def of(cls, option: Cache | bool | float | str | timedelta) -> Cache:
        """The cache that a node's `cache=` asks for."""
        if isinstance(option, Cache):
            return option
        return cls() if option is True else cls(option)

    def look_up(self, key: Any) -> Any:
        """The output under `key`, or the mark for a missing one."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return _MISSING
            kept_at, value = found
            if self.ttl is not None and self._clock.elapsed() - kept_at >= self.ttl:
                del self._kept[key]
                return _MISSING
            self._kept.move_to_end(key)
            return value

    def keep(self, key: Any, value: Any) -> None:
        """Remember an output."""
        with self._lock:
            self._kept[key] = (self._clock.elapsed(), value)
            self._kept.move_to_end(key)
            if len(self._kept) > self.size:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget all outputs."""
        with self._lock:
            self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)


def cached(call: Callable[..., Any], cache: Cache, is_async: bool) -> Callable[..., Any]:
    """`call`, through the cache."""

    @functools.wraps(call)
    def cached_call(*args: Any, **kwargs: Any) -> Any:
        key = _key(args, kwargs)
        found = _MISSING if key is None else cache.look_up(key)
        if found is not _MISSING:
            return found
        result = call(*args, **kwargs)
        if key is not None:
            cache.keep(key, result)
        return result

    @functools.wraps(call)
    async def cached_async_call(*args: Any, **kwargs: Any) -> Any:
        key = _key(args, kwargs)
        found = _MISSING if key is None else cache.look_up(key)
        if found is not _MISSING:
            return found
        result = await call(*args, **kwargs)
        if key is not None:
            cache.keep(key, result)
        return result

    return cached_async_call if is_async else cached_call


def _key(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    parts = [(index, value) for index, value in enumerate(args) if not isinstance(value, SharedState)]
    parts += [(name, value) for name, value in sorted(kwargs.items()) if not isinstance(value, SharedState)]  # type: ignore[misc]
    # With the types, because 1, 1.0 and True are equal.
    key = tuple((place, type(value), value) for place, value in parts)
    try:
        hash(key)
    except TypeError:
        try:
            return pickle.dumps(key)
        except (pickle.PicklingError, TypeError, AttributeError, RecursionError):
            return None
    return key
