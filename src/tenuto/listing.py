"""What a list query can say.

A query is one or more conditions joined by AND, in the notation of Temporal's list filters:

    WorkflowType = 'Checkout' AND ExecutionStatus IN ('Failed', 'TimedOut') AND StartTime >= '2026-11-20T00:00:00Z'

| attribute        | conditions                       | values                                                |
|------------------|----------------------------------|-------------------------------------------------------|
| WorkflowId       | =, STARTS_WITH                   | text                                                  |
| WorkflowType     | =, IN (..., ...)                 | text                                                  |
| ExecutionStatus  | =, IN (..., ...)                 | Running, Completed, Failed, Canceled, Terminated,     |
|                  |                                  | ContinuedAsNew, TimedOut; upper or lower case         |
| TaskQueue        | =                                | text                                                  |
| ParentWorkflowId | =                                | text                                                  |
| StartTime        | =, >, >=, <, <=, BETWEEN x AND y | ISO 8601, to nanoseconds; UTC unless it has an offset |
| CloseTime        | like StartTime                   | like StartTime; runs that are still open never match  |
| Stuck            | =                                | true, false: is it held up by a problem, or paused?   |

Values stand in single or double quotes (true and false need none); a quote within them is written twice: 'it''s'.
Keywords may be in upper or lower case, attributes are written as above. BETWEEN includes both its ends. An attribute
may have several conditions, which then all hold: `StartTime > '2026-11-01' AND StartTime < '2026-12-01'`. Conditions on
one attribute that no run can meet are an error, not an empty list. There is no OR, NOT, !=, null, ORDER BY or GROUP BY:
runs come newest start first. A query without conditions asks for every run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, NamedTuple, NoReturn

from tenuto._timestamps import time_of
from tenuto.model.policies import ExecutionStatus
from tenuto.store.protocol import ExecutionFilter

__all__ = ["MAX_QUERY", "parse_query"]

MAX_QUERY = 4_000
"""Characters of a query."""

_POSSIBLE = (
    "A query is conditions joined by AND: WorkflowId (=, STARTS_WITH), WorkflowType (=, IN), ExecutionStatus (=, IN), "
    "TaskQueue (=), ParentWorkflowId (=), StartTime and CloseTime (=, >, >=, <, <=, BETWEEN), Stuck (=)"
)
_REFUSED = {
    "OR": "OR is not supported; use IN for several values of one attribute, or several queries",
    "NOT": "NOT is not supported",
    "IS": "IS is not supported; runs that are open have ExecutionStatus = 'Running'",
    "NULL": "null is not supported; runs that are open have ExecutionStatus = 'Running'",
    "ORDER": "ORDER BY is not supported; runs come newest start first",
    "GROUP": "GROUP BY is not supported; count_workflows() counts by status",
    "LIMIT": "LIMIT is not supported in a query; list_workflows() has a parameter for it",
    "LIKE": "LIKE is not supported; use WorkflowId STARTS_WITH",
    "!=": "!= is not supported",
    "<>": "<> is not supported",
}
_STATUSES = {status.name.replace("_", "").lower(): status for status in ExecutionStatus}
_STATUS_NAMES = ", ".join(
    f"'{''.join(word.capitalize() for word in status.name.split('_'))}'" for status in ExecutionStatus
)
# The times that a store can compare, less one at each end: a bound is moved by one to exclude it.
_FIRST, _LAST = -(2**63) + 1, 2**63 - 2


def parse_query(query: str | None) -> ExecutionFilter:
    """The filter that `query` describes; see the module for the language.

    Raises ValueError that says at which character (the first is 1) what was expected.
    """
    if query is None:
        return ExecutionFilter()
    if len(query) > MAX_QUERY:
        raise ValueError(f"query: {len(query)} characters, at most {MAX_QUERY} are possible")
    return _Parser(_tokens(query)).filter()


class _Kind(Enum):
    WORD = auto()
    TEXT = auto()
    SIGN = auto()
    END = auto()


class _Token(NamedTuple):
    kind: _Kind
    value: str
    at: int

    @property
    def keyword(self) -> str:
        """The word or sign as the grammar knows it; nothing for a quoted value."""
        return self.value.upper() if self.kind in (_Kind.WORD, _Kind.SIGN) else ""

    def __str__(self) -> str:
        return "the end" if self.kind is _Kind.END else repr(self.value)


_TOKEN = re.compile(
    r"""\s*(?:(?P<WORD>[A-Za-z_]\w*)
        | '(?P<single>(?:[^']|'')*)'
        | "(?P<double>(?:[^"]|"")*)"
        | (?P<SIGN>>=|<=|!=|<>|[=<>(),])
        | (?P<END>\Z))""",
    re.VERBOSE,
)


def _tokens(query: str) -> list[_Token]:
    tokens: list[_Token] = []
    end = 0
    while not tokens or tokens[-1].kind is not _Kind.END:
        found = _TOKEN.match(query, end)
        if found is None:
            _refuse_character(query, end)
        group = found.lastgroup or ""
        at = found.start(group) + 1
        if group in ("single", "double"):
            quote = "'" if group == "single" else '"'
            tokens.append(_Token(_Kind.TEXT, _storable(found[group].replace(quote * 2, quote), at), at - 1))
        else:
            tokens.append(_Token(_Kind[group], found[group], at))
        end = found.end()
    return tokens


def _refuse_character(query: str, end: int) -> NoReturn:
    rest = query[end:].lstrip()
    at = len(query) - len(rest) + 1
    if rest[0] in "'\"":
        _refuse(at, f"the value that begins here has no closing {rest[0]}")
    if rest[0].isdigit() or rest[0] in "+-":
        _refuse(at, "expected a value in quotes")
    _refuse(at, f"{rest[0]!r} has no meaning here. {_POSSIBLE}")


def _storable(text: str, at: int) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        _refuse(at, "this value has characters that are not Unicode")
    return text


def _refuse(at: int, problem: str) -> NoReturn:
    raise ValueError(f"query, character {at}: {problem}")


class _Parser:
    """Reads the conditions from left to right and narrows the fields of the filter with each."""

    def __init__(self, tokens: list[_Token]) -> None:
        self.tokens = tokens
        self.next = 0
        self.fields: dict[str, Any] = {}

    def filter(self) -> ExecutionFilter:
        if self.peek().kind is not _Kind.END:
            self.condition()
        while self.peek().kind is not _Kind.END:
            self.take("AND", or_else="AND or the end")
            self.condition()
        return ExecutionFilter(**self.fields)

    def peek(self) -> _Token:
        return self.tokens[self.next]

    def advance(self) -> _Token:
        token = self.peek()
        self.next += 1
        return token

    def take(self, *keywords: str, or_else: str) -> _Token:
        """The next token, which has to be one of `keywords`."""
        token = self.peek()
        if token.keyword not in keywords:
            self.refuse(token, or_else)
        return self.advance()

    def refuse(self, token: _Token, expected: str) -> NoReturn:
        hint = _REFUSED.get(token.keyword)
        if hint:
            _refuse(token.at, f"{hint}; expected {expected}. {_POSSIBLE}")
        _refuse(token.at, f"expected {expected}, found {token}")

    def condition(self) -> None:
        token = self.peek()
        read = _ATTRIBUTES.get(token.value) if token.kind is _Kind.WORD else None
        if read is None:
            self.refuse(token, "one of the attributes " + ", ".join(_ATTRIBUTES))
        self.advance()
        read(self, token)

    def text(self) -> _Token:
        if self.peek().kind is not _Kind.TEXT:
            self.refuse(self.peek(), "a value in quotes")
        return self.advance()

    def texts(self) -> list[_Token]:
        """The values of `= 'x'` or `IN ('x', 'y')`."""
        if self.take("=", "IN", or_else="= or IN").keyword == "=":
            return [self.text()]
        self.take("(", or_else="( and values in quotes")
        values = [self.text()]
        while self.take(",", ")", or_else=", or )").value == ",":
            values.append(self.text())
        return values

    def time(self) -> int:
        token = self.text()
        try:
            return min(max(time_of(token.value), _FIRST), _LAST)
        except ValueError as error:
            _refuse(token.at, str(error))

    # What a condition does to the filter.

    def settle(self, attribute: _Token, field: str, value: object) -> None:
        if self.fields.setdefault(field, value) != value:
            self.contradicts(attribute)

    def intersect(self, attribute: _Token, field: str, values: list[Any]) -> None:
        known = self.fields.get(field)
        left = tuple(value for value in dict.fromkeys(values) if known is None or value in known)
        if not left:
            self.contradicts(attribute)
        self.fields[field] = left

    def bound(self, attribute: _Token, field: str, after: int | None = None, before: int | None = None) -> None:
        """Narrow to the times between `after` and `before`, which are not included."""
        low, high = field + "_after", field + "_before"
        if after is not None:
            self.fields[low] = max(after, self.fields.get(low, after))
        if before is not None:
            self.fields[high] = min(before, self.fields.get(high, before))
        if low in self.fields and high in self.fields and self.fields[high] - self.fields[low] < 2:
            self.contradicts(attribute)

    def contradicts(self, attribute: _Token) -> NoReturn:
        _refuse(attribute.at, f"no run can meet this condition and the others on {attribute.value}")


def _workflow_id(parser: _Parser, attribute: _Token) -> None:
    if parser.take("=", "STARTS_WITH", or_else="= or STARTS_WITH").value == "=":
        parser.settle(attribute, "workflow_id", parser.text().value)
    else:
        _narrow_prefix(parser, attribute, parser.text().value)
    exact, prefix = parser.fields.get("workflow_id"), parser.fields.get("workflow_id_prefix", "")
    if exact is not None and not exact.startswith(prefix):
        parser.contradicts(attribute)


def _narrow_prefix(parser: _Parser, attribute: _Token, prefix: str) -> None:
    short, long = sorted((parser.fields.get("workflow_id_prefix", ""), prefix), key=len)
    if not long.startswith(short):
        parser.contradicts(attribute)
    parser.fields["workflow_id_prefix"] = long


def _workflow_type(parser: _Parser, attribute: _Token) -> None:
    parser.intersect(attribute, "workflow_types", [token.value for token in parser.texts()])


def _status(parser: _Parser, attribute: _Token) -> None:
    statuses = []
    for token in parser.texts():
        status = _STATUSES.get(token.value.replace("_", "").lower())
        if status is None:
            _refuse(token.at, f"expected one of {_STATUS_NAMES}, found {token}")
        statuses.append(status)
    parser.intersect(attribute, "statuses", statuses)


def _stuck(parser: _Parser, attribute: _Token) -> None:
    parser.take("=", or_else="=")
    token = parser.advance()
    if token.value.lower() not in ("true", "false"):
        parser.refuse(token, "true or false")
    parser.settle(attribute, "stuck", token.value.lower() == "true")


def _equals(field: str) -> Callable[[_Parser, _Token], None]:
    def read(parser: _Parser, attribute: _Token) -> None:
        parser.take("=", or_else="=")
        parser.settle(attribute, field, parser.text().value)

    return read


def _time(field: str) -> Callable[[_Parser, _Token], None]:
    """Times are whole nanoseconds and the filter's bounds exclude, so `>= t` is `> t - 1`."""

    def read(parser: _Parser, attribute: _Token) -> None:
        operator = parser.take("=", ">", ">=", "<", "<=", "BETWEEN", or_else="one of =, >, >=, <, <=, BETWEEN").keyword
        time = parser.time()
        if operator == "BETWEEN":
            parser.take("AND", or_else="AND and the other time of BETWEEN")
            parser.bound(attribute, field, time - 1, parser.time() + 1)
        elif operator == "=":
            parser.bound(attribute, field, time - 1, time + 1)
        elif operator in (">", ">="):
            parser.bound(attribute, field, after=time - (operator == ">="))
        else:
            parser.bound(attribute, field, before=time + (operator == "<="))

    return read


_ATTRIBUTES: dict[str, Callable[[_Parser, _Token], None]] = {
    "WorkflowId": _workflow_id,
    "WorkflowType": _workflow_type,
    "ExecutionStatus": _status,
    "TaskQueue": _equals("task_queue"),
    "ParentWorkflowId": _equals("parent_workflow_id"),
    "StartTime": _time("started"),
    "CloseTime": _time("closed"),
    "Stuck": _stuck,
}
