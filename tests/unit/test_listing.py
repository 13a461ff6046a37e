"""Queries mean what they say, and what can't be meant is refused at its place."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenuto.listing import MAX_QUERY, parse_query
from tenuto.model.policies import ExecutionStatus
from tenuto.store.memory_tables import matches
from tenuto.store.protocol import ExecutionFilter, ExecutionRow

SECOND = 1_000_000_000
NOON = 1_795_176_000 * SECOND  # 2026-11-20T12:00:00Z
AT_NOON = "'2026-11-20T12:00:00Z'"


@pytest.mark.parametrize("query", [None, "", "  \n"])
def test_no_conditions_ask_for_every_run(query: str | None) -> None:
    assert parse_query(query) == ExecutionFilter()


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("WorkflowId = 'order-1'", {"workflow_id": "order-1"}),
        ('WorkflowId="order-1"', {"workflow_id": "order-1"}),
        ("WorkflowId = 'it''s'", {"workflow_id": "it's"}),
        ('WorkflowId = "a ""b"" \'c\' \\"', {"workflow_id": "a \"b\" 'c' \\"}),
        ("WorkflowId = 'a AND b'", {"workflow_id": "a AND b"}),
        ("WorkflowId = 'été ☃'", {"workflow_id": "été ☃"}),
        ("WorkflowId = ''", {"workflow_id": ""}),
        ("WorkflowId starts_with 'order-'", {"workflow_id_prefix": "order-"}),
        (
            "WorkflowId STARTS_WITH 'order-' AND WorkflowId STARTS_WITH 'or'",
            {"workflow_id_prefix": "order-"},
        ),
        (
            "WorkflowId STARTS_WITH 'order-' and WorkflowId = 'order-1'",
            {"workflow_id": "order-1", "workflow_id_prefix": "order-"},
        ),
        ("WorkflowType = 'Checkout'", {"workflow_types": ("Checkout",)}),
        ("WorkflowType in ('A','B' , 'A')", {"workflow_types": ("A", "B")}),
        ("WorkflowType IN ('A', 'B') AND WorkflowType = 'B'", {"workflow_types": ("B",)}),
        ("ExecutionStatus = 'Running'", {"statuses": (ExecutionStatus.RUNNING,)}),
        (
            "ExecutionStatus IN ('timedout', 'CONTINUEDASNEW', 'TIMED_OUT')",
            {"statuses": (ExecutionStatus.TIMED_OUT, ExecutionStatus.CONTINUED_AS_NEW)},
        ),
        ("TaskQueue = 'gpu'", {"task_queue": "gpu"}),
        ("TaskQueue = 'gpu' AND TaskQueue = 'gpu'", {"task_queue": "gpu"}),
        ("ParentWorkflowId = 'batch'", {"parent_workflow_id": "batch"}),
        ("Stuck = true", {"stuck": True}),
        ("Stuck = 'FALSE'", {"stuck": False}),
        (f"StartTime > {AT_NOON}", {"started_after": NOON}),
        (f"StartTime >= {AT_NOON}", {"started_after": NOON - 1}),
        (f"StartTime < {AT_NOON}", {"started_before": NOON}),
        (f"StartTime <= {AT_NOON}", {"started_before": NOON + 1}),
        (f"StartTime = {AT_NOON}", {"started_after": NOON - 1, "started_before": NOON + 1}),
        (
            f"CloseTime between {AT_NOON} and '2026-11-20T12:00:01Z' AND Stuck = false",
            {"closed_after": NOON - 1, "closed_before": NOON + SECOND + 1, "stuck": False},
        ),
        (f"StartTime > {AT_NOON} AND StartTime > '2026-11-20T11:59Z'", {"started_after": NOON}),
        ("StartTime > '9999-12-31'", {"started_after": 2**63 - 2}),
        ("StartTime <= '0001-01-01'", {"started_before": -(2**63) + 2}),
    ],
)
def test_conditions_become_fields(query: str, fields: dict[str, Any]) -> None:
    assert parse_query(query) == ExecutionFilter(**fields)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-20T12:00:00", NOON),
        ("2026-11-20 12:00", NOON),
        ("2026-11-20", NOON - 12 * 3600 * SECOND),
        ("2026-11-20T12:00:00.5Z", NOON + SECOND // 2),
        ("2026-11-20T12:00:00.123456789z", NOON + 123_456_789),
        ("2026-11-20T14:00:00+02:00", NOON),
        ("2026-11-20T06:30:00-0530", NOON),
        ("2026-11-20T14+02", None),
        ("2026-11-20T14:00+02", NOON),
        ("1969-12-31T23:59:59.999999999Z", -1),
    ],
)
def test_times_are_exact_and_utc_unless_they_say_otherwise(text: str, time: int | None) -> None:
    if time is None:
        with pytest.raises(ValueError, match=r"character 13: .* is not a time like"):
            parse_query(f"StartTime > '{text}'")
    else:
        assert parse_query(f"StartTime > '{text}'").started_after == time


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("WorkflowId != 'a'", "character 12: != is not supported"),
        ("WorkflowId <> 'a'", "character 12: <> is not supported"),
        ("WorkflowId = 'a' OR WorkflowId = 'b'", "character 18: OR is not supported"),
        ("CloseTime is null", "character 11: IS is not supported"),
        ("CloseTime = null", "character 13: null is not supported"),
        ("Stuck = null", "character 9: null is not supported"),
        ("Stuck = true ORDER BY StartTime", "character 14: ORDER BY is not supported"),
        ("order by StartTime", "character 1: ORDER BY is not supported"),
        ("GROUP BY ExecutionStatus", "character 1: GROUP BY is not supported"),
        ("NOT Stuck = true", "character 1: NOT is not supported"),
        ("WorkflowType LIKE 'a'", "character 14: LIKE is not supported"),
        ("WorkflowType STARTS_WITH 'a'", "character 14: expected = or IN, found 'STARTS_WITH'"),
        ("WorkflowId IN ('a')", "character 12: expected = or STARTS_WITH, found 'IN'"),
        ("TaskQueue > 'a'", "character 11: expected =, found '>'"),
        ("RunId = 'a'", "character 1: expected one of the attributes WorkflowId, .*, found 'RunId'"),
        ("workflowid = 'a'", "character 1: expected one of the attributes"),
        ("'WorkflowId' = 'a'", "character 1: expected one of the attributes"),
        ("(Stuck = true)", r"character 1: expected one of the attributes .*, found '\('"),
        ("WorkflowId = a", "character 14: expected a value in quotes, found 'a'"),
        ("WorkflowId =", "character 13: expected a value in quotes, found the end"),
        ("WorkflowId", "character 11: expected = or STARTS_WITH, found the end"),
        ("WorkflowId = 'a", "character 14: the value that begins here has no closing '"),
        ("StartTime > 2026-11-20", "character 13: expected a value in quotes"),
        ("StartTime > '20 November'", "character 13: '20 November' is not a time like"),
        ("StartTime > '2026-02-30'", "character 13: '2026-02-30' is not a time: day is out of range"),
        ("StartTime > '2026-11-20T12:00:00+24:00'", "character 13: .* its offset must be less than a day"),
        ("StartTime > '2026-11-20T12:00:00.1234567890Z'", "character 13: .* is not a time like"),
        ("StartTime BETWEEN '2026-11-20'", "character 31: expected AND and the other time of BETWEEN, found the end"),
        ("StartTime BETWEEN '2026-11-21' AND '2026-11-20'", "character 1: no run can meet this condition"),
        ("ExecutionStatus = 'Done'", "character 19: expected one of 'Running', .*'TimedOut', found 'Done'"),
        ("ExecutionStatus IN ()", r"character 21: expected a value in quotes, found '\)'"),
        ("ExecutionStatus IN 'Failed'", r"character 20: expected \( and values in quotes"),
        ("WorkflowType IN ('a' 'b')", r"character 22: expected , or \), found 'b'"),
        ("WorkflowType IN ('a'", r"character 21: expected , or \), found the end"),
        ("Stuck = yes", "character 9: expected true or false, found 'yes'"),
        ("Stuck =", "character 8: expected true or false, found the end"),
        ("Stuck = true Stuck = true", "character 14: expected AND or the end, found 'Stuck'"),
        ("Stuck = true AND", "character 17: expected one of the attributes .*, found the end"),
        ("AND Stuck = true", "character 1: expected one of the attributes .*, found 'AND'"),
        ("Stuck = true; DROP TABLE", "character 13: ';' has no meaning here"),
        ("Stuck = true AND Stuck = false", "character 18: no run can meet this condition and the others on Stuck"),
        ("WorkflowId = 'a' AND WorkflowId = 'b'", "character 22: no run can meet"),
        ("WorkflowId = 'a' AND WorkflowId STARTS_WITH 'b'", "character 22: no run can meet"),
        ("WorkflowId STARTS_WITH 'a' AND WorkflowId STARTS_WITH 'b'", "character 32: no run can meet"),
        ("WorkflowType = 'A' AND WorkflowType IN ('B', 'C')", "character 24: no run can meet"),
        ("StartTime > '2026-11-20' AND StartTime < '2026-11-20T00:00:00.000000001Z'", "character 30: no run can meet"),
        ("WorkflowId = '\ud800'", "not Unicode"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_its_place(query: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_query(query)


def test_a_refusal_says_what_is_possible() -> None:
    with pytest.raises(ValueError, match=r"conditions joined by AND: WorkflowId \(=, STARTS_WITH\)"):
        parse_query("WorkflowId = 'a' OR Stuck = true")


def test_the_length_of_a_query_is_bounded() -> None:
    fits = "WorkflowId = '" + "x" * (MAX_QUERY - 15) + "'"
    assert len(fits) == MAX_QUERY
    parse_query(fits)
    with pytest.raises(ValueError, match="4001 characters, at most 4000"):
        parse_query(fits + " ")


@pytest.mark.parametrize(
    ("operator", "found"),
    [("<", [9]), ("<=", [9, 10]), ("=", [10]), (">=", [10, 11]), (">", [11])],
)
def test_bounds_are_exact_to_the_nanosecond(operator: str, found: list[int]) -> None:
    filter = parse_query(f"StartTime {operator} '1970-01-01T00:00:00.000000010Z'")
    rows = [
        ExecutionRow(
            partition=0,
            workflow_id="w",
            run_id="r",
            first_run_id="r",
            workflow_type="W",
            task_queue="q",
            start_time=time,
        )
        for time in (9, 10, 11)
    ]
    assert [row.start_time for row in rows if matches(row, filter)] == found


@given(st.text())
def test_every_text_can_be_asked_for(text: str) -> None:
    quoted = text.replace("'", "''")
    assert parse_query(f"WorkflowId = '{quoted}'").workflow_id == text


words = st.sampled_from(
    ["WorkflowId", "WorkflowType", "ExecutionStatus", "StartTime", "Stuck", "=", "IN", "(", ")", ",", "AND", "BETWEEN"]
)
values = st.sampled_from(["'a'", '"Failed"', "'2026-11-20'", ">", "'", "true"])


@given(st.one_of(st.lists(st.one_of(words, values), max_size=12).map(" ".join), st.text(max_size=50)))
def test_nothing_but_errors_that_name_a_place(query: str) -> None:
    problem = "query, character "
    try:
        parse_query(query)
    except ValueError as error:
        problem = str(error)
    assert problem.startswith("query, character ")
