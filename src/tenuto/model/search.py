"""What can be asked of the index of workflows and tasks, and what a condition means.

A condition is either true or false of a row, never unknown: a comparison with a value that a row doesn't have is false,
and so its negation is true. Texts compare by code point. `matches` says what a condition means; every store must give
the same answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from operator import eq, ge, gt, le, lt
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Literal, TypeAlias

from msgspec import Struct

Value: TypeAlias = str | int
Operator: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">="]


class And(Struct, frozen=True):
    """All of them; of none, true."""

    conditions: tuple[Condition, ...]


class Or(Struct, frozen=True):
    """At least one of them; of none, false."""

    conditions: tuple[Condition, ...]


class Not(Struct, frozen=True):
    condition: Condition


class Compare(Struct, frozen=True):
    """`!=` is the negation of `=`, and so also true of a row without a value."""

    field: str
    operator: Operator
    value: Value


class In(Struct, frozen=True):
    field: str
    values: tuple[Value, ...]


class Between(Struct, frozen=True):
    """Both bounds included."""

    field: str
    low: Value
    high: Value


class IsNull(Struct, frozen=True):
    """No value, or an empty text."""

    field: str


class StartsWith(Struct, frozen=True):
    """Case-sensitive."""

    field: str
    prefix: str


class Like(Struct, frozen=True):
    """`pieces` in this order, and anything between them: `Order*` is `("Order", "")`. Case-insensitive as `is_like`
    says."""

    field: str
    pieces: tuple[str, ...]


Condition: TypeAlias = And | Or | Not | Compare | In | Between | IsNull | StartsWith | Like


class FieldType(Enum):
    """What the values of a field are: a time is a number of nanoseconds since the epoch."""

    TEXT = "text"
    TIME = "time"
    NUMBER = "number"


class Searchable(Struct, frozen=True):
    """What can be asked of one kind of rows, by the names of their attributes."""

    fields: Mapping[str, FieldType]
    texts: tuple[str, ...]
    """Where a free text is looked for."""


WORKFLOWS = Searchable(
    fields={
        "workflow_id": FieldType.TEXT,
        "correlation_id": FieldType.TEXT,
        "workflow_type": FieldType.TEXT,
        "version": FieldType.NUMBER,
        "status": FieldType.TEXT,
        "start_time": FieldType.TIME,
        "end_time": FieldType.TIME,
        "update_time": FieldType.TIME,
        "parent_workflow_id": FieldType.TEXT,
        "classifier": FieldType.TEXT,
        "priority": FieldType.NUMBER,
        "created_by": FieldType.TEXT,
        "event": FieldType.TEXT,
        "reason": FieldType.TEXT,
        "idempotency_key": FieldType.TEXT,
    },
    texts=(
        "workflow_id",
        "workflow_type",
        "status",
        "correlation_id",
        "created_by",
        "event",
        "reason",
        "input",
        "output",
    ),
)

TASKS = Searchable(
    fields={
        "task_id": FieldType.TEXT,
        "task_type": FieldType.TEXT,
        "task_def_name": FieldType.TEXT,
        "reference_name": FieldType.TEXT,
        "workflow_id": FieldType.TEXT,
        "workflow_type": FieldType.TEXT,
        "correlation_id": FieldType.TEXT,
        "status": FieldType.TEXT,
        "scheduled_time": FieldType.TIME,
        "start_time": FieldType.TIME,
        "end_time": FieldType.TIME,
        "update_time": FieldType.TIME,
        "domain": FieldType.TEXT,
        "priority": FieldType.NUMBER,
        "reason": FieldType.TEXT,
    },
    texts=(
        "task_id",
        "task_type",
        "task_def_name",
        "reference_name",
        "workflow_id",
        "workflow_type",
        "correlation_id",
        "status",
        "reason",
        "input",
        "output",
    ),
)


class SearchQuery(Struct, frozen=True, kw_only=True):
    """Which rows, in which order, and which of them.

    Without `sort` the newest come first: workflows by their start, tasks by when they were first indexed. Rows that
    `sort` leaves equal come newest first too; a row without a value sorts before all others."""

    condition: Condition | None = None
    free_text: str = ""
    """A text that must occur in one of the row's texts, case-insensitively as `is_like` says."""
    sort: Sequence[tuple[str, bool]] = ()
    """(field, descending) pairs."""
    start: int = 0
    """How many rows to pass over."""
    size: int = 100
    """How many rows to give at most."""


_MOST = 2**63 - 1


def check_query(query: SearchQuery, searchable: Searchable) -> None:
    """Raise `ValueError` for a field that can't be searched, a value that is none of its type, or a page that can't
    be."""
    if not (0 <= query.start <= _MOST and 0 <= query.size <= _MOST):
        raise ValueError(f"start and size are 0 to {_MOST}, not {query.start} and {query.size}.")
    for field, _ in query.sort:
        _type_of(field, searchable)
    for condition in _leaves(query.condition):
        type = _type_of(condition.field, searchable)
        texts_only = isinstance(condition, StartsWith | Like)
        if texts_only and type is not FieldType.TEXT:
            raise ValueError(f"{condition.field} is a {type.value}, and only a text has a beginning or a pattern.")
        for value in _values(condition):
            if isinstance(value, str) is not (type is FieldType.TEXT):
                raise ValueError(f"{condition.field} is a {type.value}, {value!r} is none.")


def _type_of(field: str, searchable: Searchable) -> FieldType:
    type = searchable.fields.get(field)
    if type is None:
        raise ValueError(f"{field!r} can't be searched. These can: {', '.join(searchable.fields)}.")
    return type


_Leaf: TypeAlias = Compare | In | Between | IsNull | StartsWith | Like


def _leaves(condition: Condition | None) -> Iterator[_Leaf]:
    match condition:
        case And(conditions) | Or(conditions):
            for part in conditions:
                yield from _leaves(part)
        case Not(part):
            yield from _leaves(part)
        case None:
            pass
        case _:
            yield condition


def _values(condition: _Leaf) -> Sequence[Value]:
    match condition:
        case Compare(_, _, value):
            return (value,)
        case In(_, values):
            return values
        case Between(_, low, high):
            return (low, high)
    return ()


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {"=": eq, "<": lt, "<=": le, ">": gt, ">=": ge}


def matches(row: object, condition: Condition) -> bool:
    """Is the condition, which `check_query` found sound, true of the row?"""
    match condition:
        case And(conditions):
            return all(matches(row, part) for part in conditions)
        case Or(conditions):
            return any(matches(row, part) for part in conditions)
        case Not(part):
            return not matches(row, part)
    value: Any = getattr(row, condition.field)
    match condition:
        case IsNull():
            return value is None or value == ""
        case Compare(_, "!=", other):
            return bool(value != other)
        case _ if value is None:
            return False
        case Compare(_, operator, other):
            return _COMPARE[operator](value, other)
        case In(_, values):
            return value in values
        case Between(_, low, high):
            return bool(low <= value <= high)
        case StartsWith(_, prefix):
            return bool(value.startswith(prefix))
        case Like(_, pieces):
            return is_like(value, pieces)


def contains_text(row: object, text: str, searchable: Searchable) -> bool:
    """Does one of the row's texts contain this one?"""
    return any(is_like(getattr(row, field) or "", ("", text, "")) for field in searchable.texts)


def is_like(text: str, pieces: Sequence[str]) -> bool:
    """Does the text consist of these pieces and anything between them?

    Case is ignored: if a piece has letters that are not ASCII's in all letters, else in those of ASCII."""
    return is_like_lowered(text, *lowered(pieces))


def lowered(pieces: Sequence[str]) -> tuple[Sequence[str], bool]:
    """The pieces in lower case, and whether they are all ASCII."""
    lower = [piece.lower() for piece in pieces]
    return lower, all(map(str.isascii, lower))


_ASCII_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


def is_like_lowered(text: str, pieces: Sequence[str], ascii: bool) -> bool:
    """`is_like`, of what `lowered` gave."""
    text = text.translate(_ASCII_LOWER) if ascii else text.lower()
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return text == first
    if not text.startswith(first):
        return False
    position = len(first)
    for piece in pieces[1:-1]:
        found = text.find(piece, position)
        if found < 0:
            return False
        position = found + len(piece)
    return text.endswith(last) and len(text) - len(last) >= position
