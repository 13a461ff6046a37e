"""The shared state of a durable run: what nodes set is recorded with their results.

A node's attempt works on the keys as they are now in this process, so that branches see what others set. Which of two
branches set a key last is recorded with a number, because their results may be recorded in another order.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, MutableMapping
from typing import Any
from weakref import WeakValueDictionary

from msgspec import Struct

from tenuto.activities.step_errors import WorkflowFatalError
from tenuto.converter import DataConverter
from tenuto.model.errors import PayloadError
from tenuto.sequence.stored import Stored

__all__ = ["UNCHANGEABLE", "AttemptStore", "Change", "LiveKeys", "SharedKeys"]

_DELETED: Any = object()
#: Types whose values can't be changed in place.
UNCHANGEABLE = frozenset({str, int, float, bool, bytes, type(None)})


class Change(Struct, omit_defaults=True):
    """A key that a node set; without a value, that it deleted. `number` orders the changes of a run."""

    number: int
    value: Stored | None = None


class LiveKeys:
    """The keys of a run as they are now, with what nodes have set that are still at work. All instances of the run in
    this process have the same ones: it may be taken out of memory and brought back while its nodes are at work."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        #: The number of the change that each key has its value from.
        self.numbers: dict[str, int] = {}
        #: For nodes that make several accesses in one (`state.lock`).
        self.lock = threading.RLock()
        self._guard = threading.Lock()
        self._last = 0

    @classmethod
    def of(cls, run_id: str) -> LiveKeys:
        """Those of a run."""
        return _of_runs.setdefault(run_id, cls())

    def set(self, key: str, value: Any) -> int:
        """A node at work sets a key, or deletes it; the number of the change."""
        with self._guard:
            self._last += 1
            self.numbers[key] = self._last
            if value is _DELETED:
                self.values.pop(key, None)
            else:
                self.values[key] = value
            return self._last

    def catch_up(self, key: str, change: Change, converter: DataConverter) -> None:
        """A change is on record, which may have been made in another process or before."""
        with self._guard:
            self._last = max(self._last, change.number)
            if change.number > self.numbers.get(key, 0):
                self.numbers[key] = change.number
                _put(self.values, key, change, converter)


_of_runs: WeakValueDictionary[str, LiveKeys] = WeakValueDictionary()


class SharedKeys:
    """The keys of a run as one instance of it sees them. `committed` is what is on record as far as the instance has
    replayed: that, and no more, is what its decisions are made by."""

    def __init__(self, converter: DataConverter, live: LiveKeys) -> None:
        self.converter = converter
        self.live = live
        self.committed: dict[str, Any] = {}
        self._numbers: dict[str, int] = {}

    def commit(self, changes: dict[str, Change]) -> None:
        """Changes that are on record."""
        for key, change in changes.items():
            self.live.catch_up(key, change, self.converter)
            if change.number >= self._numbers.get(key, 0):
                self._numbers[key] = change.number
                _put(self.committed, key, change, self.converter)


def _put(keys: dict[str, Any], key: str, change: Change, converter: DataConverter) -> None:
    if change.value is None:
        keys.pop(key, None)
    else:
        keys[key] = change.value.decoded(converter)


class AttemptStore(MutableMapping[str, Any]):
    """The keys as one attempt of a node sees them; remembers what the attempt changes."""

    def __init__(self, keys: SharedKeys, node: str) -> None:
        self._live = keys.live
        self._converter = keys.converter
        self._node = node
        #: What was set, with the number of the change, and what was there before.
        self._set: dict[str, tuple[int, Any]] = {}
        self._before: dict[str, Any] = {}
        #: What was read and may have been changed in place: itself, and as it was.
        self._read: dict[str, tuple[Any, Stored]] = {}

    def __getitem__(self, key: str) -> Any:
        value = self._live.values[key]
        if type(value) not in UNCHANGEABLE and key not in self._read and key not in self._set:
            self._read[key] = value, self._stored(key, value)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        self._change(key, value)

    def __delitem__(self, key: str) -> None:
        if key not in self._live.values:
            raise KeyError(key)
        self._change(key, _DELETED)

    def _change(self, key: str, value: Any) -> None:
        if key not in self._before:
            read = self._read.pop(key, None)
            old = self._live.values.get(key, _DELETED)
            self._before[key] = old if read is None else read[1].decoded(self._converter)
        self._set[key] = self._live.set(key, value), value

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._live.values))

    def __len__(self) -> int:
        return len(self._live.values)

    def __contains__(self, key: object) -> bool:
        return key in self._live.values

    def changes(self) -> dict[str, Change]:
        """What the attempt changed. Raises WorkflowFatalError for a value that can't be stored."""
        for key, value in self._changed_in_place():
            self._set[key] = self._live.set(key, value), value
        return {
            key: Change(number, None if value is _DELETED else self._stored(key, value))
            for key, (number, value) in self._set.items()
        }

    def undo(self) -> None:
        """The attempt failed: what it changed is as before, unless another branch has changed it since."""
        for key, (number, _) in self._set.items():
            if self._live.numbers.get(key) == number:
                self._live.set(key, self._before[key])
        for key, _ in self._changed_in_place():
            self._live.values[key] = self._read[key][1].decoded(self._converter)

    def _changed_in_place(self) -> list[tuple[str, Any]]:
        """Not what another branch has put in its place since."""
        own = [
            (key, value, before) for key, (value, before) in self._read.items() if self._live.values.get(key) is value
        ]
        return [(key, value) for key, value, before in own if self._differs(value, before)]

    def _differs(self, value: Any, before: Stored) -> bool:
        try:
            return Stored.of(value, self._converter) != before
        except PayloadError:  # it can't be stored any more
            return True

    def _stored(self, key: str, value: Any) -> Stored:
        try:
            return Stored.of(value, self._converter)
        except PayloadError as error:
            raise WorkflowFatalError(
                f"node {self._node!r} set the key {key!r} of the shared state, which can't be stored: {error}"
            ) from None
