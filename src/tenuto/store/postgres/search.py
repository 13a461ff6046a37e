"""Searches in a PostgreSQL store: a query becomes SQL of known columns and bound values only.

What a condition means is said by `tenuto.model.search`. In SQL a comparison with NULL is unknown, and `IS NOT TRUE` is
where that becomes false.

The one difference from other stores: a Greek sigma at the end of a word is a sigma like any other.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from functools import cache
from typing import Any

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
    Value,
    check_query,
    lowered,
)
from tenuto.store.documents import behind
from tenuto.store.postgres.documents import Fetch
from tenuto.store.postgres.driver import SEARCH_PLANS
from tenuto.store.postgres.index import task_row, workflow_row
from tenuto.store.postgres.sessions import Session
from tenuto.store.postgres.statements import Statement, Statements
from tenuto.store.postgres.texts import escape
from tenuto.store.protocol import SearchPage, TaskIndexRow, WorkflowIndexRow

LONGEST_SEARCH = 20.0
"""Seconds that finding a page may take."""

LONGEST_COUNT = 2.0
"""Seconds that counting may take. What takes longer is told as the server estimates it: millions of rows that match
are no reason to be without the page."""

MOST_VALUES = 32_000
"""In one statement; the wire protocol ends at 32,767."""

_SETTINGS = SEARCH_PLANS | {
    "transaction_isolation": "repeatable read",
    "transaction_read_only": "on",
    "max_parallel_workers_per_gather": "0",  # who searches waits; who commits shall not
    "constraint_exclusion": "off",  # would compare each condition with each other: seconds for a thousand
}
_MOST = 2**63 - 1


class _Index(Struct, frozen=True):
    """One of the two search indexes; `page` and `count` name its statements."""

    searchable: Searchable
    page: str
    count: str
    nullable: frozenset[str]
    newest_first: tuple[str, ...]


_WORKFLOWS = _Index(
    WORKFLOWS,
    "search_workflows",
    "count_workflows",
    frozenset(["end_time", "correlation_id", "created_by", "event", "reason", "idempotency_key"]),
    newest_first=("start_time", "number"),
)
_TASKS = _Index(
    TASKS,
    "search_tasks",
    "count_tasks",
    frozenset(["start_time", "end_time", "correlation_id", "domain", "reason"]),
    newest_first=("number",),
)


async def search_workflows(
    session: Session, statements: Statements, query: SearchQuery, longest: float
) -> SearchPage[WorkflowIndexRow]:
    """`longest` is how many seconds a statement may take."""
    total, records = await _search(session, statements, query, _WORKFLOWS, longest)
    return SearchPage(total, [workflow_row(record) for record in records])


async def search_tasks(
    session: Session, statements: Statements, query: SearchQuery, longest: float
) -> SearchPage[TaskIndexRow]:
    total, records = await _search(session, statements, query, _TASKS, longest)
    return SearchPage(total, [task_row(record) for record in records])


async def find_tasks(fetch: Fetch, task_ids: Sequence[str]) -> list[TaskIndexRow | None]:
    records = await fetch("find_tasks", {"task_ids": [escape(task_id) for task_id in task_ids]}) if task_ids else []
    found = {row.task_id: row for row in map(task_row, records)}
    return [found.get(task_id) for task_id in task_ids]


async def _search(
    session: Session, statements: Statements, query: SearchQuery, index: _Index, longest: float
) -> tuple[int, list[Any]]:
    """How many rows match, and those of the page."""
    asked = _Translation(query, index)
    longest = min(longest, LONGEST_SEARCH)
    matching = statements.source(index.page, where=asked.where, order=asked.order)
    page = Statement(f"{matching}\nLIMIT :size OFFSET :start")
    async with session.transaction(_SETTINGS | {"statement_timeout": _milliseconds(longest)}):
        try:
            records = await session.fetch(page, asked.values | {"size": query.size, "start": query.start})
        except Exception as error:
            if not _timed_out(error):
                raise
            raise StoreError(
                f"The search was given up after {longest:g} s. Ask for a status, a type or an interval of start"
                " times, so that less must be looked through."
            ) from error
        if len(records) < query.size and (records or not query.start):
            return query.start + len(records), records
        total = await _count(session, Statement(statements.source(index.count, where=asked.where)), asked.values)
        if total is None:
            expected = await _expected(session, Statement(f"EXPLAIN (FORMAT JSON) {matching}"), asked.values)
            total = max(query.start + len(records), expected)
        return total, records


async def _count(session: Session, statement: Statement, values: dict[str, object]) -> int | None:
    """What the statement counts; None if that takes too long."""
    await session.execute(f"SAVEPOINT counting; SET LOCAL statement_timeout = {_milliseconds(LONGEST_COUNT)}")
    try:
        ((number,),) = await session.fetch(statement, values)
    except Exception as error:
        if not _timed_out(error):
            raise
        await session.execute("ROLLBACK TO counting")
        return None
    return int(number)


async def _expected(session: Session, explain: Statement, values: dict[str, object]) -> int:
    """How many rows the server expects to match."""
    ((plan,),) = await session.fetch(explain, values)
    return int(msgspec.json.decode(plan)[0]["Plan"]["Plan Rows"])


def _milliseconds(seconds: float) -> str:
    return str(max(1, int(seconds * 1000)))


def _timed_out(error: Exception) -> bool:
    return getattr(error, "sqlstate", None) == "57014"


class _Translation:
    """A query in SQL; `values` are those of its parameters. Raises ValueError for one that makes no sense."""

    def __init__(self, query: SearchQuery, index: _Index) -> None:
        check_query(query, index.searchable)
        self._index = index
        self.values: dict[str, object] = {}
        self.where = self._where(query)
        self.order = self._order(query)

    def _order(self, query: SearchQuery) -> str:
        """NULLs are only spoken of where there are any: with the words, no index is in the order asked for."""
        terms: dict[str, bool] = {}
        for field, descending in (*query.sort, *((field, True) for field in self._index.newest_first)):
            terms.setdefault(field, descending)
        return ", ".join(map(self._term, terms, terms.values()))

    def _term(self, field: str, descending: bool) -> str:
        direction = "DESC" if descending else "ASC"
        if field not in self._index.nullable:
            return f"{field} {direction}"
        return f"{field} {direction} NULLS {'LAST' if descending else 'FIRST'}"

    def _where(self, query: SearchQuery) -> str:
        parts = [] if query.condition is None else [self._condition(query.condition)]
        if query.free_text:
            pieces = ("", query.free_text, "")
            parts.append(_joined("OR", [self._like(text, pieces) for text in self._index.searchable.texts]))
        return _joined("AND", parts) if parts else "true"

    def _condition(self, condition: Condition) -> str:
        match condition:
            case And(conditions):
                return _joined("AND", [self._condition(part) for part in conditions]) if conditions else "true"
            case Or(conditions):
                return _joined("OR", [self._condition(part) for part in conditions]) if conditions else "false"
            case Not(part):
                return f"({self._condition(part)}) IS NOT TRUE"
            case Compare(field, "!=", value):
                return f"{field} IS DISTINCT FROM {self._bind(value)}"
            case Compare(field, operator, value):
                return f"{field} {operator} {self._bind(value)}"
            case In(field, values):
                return f"{field} = ANY ({self._bind_all(field, values)})"
            case Between(field, low, high):
                return f"{field} BETWEEN {self._bind(low)} AND {self._bind(high)}"
            case StartsWith(field, prefix):
                return self._starts_with(field, escape(prefix))
            case Like(field, pieces):
                return self._like(field, pieces)
            case IsNull(field):
                is_text = self._index.searchable.fields[field] is FieldType.TEXT
                return f"coalesce({field}, '') = ''" if is_text else f"{field} IS NULL"

    def _starts_with(self, field: str, prefix: str) -> str:
        last = behind(prefix)
        from_first = f"{field} >= {self._bound(prefix, 'text')}"
        return from_first if last is None else f"({from_first} AND {field} < {self._bound(last, 'text')})"

    def _like(self, field: str, pieces: Sequence[str]) -> str:
        """In the collation C, `lower` knows the two cases of ASCII letters only. What knows those of others is slow, so
        it is asked only of texts that have as much as one."""
        pieces, ascii = lowered(pieces)
        if ascii:
            return f"lower({field}) LIKE {self._bind_pattern(pieces)}"
        pieces = [piece.replace("ς", "σ") for piece in pieces]
        others, letters = _other_cases(frozenset().union(*pieces))
        text = f"replace(translate({field}, {self._bind(others)}, {self._bind(letters)}), E'\\u0130', E'i\\u0307')"
        return (
            f"CASE WHEN length({field}) < octet_length({field}) THEN {text} LIKE {self._bind_pattern(pieces)}"
            f" WHEN {field} IS NOT NULL THEN false END"
        )

    def _bind(self, value: Value) -> str:
        if isinstance(value, str):
            return self._bound(escape(value), "text")
        return self._bound(_storable(value), "bigint")

    def _bind_all(self, field: str, values: Sequence[Value]) -> str:
        if self._index.searchable.fields[field] is FieldType.TEXT:
            return self._bound([escape(str(value)) for value in values], "text[]")
        return self._bound([_storable(int(value)) for value in values], "bigint[]")

    def _bind_pattern(self, pieces: Sequence[str]) -> str:
        return self._bound("%".join(_escaped(escape(piece)) for piece in pieces), "text")

    def _bound(self, value: object, type: str) -> str:
        if len(self.values) == MOST_VALUES:
            raise ValueError(f"A query can't name more than {MOST_VALUES} values; `In` with many counts as one.")
        name = f"value_{len(self.values)}"
        self.values[name] = value
        return f":{name}::{type}"


def _storable(number: int) -> int:
    """The number, or the nearest that a column can hold, where none is so large."""
    return max(-_MOST, min(number, _MOST))


def _joined(operator: str, parts: Sequence[str]) -> str:
    """In halves of halves, for how deep an expression may go is limited."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({_joined(operator, parts[:middle])} {operator} {_joined(operator, parts[middle:])})"


def _escaped(piece: str) -> str:
    return piece.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _other_cases(letters: Set[str]) -> tuple[str, str]:
    """All characters that are one of `letters` in another case, and beside each, which one."""
    pairs = [(other, letter) for other, letter in _lower_cases().items() if letter in letters]
    return "".join(other for other, _ in pairs), "".join(letter for _, letter in pairs)


@cache
def _lower_cases() -> dict[str, str]:
    """Every character that has a lower case of one character, with it. Beyond U+1FFFF there are none."""
    lower = {letter: letter.lower() for letter in map(chr, range(0x20000))}
    return {letter: other for letter, other in lower.items() if letter != other and len(other) == 1} | {"ς": "σ"}
