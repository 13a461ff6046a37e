"""The shared state of a durable run: what nodes set is recorded with their results.

A node's attempt works on the keys as they are now in this process, so that branches see what others set. Which of two
branches set a key last is recorded with a number, because their results may be recorded in another order.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from msgspec import Struct

from tenuto.activities.step_errors import WorkflowFatalError
from tenuto.converter import DataConverter
from tenuto.model.errors import PayloadError
from tenuto.sequence.stored import Stored

__all__ = ["UNCHANGEABLE", "AttemptStore", "Change", "SharedKeys"]

_DELETED: Any = object()
#: Types whose values can't be changed in place.
UNCHANGEABLE = frozenset({str, int, float, bool, bytes, type(None)})


class Change(Struct, omit_defaults=True):
    """A key that a node set; without a value, that it deleted. `number` orders the changes of a run."""

    number: int
    value: Stored | None = None


class SharedKeys:
    """The keys of a run, in this process: `committed` is what results have been recorded for, `live` also what nodes
    have set that are still at work."""

    def __init__(self, converter: DataConverter) -> None:
        self.converter = converter
        self.committed: dict[str, Any] = {}
        self.live: dict[str, Any] = {}
        self.numbers: dict[str, int] = {}
        self._committed_numbers: dict[str, int] = {}
        self._last = 0

    def set(self, key: str, value: Any) -> int:
        """A node at work sets a key, or deletes it; the number of the change."""
        self._last += 1
        self.numbers[key] = self._last
        if value is _DELETED:
            self.live.pop(key, None)
        else:
            self.live[key] = value
        return self._last

    def commit(self, changes: dict[str, Change]) -> None:
        """Changes that are on record."""
        for key, change in changes.items():
            self._last = max(self._last, change.number)
            if change.number >= self._committed_numbers.get(key, 0):
                self._committed_numbers[key] = change.number
                _put(self.committed, key, change, self.converter)
            if change.number >= self.numbers.get(key, 0):
                self.numbers[key] = change.number
                _put(self.live, key, change, self.converter)


def _put(keys: dict[str, Any], key: str, change: Change, converter: DataConverter) -> None:
    if change.value is None:
        keys.pop(key, None)
    else:
        keys[key] = change.value.decoded(converter)


class AttemptStore(MutableMapping[str, Any]):
    """The keys as one attempt of a node sees them; remembers what the attempt changes."""

    def __init__(self, keys: SharedKeys, node: str) -> None:
        self._keys = keys
        self._node = node
        #: What was set, with the number of the change, and what was there before.
        self._set: dict[str, tuple[int, Any]] = {}
        self._before: dict[str, Any] = {}
        #: What was read and may have been changed in place: itself, and as it was.
        self._read: dict[str, tuple[Any, Stored]] = {}

    def __getitem__(self, key: str) -> Any:
        value = self._keys.live[key]
        if type(value) not in UNCHANGEABLE and key not in self._read and key not in self._set:
            self._read[key] = value, self._stored(key, value)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        self._change(key, value)

    def __delitem__(self, key: str) -> None:
        if key not in self._keys.live:
            raise KeyError(key)
        self._change(key, _DELETED)

    def _change(self, key: str, value: Any) -> None:
        if key not in self._before:
            read = self._read.pop(key, None)
            old = self._keys.live.get(key, _DELETED)
            self._before[key] = old if read is None else read[1].decoded(self._keys.converter)
        self._set[key] = self._keys.set(key, value), value

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._keys.live))

    def __len__(self) -> int:
        return len(self._keys.live)

    def __contains__(self, key: object) -> bool:
        return key in self._keys.live

    def changes(self) -> dict[str, Change]:
        """What the attempt changed. Raises WorkflowFatalError for a value that can't be stored."""
        for key, value in self._changed_in_place():
            self._set[key] = self._keys.set(key, value), value
        return {
            key: Change(number, None if value is _DELETED else self._stored(key, value))
            for key, (number, value) in self._set.items()
        }

    def undo(self) -> None:
        """The attempt failed: what it changed is as before, unless another branch has changed it since."""
        for key, (number, _) in self._set.items():
            if self._keys.numbers.get(key) == number:
                self._keys.set(key, self._before[key])
        for key, _ in self._changed_in_place():
            self._keys.live[key] = self._read[key][1].decoded(self._keys.converter)

    def _changed_in_place(self) -> list[tuple[str, Any]]:
        """Not what another branch has put in its place since."""
        own = [(key, value, before) for key, (value, before) in self._read.items() if self._keys.live.get(key) is value]
        return [(key, value) for key, value, before in own if self._differs(value, before)]

    def _differs(self, value: Any, before: Stored) -> bool:
        try:
            return Stored.of(value, self._keys.converter) != before
        except PayloadError:  # it can't be stored any more
            return True

    def _stored(self, key: str, value: Any) -> Stored:
        try:
            return Stored.of(value, self._keys.converter)
        except PayloadError as error:
            raise WorkflowFatalError(
                f"node {self._node!r} set the key {key!r} of the shared state, which can't be stored: {error}"
            ) from None
