"""What the conditions of a search query mean: values as they were written become values of a field's type."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from tenuto.model.search import Between, Compare, Condition, FieldType, In, IsNull, Like, Not, Or, StartsWith
from tenuto.server.query_scanner import QueryError, Value


class Field(Struct, frozen=True):
    """A field that can be searched. Each method makes a condition on it, or raises `QueryError`."""

    name: str
    type: FieldType

    def compare(self, operator: str, value: Value) -> Condition:
        match operator:
            case "<":
                return Compare(self.name, "<", self._bounds(value)[0])
            case "<=":
                return Compare(self.name, "<=", self._bounds(value)[1])
            case ">":
                return Compare(self.name, ">", self._bounds(value)[1])
            case ">=":
                return Compare(self.name, ">=", self._bounds(value)[0])
            case "!=":
                return Not(self._equal(value))
        return self._equal(value)

    def one_of(self, values: list[Value]) -> Condition:
        plain: list[str | int] = []
        others: list[Condition] = []
        for value in values:
            condition = self._equal(value)
            if isinstance(condition, Compare):
                plain.append(condition.value)
            else:
                others.append(condition)
        if plain:
            others.append(In(self.name, tuple(plain)))
        return others[0] if len(others) == 1 else Or(tuple(others))

    def between(self, low: Value, high: Value) -> Condition:
        return Between(self.name, self._bounds(low)[0], self._bounds(high)[1])

    def starts_with(self, prefix: Value) -> Condition:
        if self.type is not FieldType.TEXT:
            raise QueryError(f"STARTS_WITH is for texts, and this field is a {self.type.value}", prefix.position)
        return StartsWith(self.name, prefix.text)

    def is_null(self) -> Condition:
        return IsNull(self.name)

    def _equal(self, value: Value) -> Condition:
        if self.type is FieldType.TEXT and len(value.pieces) > 1:
            return Like(self.name, value.pieces)
        low, high = self._bounds(value)
        return Compare(self.name, "=", low) if low == high else Between(self.name, low, high)

    def _bounds(self, value: Value) -> tuple[str | int, str | int]:
        """The first and the last value that this one stands for."""
        match self.type:
            case FieldType.TIME:
                return _nanoseconds(value)
            case FieldType.NUMBER:
                number = _number(value)
                return number, number
        return value.text, value.text


_INTEGER = re.compile(r"[+-]?[0-9]{1,30}")
_LEAST, _MOST = -(2**63), 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = 1_000_000  # nanoseconds


def _number(value: Value) -> int:
    if not _INTEGER.fullmatch(value.text) or not _LEAST <= int(value.text) <= _MOST:
        raise QueryError("a whole number of at most 64 bits belongs here", value.position)
    return int(value.text)


def _nanoseconds(value: Value) -> tuple[int, int]:
    """The first and the last of a millisecond. One that 64 bits don't reach stands for "ever" or "never", and so does
    the bound that it becomes."""
    first = _milliseconds(value) * _MILLISECOND
    last = first + _MILLISECOND - 1
    return max(_LEAST, min(first, _MOST)), max(_LEAST, min(last, _MOST))


def _milliseconds(value: Value) -> int:
    if _INTEGER.fullmatch(value.text):
        return int(value.text)
    try:
        time = datetime.fromisoformat(value.text)
    except ValueError:
        raise QueryError(
            "a time belongs here: epoch milliseconds, or like 2026-11-20T08:30:00Z", value.position
        ) from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return (time - _EPOCH) // timedelta(milliseconds=1)
