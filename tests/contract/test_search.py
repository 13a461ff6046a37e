"""What every store guarantees of its search index."""

from typing import Any

import pytest

from tenuto.model.errors import LeaseLostError, StoreError
from tenuto.model.search import (
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
    Value,
)
from tenuto.store.protocol import Store
from tests.contract.rows import HOUR, Engine, P, closed, run, task_entry, workflow_entry


@pytest.fixture
async def engine(store: Store) -> Engine:
    return await Engine(store).lease()


async def runs(store: Store, condition: Condition | None = None, **asked: Any) -> list[str]:
    page = await store.search_workflows(SearchQuery(condition=condition, **asked))
    return [row.run_id for row in page.rows]


async def tasks(store: Store, condition: Condition | None = None, **asked: Any) -> list[str]:
    page = await store.search_tasks(SearchQuery(condition=condition, **asked))
    return [row.task_id for row in page.rows]


# -- what is written ------------------------------------------------------------------------------


async def test_a_row_is_found_as_it_was_written_last(store: Store, twin: Store, engine: Engine) -> None:
    first = workflow_entry("r1", status="RUNNING", input='{"a": 1}')
    last = workflow_entry(
        "r1",
        version=3,
        status="FAILED",
        start_time=90,
        end_time=150,
        update_time=151,
        correlation_id="corr",
        parent_workflow_id="parent",
        priority=7,
        created_by="ann",
        event="conductor:x",
        reason="no money",
        classifier="agent",
        idempotency_key="key",
        failed_references=["charge_ref"],
        failed_tasks=["charge", "ship"],
        task_to_domain={"*": "eu"},
        input="{}",
        output='{"ä": "☃"}',
    )
    await engine.commit(started=[run("r1")], indexed_workflows=[last, first])
    assert (await twin.search_workflows(SearchQuery())).rows == [first]
    await engine.commit(indexed_workflows=[first, last])
    for one in (store, twin):
        page = await one.search_workflows(SearchQuery())
        assert (page.total, page.rows) == (1, [last])


async def test_a_task_is_found_as_it_was_written_last(store: Store, twin: Store, engine: Engine) -> None:
    first = task_entry("t1")
    last = task_entry(
        "t1",
        status="COMPLETED",
        scheduled_time=101,
        start_time=110,
        end_time=120,
        update_time=121,
        correlation_id="corr",
        reason="why",
        domain="eu",
        priority=5,
        input='{"a": 1}',
        output='{"b": 2}',
    )
    await engine.commit(started=[run("r1")], indexed_tasks=[first])
    assert await twin.find_tasks(["t1"]) == [first]
    await engine.commit(indexed_tasks=[first, last])
    for one in (store, twin):
        page = await one.search_tasks(SearchQuery())
        assert (page.total, page.rows) == (1, [last])
        assert await one.find_tasks(["none", "t1", "t1"]) == [None, last, last]
        assert await one.find_tasks([]) == []


async def test_a_change_of_a_row_outside_does_not_change_what_is_stored(store: Store, engine: Engine) -> None:
    workflow, task = workflow_entry("r1"), task_entry("t1")
    await engine.commit(started=[run("r1")], indexed_workflows=[workflow], indexed_tasks=[task])
    (found,), (found_task,) = (await store.search_workflows(SearchQuery())).rows, await store.find_tasks(["t1"])
    assert found_task is not None
    workflow.failed_tasks.append("x")
    found.failed_tasks.append("y")
    task.status = found_task.status = "FAILED"
    assert (await store.search_workflows(SearchQuery())).rows == [workflow_entry("r1")]
    assert await store.find_tasks(["t1"]) == [task_entry("t1")]


async def test_rows_of_an_unknown_run_are_refused(store: Store, engine: Engine) -> None:
    for rows in ({"indexed_workflows": [workflow_entry("r9")]}, {"indexed_tasks": [task_entry("t", "r9")]}):
        with pytest.raises(StoreError):
            await engine.commit(started=[run("r1")], **rows)
    assert await runs(store) == await tasks(store) == []


async def test_a_fenced_commit_leaves_the_index_alone(store: Store, twin: Store, engine: Engine) -> None:
    await engine.commit(started=[run("r1")], indexed_workflows=[workflow_entry("r1")], indexed_tasks=[task_entry("t1")])
    await store.release(engine.name)
    await Engine(twin, "new").lease()
    stale: list[dict[str, object]] = [
        {"indexed_workflows": [workflow_entry("r1", status="FAILED")]},
        {"indexed_tasks": [task_entry("t1", status="FAILED")]},
        {"unindexed_tasks": [(P, "t1")]},
        {"removed": [(3, "r1")]},
    ]
    for rows in stale:
        with pytest.raises(LeaseLostError):
            await engine.commit(**rows)
    assert (await twin.search_workflows(SearchQuery())).rows == [workflow_entry("r1")]
    assert await twin.find_tasks(["t1"]) == [task_entry("t1")]


async def test_unindexed_tasks_are_found_no_more(store: Store, engine: Engine) -> None:
    await engine.commit(started=[run("r1")], indexed_tasks=[task_entry("t1"), task_entry("-1"), task_entry("t3")])
    await engine.commit(indexed_tasks=[task_entry("t4")], unindexed_tasks=[(P, "t1"), (P, "t4"), (P, "none")])
    assert await tasks(store) == ["t3", "-1"]
    assert await store.find_tasks(["t1", "-1", "t4"]) == [None, task_entry("-1"), None]


async def test_the_index_is_purged_with_its_run(store: Store, engine: Engine) -> None:
    await engine.commit(
        started=[run("r1"), run("r2", "other")],
        indexed_workflows=[workflow_entry("r1"), workflow_entry("r2", "other")],
        indexed_tasks=[task_entry("t1"), task_entry("t2", "r2", "other")],
        changed=[closed("r1", 200)],
    )
    assert await store.purge(300, now=HOUR, limit=10) == 1
    assert await runs(store) == ["r2"]
    assert await tasks(store) == ["t2"]


async def test_many_rows_go_through_one_commit(store: Store, engine: Engine) -> None:
    number = 1_500
    await engine.commit(
        started=[run(f"r{i}", f"w{i}") for i in range(number)],
        indexed_workflows=[workflow_entry(f"r{i}", f"w{i}", start_time=i) for i in range(number)],
        indexed_tasks=[task_entry(f"t{i}", f"r{i}", f"w{i}") for i in range(number)],
    )
    page = await store.search_workflows(SearchQuery(size=1_200, start=100))
    assert page.total == number
    assert [row.start_time for row in page.rows] == list(range(number - 101, number - 1_301, -1))
    wanted = [f"t{i}" for i in range(number)]
    assert [task and task.task_id for task in await store.find_tasks(wanted)] == wanted


# -- order and pages ------------------------------------------------------------------------------


async def put_runs(engine: Engine, **columns: list[Any]) -> None:
    """Runs r0, r1, ... of workflows w0, w1, ..., with these columns in their rows."""
    number = len(next(iter(columns.values())))
    rows = [
        workflow_entry(f"r{i}", f"w{i}", **{column: values[i] for column, values in columns.items()})
        for i in range(number)
    ]
    await engine.commit(started=[run(row.run_id, row.workflow_id) for row in rows], indexed_workflows=rows)


async def test_the_newest_runs_come_first(store: Store, engine: Engine) -> None:
    await put_runs(engine, start_time=[5, 9, 1, 5])
    assert await runs(store) == ["r1", "r3", "r0", "r2"]
    await engine.commit(indexed_workflows=[workflow_entry("r2", "w2", start_time=10)])
    assert await runs(store) == ["r2", "r1", "r3", "r0"]


async def test_the_newest_tasks_come_first_and_keep_their_place(store: Store, engine: Engine) -> None:
    await engine.commit(started=[run("r1")], indexed_tasks=[task_entry("b"), task_entry("a")])
    await engine.commit(indexed_tasks=[task_entry("c"), task_entry("b", update_time=999)])
    assert await tasks(store) == ["c", "a", "b"]


async def test_rows_are_sorted_as_asked(store: Store, engine: Engine) -> None:
    await put_runs(engine, status=["A", "B", "A", "B"], end_time=[7, None, 5, 6])
    assert await runs(store, sort=[("status", False), ("end_time", True)]) == ["r0", "r2", "r3", "r1"]
    assert await runs(store, sort=[("end_time", False)]) == ["r1", "r2", "r3", "r0"]
    assert await runs(store, sort=[("status", True)]) == ["r3", "r1", "r2", "r0"]
    assert await runs(store, sort=[("status", False), ("version", True), ("status", True)]) == ["r2", "r0", "r3", "r1"]


async def test_pages_and_the_total(store: Store, engine: Engine) -> None:
    await put_runs(engine, start_time=[1, 2, 3, 4, 5])
    for start, size, expected in [
        (0, 2, ["r4", "r3"]),
        (3, 2, ["r1", "r0"]),
        (3, 9, ["r1", "r0"]),
        (5, 2, []),
        (9, 2, []),
        (0, 0, []),
    ]:
        page = await store.search_workflows(SearchQuery(start=start, size=size))
        assert (page.total, [row.run_id for row in page.rows]) == (5, expected)


# -- conditions -----------------------------------------------------------------------------------

REASON, END = "reason", "end_time"


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Compare(REASON, "=", "abc"), "1"),
        (Compare(REASON, "!=", "abc"), "02345"),
        (Not(Compare(REASON, "=", "abc")), "02345"),
        (Compare(REASON, "<", "abd"), "134"),
        (Not(Compare(REASON, ">=", "abc")), "034"),
        (In(REASON, ("abc", "")), "13"),
        (Not(In(REASON, ("abc", ""))), "0245"),
        (In(REASON, ()), ""),
        (IsNull(REASON), "03"),
        (Not(IsNull(REASON)), "1245"),
        (StartsWith(REASON, "a"), "1"),
        (StartsWith(REASON, ""), "12345"),
        (Not(StartsWith(REASON, "A")), "01235"),
        (Like(REASON, ("a", "C")), "1"),
        (Like(REASON, ("ABC",)), "1"),
        (Like(REASON, ("", "")), "12345"),
        (Like(REASON, ("", "_", "")), "4"),
        (Like(REASON, ("", "%", "")), "4"),
        (Like(REASON, ("", "\\", "")), "4"),
        (Like(REASON, ("", "Ä", "")), "25"),
        (Not(Like(REASON, ("", "Ä", ""))), "0134"),
        (Compare(END, "=", 7), "1"),
        (Compare(END, "!=", 7), "02345"),
        (Compare(END, ">", 7), "2"),
        (Compare(END, "<=", 8), "12"),
        (Between(END, 7, 8), "12"),
        (Not(Between(END, 8, 9)), "01345"),
        (IsNull(END), "0345"),
        (And((Compare(END, ">", 0), Not(Compare(REASON, "=", "abc")))), "2"),
        (Or((Compare(END, "=", 7), IsNull(REASON))), "013"),
        (Not(Or((Compare(END, ">", 7), Compare(REASON, "<", "b")))), "05"),
        (And(()), "012345"),
        (Or(()), ""),
        (Not(Not(Compare(END, "=", 7))), "1"),
    ],
)
async def test_what_a_condition_means(store: Store, engine: Engine, condition: Condition, expected: str) -> None:
    await put_runs(engine, reason=[None, "abc", "Äbc", "", "A%_\\", "ä"], end_time=[None, 7, 8, None, None, None])
    assert sorted(await runs(store, condition)) == [f"r{i}" for i in expected]


async def test_every_field_can_be_asked(store: Store, engine: Engine) -> None:
    await engine.commit(
        started=[run("r1"), run("r2", "w2")],
        indexed_workflows=[
            workflow_entry("r1", version=2, correlation_id="c", created_by="ann", event="e", idempotency_key="k"),
            workflow_entry("r2", "w2", parent_workflow_id="order", classifier="agent", priority=9),
        ],
        indexed_tasks=[
            task_entry("t1", task_type="a", task_def_name="b", reference_name="c", domain="d", priority=4),
            task_entry("t2", "r2", "w2", start_time=9, correlation_id="c", reason="x"),
        ],
    )
    asked_of_runs: list[tuple[str, Value, str]] = [
        ("workflow_id", "order", "r1"),
        ("correlation_id", "c", "r1"),
        ("version", 2, "r1"),
        ("created_by", "ann", "r1"),
        ("event", "e", "r1"),
        ("idempotency_key", "k", "r1"),
        ("parent_workflow_id", "order", "r2"),
        ("parent_workflow_id", "", "r1"),
        ("classifier", "agent", "r2"),
        ("priority", 9, "r2"),
    ]
    for field, value, expected in asked_of_runs:
        assert await runs(store, Compare(field, "=", value)) == [expected]
    asked_of_tasks: list[tuple[str, Value, str]] = [
        ("workflow_id", "w2", "t2"),
        ("task_id", "t1", "t1"),
        ("task_type", "a", "t1"),
        ("task_def_name", "b", "t1"),
        ("reference_name", "c", "t1"),
        ("domain", "d", "t1"),
        ("priority", 4, "t1"),
        ("start_time", 9, "t2"),
        ("correlation_id", "c", "t2"),
        ("reason", "x", "t2"),
    ]
    for field, value, expected in asked_of_tasks:
        assert await tasks(store, Compare(field, "=", value)) == [expected]
    assert await tasks(store, Compare("workflow_type", "=", "Order")) == ["t2", "t1"]


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        (SearchQuery(condition=Compare("input", "=", "x")), "'input' can't be searched. These can: workflow_id"),
        (SearchQuery(condition=Not(And((IsNull("1; --"),)))), "'1; --' can't be searched"),
        (SearchQuery(sort=[("task_id", True)]), "'task_id' can't be searched"),
        (SearchQuery(condition=Compare("version", "=", "1")), "version is a number, '1' is none"),
        (SearchQuery(condition=In("start_time", (1, "2"))), "start_time is a time, '2' is none"),
        (SearchQuery(condition=Between("status", "a", 2)), "status is a text, 2 is none"),
        (SearchQuery(condition=Like("version", ("1", ""))), "only a text has"),
        (SearchQuery(start=-1), "start and size"),
        (SearchQuery(size=2**63), "start and size"),
    ],
)
async def test_a_query_that_makes_no_sense_says_why(store: Store, query: SearchQuery, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        await store.search_workflows(query)


# -- free text ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("W1", "1"),
        ("needle", "03"),
        ("50% off", "2"),
        ("50_ off", ""),
        ("\\", "3"),
        ("größe", "1"),
        ("GRÖSSE", ""),
        ("GRÖßE", "1"),
        ("running", "0123"),
        ("", "0123"),
        ("*", "0"),
    ],
)
async def test_a_free_text_is_found_in_any_text(store: Store, engine: Engine, text: str, expected: str) -> None:
    await put_runs(
        engine,
        input=['{"a": "Needle*"}', "Größe", "", "\\"],
        output=["", "", "50% OFF", ""],
        correlation_id=[None, None, None, "NEEDLE"],
    )
    assert sorted(await runs(store, free_text=text)) == [f"r{i}" for i in expected]
    either = Compare("version", "=", 1)
    assert sorted(await runs(store, either, free_text=text)) == [f"r{i}" for i in expected]


async def test_a_free_text_is_found_in_tasks(store: Store, engine: Engine) -> None:
    await engine.commit(
        started=[run("r1")],
        indexed_tasks=[task_entry("t1", input='{"card": "VISA"}'), task_entry("t2", reason="visa refused")],
    )
    assert await tasks(store, free_text="visa") == ["t2", "t1"]
    assert await tasks(store, free_text="card") == ["t1"]
    assert await tasks(store, free_text="ORDER") == ["t2", "t1"]


async def test_a_query_of_many_conditions_is_answered(store: Store, engine: Engine) -> None:
    await put_runs(engine, version=[1, 1999, 5000])
    chain = Or(tuple(Compare("version", "=", i) for i in range(2000)))
    assert await runs(store, chain) == ["r1", "r0"]
    assert await runs(store, In("version", tuple(range(2000)))) == ["r1", "r0"]
    assert await runs(store, And(tuple(Not(Compare("version", "=", i)) for i in range(2000)))) == ["r2"]
