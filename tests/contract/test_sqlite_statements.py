"""The statements of the SQLite store: how they are read, filled up and planned."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tenuto.store.sqlite_errors import Patience
from tenuto.store.sqlite_file import connect, prepare
from tenuto.store.sqlite_statements import SQL
from tenuto.store.statements import MOST_ROWS, Statement

PAIRS = Statement("SELECT * FROM (VALUES (?, ?)) WHERE column1 <> -1 AND 9 = ?")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    path, patience = str(tmp_path / "x.db"), Patience(str(tmp_path / "x.db"), 1)
    prepare(path, patience)
    with closing(connect(path, "NORMAL", patience)) as connection:
        yield connection


@pytest.mark.parametrize("number", [1, 2, 3, 5, MOST_ROWS, MOST_ROWS + 1, 3 * MOST_ROWS - 1])
def test_rows_are_filled_up_to_one_of_few_sizes(connection: sqlite3.Connection, number: int) -> None:
    rows = [(i, str(i)) for i in range(number)]
    calls = list(PAIRS.for_rows([cell for row in rows for cell in row], 9))
    assert len(calls) == -(-number // MOST_ROWS)
    sizes = {text.count("(?, ?)") for text, _ in calls}
    assert sizes <= {1 << power for power in range(MOST_ROWS.bit_length())}
    assert [row for text, cells in calls for row in connection.execute(text, cells)] == rows


def test_every_statement_is_sound(connection: sqlite3.Connection) -> None:
    for name, statement in SQL.items():
        assert "{" not in statement.text, name
        assert "--" not in statement.text, name
        if name not in ("begin", "commit"):
            plan(connection, name)


def plan(connection: sqlite3.Connection, name: str) -> str:
    text = SQL[name].text
    named = dict.fromkeys(re.findall(r":(\w+)", text), 1)
    parameters: object = named or [1] * text.count("?")
    rows = connection.execute(f"EXPLAIN QUERY PLAN {text}", parameters)  # type: ignore[arg-type]
    return "\n".join(row[3] for row in rows)


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("update_executions", "sqlite_autoindex_executions_1 (run_id=?)"),
        ("insert_history", "sqlite_autoindex_executions_1 (run_id=?)"),
        ("insert_history_fenced", "sqlite_autoindex_executions_1 (run_id=?)"),
        ("delete_notes", "notes_by_run (run=? AND key=?)"),
        ("delete_tasks", "tasks_by_run (run=? AND key=?)"),
        ("delete_inbox", "inbox USING INTEGER PRIMARY KEY (rowid=?)"),
        ("upsert_workflow_index", "sqlite_autoindex_executions_1 (run_id=?)"),
        ("upsert_task_index", "sqlite_autoindex_executions_1 (run_id=?)"),
        ("delete_task_index", "sqlite_autoindex_task_index_1 (task_id=?)"),
        ("delete_documents", "documents_by_key (collection=? AND key=?)"),
        ("document_revision", "documents_by_key (collection=? AND key=?)"),
        ("document", "documents_by_key (collection=? AND key=?)"),
        ("documents", "documents_by_key (collection=? AND key>? AND key<?)"),
        ("count_documents", "documents_by_key (collection=? AND key>? AND key<?)"),
        ("indexed_workflows", "SEARCH w USING INTEGER PRIMARY KEY (rowid=?)"),
        ("indexed_tasks", "SEARCH t USING INTEGER PRIMARY KEY (rowid=?)"),
        ("indexed_tasks_by_task_id", "sqlite_autoindex_task_index_1 (task_id=?)"),
        ("runs_to_remove", "sqlite_autoindex_executions_1 (run_id=?)"),
        ("purge_workflow_index", "workflow_index USING INTEGER PRIMARY KEY (rowid=?)"),
        ("purge_task_index", "task_index_by_run (run=?)"),
        ("purge_documents", "documents_by_workflow (workflow_id=?)"),
        ("executions_by_run", "sqlite_autoindex_executions_1 (run_id=?)"),
        ("executions_by_workflow", "executions_by_workflow (workflow_id=?)"),
        ("history_of", "history_by_run (run=?)"),
        ("history_size_of", "history_by_run (run=?)"),
        ("notes_of", "notes_by_run (run=?)"),
        ("due", "executions_by_wake ((wake_at,run_id)>(?,?) AND wake_at<?)"),
        ("receive", "SCAN inbox"),
        ("answers", "sqlite_autoindex_answers_1 (request_id=?)"),
        ("waiting_tasks", "tasks_by_queue (task_queue=?)"),
        ("find", "executions_by_start (start_time>? AND start_time<?)"),
        ("find_open", "executions_by_close (close_time=? AND start_time>? AND start_time<?)"),
        ("find_stuck", "executions_stuck (start_time>? AND start_time<?)"),
        ("find_workflow", "executions_by_workflow (workflow_id>? AND workflow_id<?)"),
        ("closed_runs", "executions_by_close (close_time<?)"),
        ("purge_history", "history_by_run (run=?)"),
        ("purge_notes", "notes_by_run (run=?)"),
        ("purge_tasks", "tasks_by_run (run=?)"),
        ("purge_executions", "executions USING INTEGER PRIMARY KEY (rowid=?)"),
        ("purge_answers", "answers_by_time (recorded<?)"),
    ],
)
def test_each_statement_goes_through_its_index(connection: sqlite3.Connection, name: str, index: str) -> None:
    assert index in plan(connection, name)


@pytest.mark.parametrize(
    "name", ["due", "receive", "waiting_tasks", "find", "find_open", "find_stuck", "closed_runs", "documents"]
)
def test_pages_are_read_in_the_order_of_their_index(connection: sqlite3.Connection, name: str) -> None:
    assert "TEMP B-TREE" not in plan(connection, name)
