"""Searches in a SQLite store: a query becomes SQL of known columns and bound values only.

What a condition means is said by `tenuto.model.search`; in SQL a comparison with NULL is unknown, and `_not` is where
that becomes false.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from tenuto.model.errors import StoreError
from tenuto.model.search import (
    TASKS,
    WORKFLOWS,
    And,
    Between,
    Compare,
    Condition,
    FieldType,
    In,
    IsNull,
    Like,
    Not,
    Or,
    Searchable,
    SearchQuery,
    StartsWith,
    check_query,
    is_like_lowered,
    lowered,
)
from tenuto.store.protocol import SearchPage, TaskIndexRow, WorkflowIndexRow
from tenuto.store.sqlite_documents import end_of
from tenuto.store.sqlite_index import task_row, workflow_row
from tenuto.store.sqlite_reads import select

LONGEST_SEARCH = 20.0
"""Seconds. One search at a time is done, so a longer one would keep all others from their turn."""

CHECKED_AFTER = 50_000
"""Steps of SQLite's machine between two looks at the clock: a few milliseconds."""

R = TypeVar("R")


class _Index(Struct, frozen=True):
    """One of the two search indexes: `number` is the column that identifies a row."""

    searchable: Searchable
    table: str
    executions: str
    """What joins the runs, if a query asks for their columns."""
    columns: Mapping[str, str]
    number: str
    newest_first: tuple[str, ...]


def _columns(searchable: Searchable, table: str, of_executions: Sequence[str]) -> dict[str, str]:
    names = dict.fromkeys((*searchable.fields, *searchable.texts))
    return {name: f"{'e' if name in of_executions else table}.{name}" for name in names}


_WORKFLOWS = _Index(
    WORKFLOWS,
    "workflow_index AS w",
    "JOIN executions AS e ON e.id = w.run",
    _columns(WORKFLOWS, "w", ["workflow_id"]),
    number="w.run",
    newest_first=("w.start_time", "w.run"),
)
_TASKS = _Index(
    TASKS,
    "task_index AS t",
    "JOIN executions AS e ON e.id = t.run",
    _columns(TASKS, "t", ["workflow_id", "workflow_type"]),
    number="t.id",
    newest_first=("t.id",),
)


def prepare_searches(connection: sqlite3.Connection) -> None:
    """Once for each connection that is searched on."""
    connection.create_function("is_like", 2, _is_like, deterministic=True)


def search_workflows(connection: sqlite3.Connection, query: SearchQuery) -> SearchPage[WorkflowIndexRow]:
    total, numbers, rows = _search(connection, query, _WORKFLOWS, "indexed_workflows")
    return SearchPage(total, [workflow_row(rows[number]) for number in numbers])


def search_tasks(connection: sqlite3.Connection, query: SearchQuery) -> SearchPage[TaskIndexRow]:
    total, numbers, rows = _search(connection, query, _TASKS, "indexed_tasks")
    return SearchPage(total, [task_row(rows[number]) for number in numbers])


def find_tasks(connection: sqlite3.Connection, task_ids: Sequence[str]) -> list[TaskIndexRow | None]:
    rows = (task_row(columns) for _, *columns in select(connection, "indexed_tasks_by_task_id", set(task_ids)))
    found = {row.task_id: row for row in rows}
    return [found.get(task_id) for task_id in task_ids]


def _search(
    connection: sqlite3.Connection, query: SearchQuery, index: _Index, statement: str
) -> tuple[int, list[int], dict[int, list[Any]]]:
    """How many rows match, the numbers of those of the page, and these rows by number. The page is found first: to sort
    whole rows would be to move all their texts."""
    check_query(query, index.searchable)
    translation = _Translation(index)
    where, order = translation.where(query), translation.order(query)
    found = f"FROM {translation.tables()} WHERE {where}"
    page = f"SELECT {index.number} {found} ORDER BY {order} LIMIT ? OFFSET ?"
    deadline = time.monotonic() + LONGEST_SEARCH
    connection.set_progress_handler(lambda: time.monotonic() > deadline, CHECKED_AFTER)
    try:
        connection.execute("BEGIN")
        numbers = [
            number for (number,) in connection.execute(page, [*translation.values, query.size, query.start]).fetchall()
        ]
        if len(numbers) < query.size and (numbers or not query.start):
            total = query.start + len(numbers)
        else:
            (total,) = connection.execute(f"SELECT count(*) {found}", translation.values).fetchone()
        rows = {number: columns for number, *columns in select(connection, statement, numbers)}
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        raise StoreError(
            f"The search was given up after {LONGEST_SEARCH:g} s. Ask for a status, a type or an interval of start"
            " times, so that less must be looked through."
        ) from error
    finally:
        connection.set_progress_handler(None, 0)
    return total, numbers, rows


class _Translation:
    """A query in SQL; `values` are those of the question marks so far."""

    def __init__(self, index: _Index) -> None:
        self._index = index
        self._asks_executions = False
        self.values: list[object] = []

    def tables(self) -> str:
        """What the parts so far are about. Every row has its execution, so it is joined only where it is asked."""
        return f"{self._index.table} {self._index.executions}" if self._asks_executions else self._index.table

    def order(self, query: SearchQuery) -> str:
        terms: dict[str, bool] = {}
        for field, descending in query.sort:
            terms.setdefault(self._column(field), descending)
        for column in self._index.newest_first:
            terms.setdefault(column, True)
        return ", ".join(f"{column} {'DESC' if descending else 'ASC'}" for column, descending in terms.items())

    def where(self, query: SearchQuery) -> str:
        parts = [] if query.condition is None else [self._condition(query.condition)]
        if query.free_text:
            texts = self._index.searchable.texts
            pieces = ("", query.free_text, "")
            parts.append(_joined("OR", [self._like(self._column(text), pieces) for text in texts]))
        return _joined("AND", parts) if parts else "1"

    def _condition(self, condition: Condition) -> str:
        match condition:
            case And(conditions):
                return _joined("AND", [self._condition(part) for part in conditions]) if conditions else "1"
            case Or(conditions):
                return _joined("OR", [self._condition(part) for part in conditions]) if conditions else "0"
            case Not(part):
                return _not(self._condition(part))
        column = self._column(condition.field)
        match condition:
            case Compare(_, "!=", value):
                return f"{column} IS NOT {self._bind(value)}"
            case Compare(_, operator, value):
                return f"{column} {operator} {self._bind(value)}"
            case In(_, values):
                return f"{column} IN ({', '.join(map(self._bind, values))})"
            case Between(_, low, high):
                return f"{column} BETWEEN {self._bind(low)} AND {self._bind(high)}"
            case StartsWith(_, prefix):
                return f"({column} >= {self._bind(prefix)} AND {column} < {self._bind(end_of(prefix))})"
            case Like(_, pieces):
                return self._like(column, pieces)
            case IsNull(field):
                is_text = self._index.searchable.fields[field] is FieldType.TEXT
                return f"ifnull({column}, '') = ''" if is_text else f"{column} IS NULL"

    def _like(self, column: str, pieces: Sequence[str]) -> str:
        """SQLite's own LIKE knows the two cases of ASCII letters only. What knows those of others is slow, so it is
        asked only of texts that have as much as one."""
        pieces, ascii = lowered(pieces)
        if ascii:
            return f"{column} LIKE {self._bind('%'.join(map(_escaped, pieces)))} ESCAPE '\\'"
        pattern = self._bind(msgspec.json.encode(pieces).decode())
        return (
            f"CASE WHEN length({column}) < length(CAST({column} AS BLOB)) THEN is_like({column}, {pattern})"
            f" WHEN {column} IS NOT NULL THEN 0 END"
        )

    def _column(self, field: str) -> str:
        column = self._index.columns[field]
        self._asks_executions |= column.startswith("e.")
        return column

    def _bind(self, value: object) -> str:
        self.values.append(value)
        return "?"


def _joined(operator: str, parts: Sequence[str]) -> str:
    """In halves of halves, for how deep an expression may go is limited."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({_joined(operator, parts[:middle])} {operator} {_joined(operator, parts[middle:])})"


def _not(condition: str) -> str:
    return f"NOT ifnull({condition}, 0)"


def _escaped(piece: str) -> str:
    return piece.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _is_like(text: str, pattern: str) -> bool:
    return is_like_lowered(text, _pieces(pattern), ascii=False)


@lru_cache(maxsize=64)
def _pieces(pattern: str) -> tuple[str, ...]:
    return msgspec.json.decode(pattern, type=tuple[str, ...])
