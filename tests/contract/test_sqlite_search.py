"""How searches go through a SQLite file: by which index, and not for ever."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tenuto.model.errors import StoreError
from tenuto.model.search import And, Between, Compare, Condition, In, Like, Not, SearchQuery
from tenuto.store import sqlite_search
from tenuto.store.protocol import Store
from tenuto.store.sqlite_errors import Patience
from tenuto.store.sqlite_file import connect, prepare
from tenuto.store.urls import open_store
from tests.contract.rows import Engine, run, task_entry, workflow_entry


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    path, patience = str(tmp_path / "x.db"), Patience(str(tmp_path / "x.db"), 1)
    prepare(path, patience)
    with closing(connect(path, "NORMAL", patience)) as connection:
        sqlite_search.prepare_searches(connection)
        yield connection


def plan(connection: sqlite3.Connection, search: Callable[..., object], query: SearchQuery) -> str:
    """How the page of this search is found."""
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    search(connection, query)
    connection.set_trace_callback(None)
    (page,) = [text for text in statements if "ORDER BY" in text]
    return "\n".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {page}"))


RUNNING = Compare("status", "=", "RUNNING")


@pytest.mark.parametrize(
    ("condition", "index", "in_order"),
    [
        (None, "workflow_index_by_start", True),
        (Between("start_time", 1, 2), "workflow_index_by_start (start_time>? AND start_time<?)", True),
        (RUNNING, "workflow_index_by_status (status=?)", True),
        (And((RUNNING, Compare("start_time", ">", 5))), "by_status (status=? AND start_time>?)", True),
        (Compare("workflow_type", "=", "Order"), "workflow_index_by_type (workflow_type=?)", True),
        (And((RUNNING, Like("reason", ("", "x", "")))), "workflow_index_by_status (status=?)", True),
        (Compare("correlation_id", "=", "c"), "workflow_index_by_correlation (correlation_id=?)", False),
        (Compare("workflow_id", "=", "w"), "executions_by_workflow (workflow_id=?)", False),
        (In("workflow_id", ("w", "x")), "executions_by_workflow (workflow_id=?)", False),
        (Not(RUNNING), "workflow_index_by_start", True),
    ],
)
def test_runs_are_found_through_an_index(
    connection: sqlite3.Connection, condition: Condition | None, index: str, in_order: bool
) -> None:
    found = plan(connection, sqlite_search.search_workflows, SearchQuery(condition=condition))
    assert index in found
    assert ("TEMP B-TREE" not in found) is in_order


@pytest.mark.parametrize(
    ("condition", "index"),
    [
        (Compare("workflow_id", "=", "w"), "task_index_by_run (run=?)"),
        (Compare("task_id", "=", "t"), "sqlite_autoindex_task_index_1 (task_id=?)"),
        (Compare("task_type", "=", "charge"), "task_index_by_type (task_type=?)"),
        (And((RUNNING, Compare("task_type", "=", "charge"))), "task_index_by_type (task_type=? AND status=?)"),
    ],
)
def test_tasks_are_found_through_an_index(connection: sqlite3.Connection, condition: Condition, index: str) -> None:
    assert index in plan(connection, sqlite_search.search_tasks, SearchQuery(condition=condition))


def test_what_is_newest_needs_no_sorting(connection: sqlite3.Connection) -> None:
    for query in (SearchQuery(), SearchQuery(condition=RUNNING), SearchQuery(free_text="x")):
        for search in (sqlite_search.search_tasks, sqlite_search.search_workflows):
            assert "TEMP B-TREE" not in plan(connection, search, query)


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    return open_store(f"sqlite:///{tmp_path / 'y.db'}")


async def test_a_search_that_takes_too_long_is_given_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await store.open()
    engine = await Engine(store).lease()
    await engine.commit(
        started=[run("r1")],
        indexed_workflows=[workflow_entry("r1")],
        indexed_tasks=[task_entry(f"t{i}") for i in range(1000)],
    )
    with monkeypatch.context() as patched:
        patched.setattr(sqlite_search, "LONGEST_SEARCH", 0.0)
        patched.setattr(sqlite_search, "CHECKED_AFTER", 1)
        with pytest.raises(StoreError, match="given up after 0 s"):
            await store.search_tasks(SearchQuery(free_text="nowhere"))
    assert (await store.search_tasks(SearchQuery(free_text="nowhere"))).total == 0
    assert (await store.search_tasks(SearchQuery(free_text="CHARGE"))).total == 1000
    await store.close()
