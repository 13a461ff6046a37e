"""Conductor's search queries: what is read from them, and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenuto.model.search import (
    TASKS,
    WORKFLOWS,
    And,
    Between,
    Compare,
    Condition,
    In,
    IsNull,
    Like,
    Not,
    Or,
    SearchQuery,
    StartsWith,
    check_query,
)
from tenuto.server.query_scanner import LONGEST_VALUE, MOST_WILDCARDS
from tenuto.server.search_query import (
    DEEPEST,
    LONGEST_QUERY,
    MOST_CONDITIONS,
    QueryError,
    parse_free_text,
    parse_query,
    parse_sort,
    search_query,
)

MS = 1_000_000


def is_(value: str, field: str = "status") -> Compare:
    return Compare(field, "=", value)


A, B, C = is_("A"), is_("B"), is_("C")


@pytest.mark.parametrize(
    ("query", "condition"),
    [
        ("", None),
        ("  \t", None),
        ("*", None),
        ("status=A", A),
        (" status = A ", A),
        ("STATUS=A", A),
        ("status:A", A),
        ('status="A"', A),
        ("status='A'", A),
        ("workflowType=Order", is_("Order", "workflow_type")),
        ("workflow_type=Order", is_("Order", "workflow_type")),
        ("reasonForIncompletion=x", is_("x", "reason")),
        ("status!=A", Not(A)),
        ("version=3", Compare("version", "=", 3)),
        ("version >= -3", Compare("version", ">=", -3)),
        ("version<'3'", Compare("version", "<", 3)),
        ("createdBy<m", Compare("created_by", "<", "m")),
        ("status IN (A)", In("status", ("A",))),
        ("status IN(A,'B,(b', C d )", In("status", ("A", "B,(b", "C d"))),
        ("status IN (OR, and x)", In("status", ("OR", "and x"))),
        ("status not in (A, B)", Not(In("status", ("A", "B")))),
        ("version IN (1, 2)", In("version", (1, 2))),
        ("status IN (A, B*)", Or((Like("status", ("B", "")), In("status", ("A",))))),
        ("version BETWEEN 1 AND 2", Between("version", 1, 2)),
        ("status between 'x AND y' and z", Between("status", "x AND y", "z")),
        ("version NOT BETWEEN 1 AND 2 AND status=A", And((Not(Between("version", 1, 2)), A))),
        ("endTime IS null", IsNull("end_time")),
        ("endTime is not NULL", Not(IsNull("end_time"))),
        ("status STARTS_WITH A", StartsWith("status", "A")),
        ("status STARTS_WITH 'A*'", StartsWith("status", "A*")),
        ("status=A AND status=B OR status=C", Or((And((A, B)), C))),
        ("status=A and (status=B or status=C)", And((A, Or((B, C))))),
        ("(((status=A)))AND(status=B)", And((A, B))),
        ("NOT status=A AND status=B", And((Not(A), B))),
        ("NOT(status=A AND status=B)", Not(And((A, B)))),
        ("NOT NOT status=A", Not(Not(A))),
        ("correlationId:\"x\" AND status:'A'", And((is_("x", "correlation_id"), A))),
    ],
)
def test_what_a_query_says(query: str, condition: Condition | None) -> None:
    assert parse_query(query, "workflow") == condition


@pytest.mark.parametrize(
    ("written", "pieces"),
    [
        ("a*", ("a", "")),
        ("*", ("", "")),
        ("*a*b", ("", "a", "b")),
        ("a\\*", ("a\\", "")),
        ("'a\\*b'", ("a*b",)),
        ("'a\\*b*'", ("a*b", "")),
        ("'C:\\dir\\x'", ("C:\\dir\\x",)),
        ("'\\\\*'", ("\\", "")),
        ('"say \\"hi\\""', ('say "hi"',)),
        ('"it\'s"', ("it's",)),
        ("''", ("",)),
        ("a=b<c", ("a=b<c",)),
        ("order-42/x:y", ("order-42/x:y",)),
        ("a (b (c)) d", ("a (b (c)) d",)),
        ("ANDROID ORDER", ("ANDROID ORDER",)),
        ("x's", ("x's",)),
        ("Größe 😀", ("Größe 😀",)),
    ],
)
def test_values_are_bare_or_in_quotes(written: str, pieces: tuple[str, ...]) -> None:
    value = is_(pieces[0]) if len(pieces) == 1 else Like("status", pieces)
    assert parse_query(f"status={written}", "workflow") == value
    assert parse_query(f"(status={written} AND status=B)", "workflow") == And((value, B))
    assert parse_query(f"status!={written}", "workflow") == Not(value)


@pytest.mark.parametrize(
    ("query", "condition"),
    [
        ("startTime=5", Between("start_time", 5 * MS, 6 * MS - 1)),
        ("startTime!=5", Not(Between("start_time", 5 * MS, 6 * MS - 1))),
        ("startTime>5", Compare("start_time", ">", 6 * MS - 1)),
        ("startTime>=5", Compare("start_time", ">=", 5 * MS)),
        ("startTime<5", Compare("start_time", "<", 5 * MS)),
        ("startTime<=5", Compare("start_time", "<=", 6 * MS - 1)),
        ("startTime BETWEEN 5 AND 7", Between("start_time", 5 * MS, 8 * MS - 1)),
        ("startTime IN (5)", Between("start_time", 5 * MS, 6 * MS - 1)),
        ("startTime<9999999999999", Compare("start_time", "<", 2**63 - 1)),
        ("startTime>-99999999999999999999", Compare("start_time", ">", -(2**63))),
        ("startTime>=1970-01-01", Compare("start_time", ">=", 0)),
        ("startTime>=1970-01-01T00:00:01.250Z", Compare("start_time", ">=", 1250 * MS)),
        ("startTime>='1970-01-01T02:00:00+02:00'", Compare("start_time", ">=", 0)),
        ("startTime>=1970-01-01 00:00:01", Compare("start_time", ">=", 1000 * MS)),
    ],
)
def test_a_time_is_the_whole_of_a_millisecond(query: str, condition: Condition) -> None:
    assert parse_query(query, "workflow") == condition


@pytest.mark.parametrize(
    ("query", "condition"),
    [
        ("foo=1", None),
        ("foo IS null OR foo NOT IN (1,2) AND NOT foo BETWEEN a AND b", None),
        ("foo=1 AND status=A", A),
        ("status=A OR foo STARTS_WITH x", A),
        ("NOT (foo=1 OR status=A)", Not(A)),
    ],
)
def test_conditions_on_unknown_fields_are_left_out(query: str, condition: Condition | None) -> None:
    assert parse_query(query, "workflow") == condition


def test_fields_of_tasks() -> None:
    assert parse_query("referenceTaskName=x AND workflowPriority>3", "task") == And(
        (is_("x", "reference_name"), Compare("priority", ">", 3))
    )
    assert parse_query("parentWorkflowId=x", "task") is None
    assert parse_query("taskDefName=x", "workflow") is None


@pytest.mark.parametrize(
    ("query", "position", "problem"),
    [
        ("status", 6, "one of = "),
        ("status LIKE x", 7, "one of = "),
        ("status=", 7, "a value belongs here"),
        ("status= AND status=A", 8, "a value belongs here"),
        ("status=or", 7, "a value belongs here, in quotes"),
        ("status=A AND", 12, "the name of a field"),
        ("=A", 0, "the name of a field"),
        ("(status=A", 9, "a closing parenthesis"),
        ("status=A)", 8, "AND, OR or the end"),
        ("status='A", 7, "quotes are not closed"),
        ("status='A'B", 10, "ends with its quotes"),
        ("status='A' status='B'", 11, "AND, OR or the end"),
        ("status IN A", 10, "a list in parentheses"),
        ("status IN ()", 11, "a value belongs here"),
        ("status IN (A", 12, "a closing parenthesis"),
        ("status IN (A,)", 13, "a value belongs here"),
        ("version=x", 8, "a whole number"),
        ("version='1.5'", 8, "a whole number"),
        ("version=1*", 8, "a whole number"),
        ("version=９", 8, "a whole number"),
        (f"version={2**63}", 8, "a whole number"),
        ("version STARTS_WITH 1", 20, "STARTS_WITH is for texts"),
        ("version BETWEEN 1", 17, "two bounds"),
        ("endTime IS 5", 11, "comes null"),
        ("startTime=yesterday", 10, "a time belongs here"),
        ("startTime=" + "9" * 31, 10, "a time belongs here"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(query: str, position: int, problem: str) -> None:
    with pytest.raises(QueryError, match=problem) as refused:
        parse_query(query, "workflow")
    assert refused.value.position == position
    assert f"at character {position + 1}:" in str(refused.value)


@pytest.mark.parametrize(
    "query",
    [
        "status=" + "x" * LONGEST_QUERY,
        "status=" + "x" * (LONGEST_VALUE + 1),
        "status=" + "*" * (MOST_WILDCARDS + 1),
        "(" * (DEEPEST + 1) + "status=A" + ")" * (DEEPEST + 1),
        "NOT " * (DEEPEST + 1) + "status=A",
        "(" * 60_000,
        " OR ".join(["version=1"] * (MOST_CONDITIONS + 1)),
        f"version IN ({','.join(['1'] * (MOST_CONDITIONS + 1))})",
    ],
)
def test_a_query_has_bounds(query: str) -> None:
    with pytest.raises(QueryError, match="at most"):
        parse_query(query, "workflow")


@pytest.mark.parametrize("query", ["status=" + " " * 60_000, "status='" + "\\" * 60_000, "(" * 30 + "status=(" * 7_000])
def test_odd_queries_are_refused_in_no_time(query: str) -> None:
    with pytest.raises(QueryError):
        parse_query(query, "workflow")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (None, "")),
        ("*", (None, "")),
        (" boom ", (None, "boom")),
        ("*boom*", (None, "boom")),
        ('"out of stock"', (None, "out of stock")),
        ("http://host:80", (None, "http://host:80")),
        ('correlationId:"x"', (is_("x", "correlation_id"), "")),
        ("status:A AND nothing:B", (A, "")),
    ],
)
def test_free_text(text: str, expected: tuple[Condition | None, str]) -> None:
    assert parse_free_text(text, "workflow") == expected


def test_a_free_text_has_bounds() -> None:
    with pytest.raises(QueryError, match="at most"):
        parse_free_text("x" * (LONGEST_VALUE + 1), "workflow")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("startTime:DESC", (("start_time", True),)),
        ("startTime:desc|status:ASC, version", (("start_time", True), ("status", False), ("version", False))),
        ("foo:ASC|status:up|:DESC|status", (("status", False),)),
        ("input:ASC", ()),
    ],
)
def test_sort(text: str, expected: tuple[tuple[str, bool], ...]) -> None:
    assert parse_sort(text, "workflow") == expected


def test_the_parameters_of_an_endpoint_become_one_query() -> None:
    assert search_query("workflow") == SearchQuery()
    assert search_query("task", query="status=A", free_text="x", sort="status:DESC", start=2, size=3) == SearchQuery(
        condition=A, free_text="x", sort=(("status", True),), start=2, size=3
    )
    assert search_query("task", query="status=A", free_text="status:B").condition == And((A, B))


# -- whatever comes along ---------------------------------------------------------------------------

WORDS = "status version startTime foo = != < >= : ( ) , ' \" * \\ AND OR NOT IN BETWEEN IS null STARTS_WITH A 5 5x"
FRAGMENTS = st.sampled_from(WORDS.split())
QUERIES = st.text() | st.lists(FRAGMENTS | st.text(max_size=2), max_size=14).map(" ".join)


@given(QUERIES)
def test_any_text_is_read_soundly_or_refused_inside(text: str) -> None:
    for kind, searchable in (("workflow", WORKFLOWS), ("task", TASKS)):
        position = len(text)
        try:
            condition = parse_query(text, kind)  # type: ignore[arg-type]
        except QueryError as refused:
            position = refused.position
        else:
            check_query(SearchQuery(condition=condition), searchable)
        assert 0 <= position <= len(text)


FIELDS = st.sampled_from(["status", "reason", "created_by"])
VALUES = st.text(min_size=1)
LEAVES: st.SearchStrategy[Any] = st.one_of(
    st.builds(Compare, FIELDS, st.sampled_from(["=", "<", ">="]), VALUES),
    st.builds(Between, FIELDS, VALUES, VALUES),
    st.builds(In, FIELDS, st.lists(VALUES, min_size=1, max_size=3).map(tuple)),
    st.builds(IsNull, FIELDS),
    st.builds(StartsWith, FIELDS, VALUES),
    st.builds(Like, FIELDS, st.lists(st.text(), min_size=2, max_size=4).map(tuple)),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda parts: (
        st.builds(Not, parts)
        | st.builds(And, st.lists(parts, min_size=2, max_size=3).map(tuple))
        | st.builds(Or, st.lists(parts, min_size=2, max_size=3).map(tuple))
    ),
    max_leaves=8,
)


def quoted(text: str) -> str:
    return '"' + "".join("\\" + character if character in '\\"*' else character for character in text) + '"'


def written(condition: Condition) -> str:
    match condition:
        case And(parts):
            return " AND ".join(f"({written(part)})" for part in parts)
        case Or(parts):
            return " or ".join(f"({written(part)})" for part in parts)
        case Not(part):
            return f"NOT ({written(part)})"
        case Compare(field, operator, value):
            return f"{field}{operator}{quoted(str(value))}"
        case Between(field, low, high):
            return f"{field} between {quoted(str(low))} And {quoted(str(high))}"
        case In(field, values):
            return f"{field} In ({','.join(quoted(str(value)) for value in values)})"
        case IsNull(field):
            return f"{field} is Null"
        case StartsWith(field, prefix):
            return f"{field} STARTS_WITH {quoted(prefix)}"
        case Like(field, pieces):
            return f"{field}=" + '"' + "*".join(quoted(piece)[1:-1] for piece in pieces) + '"'


@given(CONDITIONS)
def test_what_is_written_is_what_is_read(condition: Condition) -> None:
    assert parse_query(written(condition), "workflow") == condition
