"""Search queries as Conductor's users write them, in the terms of `tenuto.model.search`.

    workflowType = Order AND status IN (FAILED, TIMED_OUT) AND startTime > 1790000000000
    correlationId:"order-42" OR (createdBy = 'ann*' AND NOT endTime IS null)

- AND, OR, NOT, parentheses; `=` `!=` `<` `>` `<=` `>=` `:` (the same as `=`), [NOT] IN (a, b), [NOT] BETWEEN a AND b,
  IS [NOT] null, STARTS_WITH. In any case.
- Values are bare or in quotes; `*` in a value that is tested for equality stands for any text, and then case doesn't
  matter. In quotes a backslash takes the meaning from `"`, `'`, `*` and itself.
- Times are epoch milliseconds or ISO 8601 (UTC where they don't say otherwise), and mean the whole of that millisecond.
- Fields have the names that they have in a result, in any case. **A condition on a field that is unknown is left out,
  as if it had not been written**: so does Conductor.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

from tenuto.model.search import TASKS, WORKFLOWS, And, Condition, Not, Or, SearchQuery
from tenuto.server.query_conditions import Field
from tenuto.server.query_scanner import LONGEST_VALUE, QueryError, Scanner, Value

__all__ = ["QueryError", "parse_free_text", "parse_query", "parse_sort", "search_query"]

Kind: TypeAlias = Literal["workflow", "task"]

LONGEST_QUERY = 65_536
"""Characters."""
MOST_CONDITIONS = 2_000
"""In one query; every value in a list counts as one, too."""
DEEPEST = 32
"""Parentheses and NOTs inside each other."""

_SEARCHABLE = {"workflow": WORKFLOWS, "task": TASKS}
_OTHER_NAMES: Mapping[Kind, Mapping[str, str]] = {
    "workflow": {"reasonforincompletion": "reason", "workflowname": "workflow_type"},
    "task": {
        "reasonforincompletion": "reason",
        "referencetaskname": "reference_name",
        "taskreferencename": "reference_name",
        "workflowpriority": "priority",
    },
}
_NAMES: Mapping[Kind, Mapping[str, str]] = {
    kind: {field.replace("_", ""): field for field in _SEARCHABLE[kind].fields} | dict(others)
    for kind, others in _OTHER_NAMES.items()
}


def search_query(
    kind: Kind, *, query: str = "", free_text: str = "", sort: str = "", start: int = 0, size: int = 100
) -> SearchQuery:
    """What the parameters of a search endpoint ask for. Raises `QueryError`."""
    condition = parse_query(query, kind)
    more, text = parse_free_text(free_text, kind)
    both = tuple(part for part in (condition, more) if part is not None)
    return SearchQuery(
        condition=both[0] if len(both) == 1 else And(both) if both else None,
        free_text=text,
        sort=parse_sort(sort, kind),
        start=start,
        size=size,
    )


def parse_query(text: str, kind: Kind) -> Condition | None:
    """The condition that a query states; None for none. Raises `QueryError`."""
    if len(text) > LONGEST_QUERY:
        raise QueryError(f"a query has at most {LONGEST_QUERY} characters", LONGEST_QUERY)
    return None if text.strip() in ("", "*") else _Parser(text, kind).whole()


def parse_free_text(text: str, kind: Kind) -> tuple[Condition | None, str]:
    """A condition, or a text to look for. It is a condition if it begins with a known field and a colon; wildcards and
    quotes around a text mean nothing. Raises `QueryError`."""
    field, colon, _ = text.partition(":")
    if colon and _field(field.strip(), kind) is not None:
        return parse_query(text, kind), ""
    plain = text.strip().strip("*")
    if len(plain) > 1 and plain[0] == plain[-1] and plain[0] in "\"'":
        plain = plain[1:-1]
    if len(plain) > LONGEST_VALUE:
        raise QueryError(f"a free text has at most {LONGEST_VALUE} characters", LONGEST_VALUE)
    return None, plain


def parse_sort(text: str, kind: Kind) -> tuple[tuple[str, bool], ...]:
    """(column, descending) pairs of `field:ASC|otherField:DESC`, or the same with commas; what is none is left out."""
    terms: list[tuple[str, bool]] = []
    for term in re.split(r"[|,]", text):
        name, _, direction = (part.strip() for part in term.partition(":"))
        field = _field(name, kind)
        if field is not None and direction.upper() in ("", "ASC", "DESC"):
            terms.append((field.name, direction.upper() == "DESC"))
    return tuple(terms)


def _field(name: str, kind: Kind) -> Field | None:
    column = _NAMES[kind].get(name.replace("_", "").lower())
    return None if column is None else Field(column, _SEARCHABLE[kind].fields[column])


class _Parser:
    """Recursive descent: one method a rule of the grammar. A rule gives None for what is left out."""

    def __init__(self, text: str, kind: Kind) -> None:
        self._kind = kind
        self._scanner = Scanner(text)
        self._depth = 0
        self._conditions = 0

    def whole(self) -> Condition | None:
        condition = self._either()
        if not self._scanner.at_end():
            raise self._scanner.error("AND, OR or the end belongs here; a value that holds such a word needs quotes")
        return condition

    def _either(self) -> Condition | None:
        parts = [self._all()]
        while self._scanner.take_word("OR"):
            parts.append(self._all())
        known = tuple(part for part in parts if part is not None)
        return Or(known) if len(known) > 1 else known[0] if known else None

    def _all(self) -> Condition | None:
        parts = [self._one()]
        while self._scanner.take_word("AND"):
            parts.append(self._one())
        known = tuple(part for part in parts if part is not None)
        return And(known) if len(known) > 1 else known[0] if known else None

    def _one(self) -> Condition | None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._scanner.error(f"parentheses and NOTs go {DEEPEST} deep at most")
        condition: Condition | None
        if self._scanner.take_word("NOT"):
            negated = self._one()
            condition = None if negated is None else Not(negated)
        elif self._scanner.take("("):
            condition = self._either()
            self._close()
        else:
            condition = self._condition()
        self._depth -= 1
        return condition

    def _close(self) -> None:
        if not self._scanner.take(")"):
            raise self._scanner.error("a closing parenthesis belongs here")

    def _condition(self) -> Condition | None:
        self._count(1)
        field = _field(self._scanner.field(), self._kind)
        operator = self._scanner.operator()
        if operator is not None:
            value = self._scanner.value()
            return None if field is None else field.compare(operator, value)
        if self._scanner.take_word("IS"):
            negated = self._scanner.take_word("NOT")
            if not self._scanner.take_word("NULL"):
                raise self._scanner.error("after IS comes null, or NOT null")
            condition = None if field is None else field.is_null()
        else:
            negated = self._scanner.take_word("NOT")
            condition = self._worded(field)
        return Not(condition) if negated and condition is not None else condition

    def _worded(self, field: Field | None) -> Condition | None:
        """What follows a field and perhaps a NOT."""
        if self._scanner.take_word("IN"):
            values = self._list()
            return None if field is None else field.one_of(values)
        if self._scanner.take_word("BETWEEN"):
            low = self._scanner.value()
            if not self._scanner.take_word("AND"):
                raise self._scanner.error("BETWEEN has two bounds, with AND between them")
            high = self._scanner.value()
            return None if field is None else field.between(low, high)
        if self._scanner.take_word("STARTS_WITH"):
            prefix = self._scanner.value()
            return None if field is None else field.starts_with(prefix)
        raise self._scanner.error("one of = != < > <= >= : IN, BETWEEN, IS, STARTS_WITH belongs here")

    def _list(self) -> list[Value]:
        if not self._scanner.take("("):
            raise self._scanner.error("a list in parentheses belongs here")
        values = [self._scanner.value(listed=True)]
        while self._scanner.take(","):
            values.append(self._scanner.value(listed=True))
        self._close()
        self._count(len(values))
        return values

    def _count(self, conditions: int) -> None:
        self._conditions += conditions
        if self._conditions > MOST_CONDITIONS:
            raise self._scanner.error(f"a query has at most {MOST_CONDITIONS} conditions and values in lists")
