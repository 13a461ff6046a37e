"""Through which index each hot statement goes in tables of millions of rows that have seen much coming and going, and
how little it reads there.

The verbs of a store are called as the engine calls them; each statement that the store sends is explained first, where
it is sent and with its values.
"""

import asyncio
import hashlib
import os
import re
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import msgspec
import pytest

from tenuto.model.errors import StoreError
from tenuto.model.events import ExecutionRef, encode_events
from tenuto.model.policies import ExecutionStatus
from tenuto.model.search import And, Between, Compare, Condition, In, IsNull, SearchQuery
from tenuto.model.tasks import AttemptNote
from tenuto.store.postgres.options import parse
from tenuto.store.postgres.store import PostgresStore
from tenuto.store.protocol import (
    Commit,
    Document,
    ExecutionChange,
    ExecutionFilter,
    ExecutionRow,
    HistoryRow,
    NoteRow,
    Rank,
    TaskIndexRow,
    TaskKind,
    TaskRow,
    WorkflowIndexRow,
    partition_of,
)
from tests.contract.rows import events
from tests.support.postgres import connected, postgres_url, url_of

AGED = Path(__file__).with_name("aged_tables.sql").read_text("utf-8")


class Plan(NamedTuple):
    indexes: frozenset[str]
    """Those that it goes through, by the names of the schema."""
    scanned: frozenset[str]
    """Tables that it reads from end to end,"""
    unbounded: frozenset[str]
    """and indexes."""
    buffers: int
    """Pages of 8 KiB that it touches."""


class Explainer:
    """Explains what is sent to the server. `parents` names the table or index of the schema that a part belongs to;
    with `executes` it is also tried out what it costs."""

    def __init__(self, parents: dict[str, str], *, executes: bool) -> None:
        self._parents = parents
        self._options = (
            f"{'ANALYZE, TIMING OFF, ' if executes else ''}BUFFERS {'ON' if executes else 'OFF'}, FORMAT JSON"
        )
        self._fetch = asyncpg.Connection.fetch

    @contextmanager
    def listens(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Plan]]:
        """Plans of what is sent meanwhile."""
        plans: list[Plan] = []

        async def fetch(connection: asyncpg.Connection, text: str, *values: object, **options: Any) -> Any:
            plans.append(await self._explain(connection, text, values))
            return await self._fetch(connection, text, *values, **options)

        with monkeypatch.context() as patched:
            patched.setattr(asyncpg.Connection, "fetch", fetch)
            yield plans

    async def _explain(self, connection: asyncpg.Connection, text: str, values: Sequence[object]) -> Plan:
        """By PREPARE and EXECUTE, for EXPLAIN by itself never shows the plan for all values."""
        begin, undo = "BEGIN", "ROLLBACK"
        if connection.is_in_transaction():
            begin, undo = "SAVEPOINT explained", "ROLLBACK TO explained"
        await connection.execute(f"PREPARE explained AS {text}")
        await connection.execute(begin)
        try:
            given = f"({', '.join(map(literal, values))})" if values else ""
            explained = f"EXPLAIN ({self._options}) EXECUTE explained{given}"
            ((found,),) = await self._fetch(connection, explained)
        finally:
            await connection.execute(f"{undo}; DEALLOCATE explained")
        return self._read(msgspec.json.decode(found)[0]["Plan"])

    def _read(self, plan: dict[str, Any]) -> Plan:
        nodes = list(_nodes(plan))
        indexes = {node["Index Name"] for node in nodes if "Index Name" in node}
        unbounded = {node["Index Name"] for node in nodes if "Index Name" in node and "Index Cond" not in node}
        scanned = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan" and _buffers(node) > 20}
        return Plan(
            self._known(indexes),
            self._known(scanned),
            self._known(unbounded),
            sum(map(_buffers, [plan, *_writes(nodes)])),
        )

    def _known(self, names: set[str]) -> frozenset[str]:
        return frozenset(self._parents[name] for name in names if name in self._parents)


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


def _writes(nodes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Parts of a commit that nobody reads from: what they touch is not counted in the whole."""
    return [node for node in nodes if node.get("Subplan Name", "").startswith("CTE") and "Operation" in node]


def _buffers(node: dict[str, Any]) -> int:
    return int(node.get("Shared Hit Blocks", 0) + node.get("Shared Read Blocks", 0))


def literal(value: object) -> str:
    """The value as it is written in a statement."""
    match value:
        case None:
            return "NULL"
        case bool() | int():
            return str(value)
        case bytes():
            return f"'\\x{value.hex()}'"
        case str():
            return "'" + value.replace("'", "''") + "'"
        case Collection():
            return literal("{" + ",".join(map(_element, value)) + "}")
    raise TypeError(value)


def _element(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case bytes():
            return f'"\\\\x{value.hex()}"'
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


# -- the aged tables -------------------------------------------------------------------------------------------------

NOW = 1_800_000_000_000_000_000
"""When the newest run of the aged tables started."""
STEP = 33_000_000_000
ERA = 3 * 86_400 * 1_000_000_000
RUNS = 120_000
EVENTS = encode_events(events(1))
BLOCKS = dict(re.findall(r"^-- name: (\w+)\n(.*?)(?=^-- name|\Z)", AGED, re.M | re.S))
TWO_AT_A_TIME = [("executions", "workflow_index", "tasks", "inbox"), ("task_index", "history", "closed_executions")]
"""What is filled one after another, beside each other."""


def workflow(number: int) -> str:
    return f"workflow-{hashlib.md5(str(number).encode()).hexdigest()}"


def run_id(number: int) -> str:
    return f"run-{hashlib.md5(str(number).encode()).hexdigest()}"


def start_of(number: int) -> int:
    return NOW - number * STEP


async def age(connection: asyncpg.Connection, schema: str) -> None:
    """Fill the tables of a schema, and wear them."""
    found = await connection.fetch(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = $1::text::regnamespace", schema
    )
    tables = [name for (name,) in found]
    await connection.execute("; ".join(f"ALTER TABLE {table} SET (autovacuum_enabled = off)" for table in tables))
    await connection.execute(
        f"CREATE UNLOGGED TABLE {schema}.runs"
        " (i bigint, partition smallint, slot smallint, start_time bigint, workflow_id text, run_id text)"
    )
    runs = (
        (i, partition_of(workflow(i)), start_of(i) // ERA % 16, start_of(i), workflow(i), run_id(i))
        for i in range(RUNS)
    )
    await connection.copy_records_to_table("runs", schema_name=schema, records=runs)
    await connection.execute(f"ANALYZE {schema}.runs")
    await asyncio.gather(*(_fill(schema, names) for names in TWO_AT_A_TIME))
    await connection.execute(f"DROP TABLE {schema}.runs")
    # As autovacuum does: what lies in slots is known of each slot, not of all together.
    await connection.execute("; ".join(f"ANALYZE {table}" for table in tables))


async def _fill(schema: str, names: Sequence[str]) -> None:
    async with connected() as connection:
        for name in names:
            await connection.execute(BLOCKS[name].replace("{schema}", schema).replace("{events}", EVENTS.hex()))


# -- the statements --------------------------------------------------------------------------------------------------

TEN = range(1000, 1010)
"""Numbers of some runs that are open,"""
OVER = range(60_000, 60_010)
"""and of some that have closed."""


class Case(NamedTuple):
    """What a call of a verb may cost: the indexes and the buffers of all statements that it sends together."""

    name: str
    verb: Callable[[], Awaitable[object]]
    indexes: set[str]
    buffers: int
    bounded: bool = True
    """Is an index only read within bounds? What is asked for in its order stops by itself when there is enough."""


def started(number: int) -> ExecutionRow:
    return ExecutionRow(
        partition=partition_of(workflow(number)),
        workflow_id=workflow(number),
        run_id=run_id(number),
        first_run_id=run_id(number),
        workflow_type="type-1",
        task_queue="queue-1",
        start_time=start_of(number),
    )


def events_of(number: int) -> HistoryRow:
    return HistoryRow(partition_of(workflow(number)), run_id(number), 100, EVENTS, start_of(number))


def task_of(number: int, key: int = 7) -> TaskRow:
    partition = partition_of(workflow(number))
    return TaskRow(partition, "queue-1", workflow(number), run_id(number), key, TaskKind.ACTIVITY)


def changed(number: int, status: ExecutionStatus = ExecutionStatus.RUNNING) -> ExecutionChange:
    close_time = None if status is ExecutionStatus.RUNNING else NOW
    return ExecutionChange(partition_of(workflow(number)), run_id(number), status, close_time, 5, None, 3)


def note_of(number: int, key: int, note: AttemptNote | None) -> NoteRow:
    return NoteRow(partition_of(workflow(number)), run_id(number), key, note)


def entry(number: int) -> WorkflowIndexRow:
    return WorkflowIndexRow(
        partition=partition_of(workflow(number)),
        workflow_id=workflow(number),
        run_id=run_id(number),
        workflow_type="type-1",
        version=2,
        status="COMPLETED",
        start_time=start_of(number),
        update_time=NOW,
        run_start=start_of(number),
    )


def task_entry(number: int) -> TaskIndexRow:
    return TaskIndexRow(
        partition=partition_of(workflow(number)),
        task_id=f"task-1-of-{run_id(number)}",
        workflow_id=workflow(number),
        run_id=run_id(number),
        workflow_type="type-1",
        task_type="task-1",
        task_def_name="task",
        reference_name="ref",
        status="COMPLETED",
        scheduled_time=NOW,
        update_time=NOW,
        run_start=start_of(number),
    )


FORGETTING = {
    "executions_pkey", "executions_by_workflow", "closed_executions_pkey", "closed_executions_by_workflow",
    "history_pkey", "notes_pkey", "tasks_pkey", "workflow_index_pkey", "task_index_pkey", "documents_by_workflow",
}  # fmt: skip


def unindexed(number: int) -> tuple[int, str]:
    return partition_of(workflow(number)), f"task-0-of-{run_id(number)}"


def writes(store: PostgresStore, epochs: dict[int, int]) -> list[Case]:
    def commit(**rows: Any) -> Callable[[], Awaitable[object]]:
        return lambda: store.commit(Commit(epochs=epochs, **rows))

    new = range(-20, -10)
    runs = {"executions_pkey"}
    return [
        Case("history", commit(history=[events_of(i) for i in TEN]), runs, 300),
        Case("start", commit(started=[started(i) for i in new], history=[events_of(i) for i in new]), set(), 400),
        Case("change", commit(changed=[changed(i) for i in TEN]), runs, 600),
        Case("close", commit(changed=[changed(-i, ExecutionStatus.COMPLETED) for i in range(11, 21)]), runs, 400),
        Case("notes", commit(notes=[note_of(i, 5, AttemptNote()) for i in TEN]), runs, 300),
        Case("no notes", commit(notes=[note_of(i, i % 3, None) for i in TEN]), {"notes_pkey"}, 300),
        Case("tasks", commit(tasks=[task_of(i, 99) for i in TEN]), runs, 300),
        Case("stop", commit(cancelled=[(task_of(i), "why") for i in TEN]), {"tasks_pkey"}, 300),
        Case("tasks done", commit(tasks_done=[task_of(i) for i in TEN]), {"tasks_pkey"}, 300),
        Case("messages", commit(sent=[(i, b"message") for i in range(10)]), set(), 100),
        Case("received", commit(received=[(i % 256, i) for i in range(299_000, 299_010)]), {"inbox_pkey"}, 100),
        Case("answers", commit(answers=[(f"request-{i}", b"answer", NOW) for i in range(10)]), set(), 300),
        Case("workflow index", commit(indexed_workflows=[entry(i) for i in TEN]), runs, 800),
        Case("task index", commit(indexed_tasks=[task_entry(i) for i in TEN]), runs, 800),
        Case("no tasks", commit(unindexed_tasks=[unindexed(i) for i in TEN]), {"task_index_by_task"}, 700),
        Case("documents", commit(documents=[Document(f"c-{i}", "k", b"") for i in range(10)]), set(), 200),
        Case(
            "no documents",
            commit(deleted_documents=[(workflow(i), f"key-{100 + i}") for i in range(10)]),
            {"documents_pkey"},
            200,
        ),
        Case("forget", commit(removed=[(partition_of(workflow(i)), run_id(i)) for i in OVER]), FORGETTING, 2000),
        Case("put", lambda: store.put_document(Document(workflow(3), "key-103", b"")), set(), 30),
        Case("put again", lambda: store.put_document(Document(workflow(3), "new", b""), 0), set(), 30),
        Case("replace", lambda: store.put_document(Document(workflow(3), "new", b""), 1), {"documents_pkey"}, 30),
        Case("delete", lambda: store.delete_document(workflow(3), "new"), {"documents_pkey"}, 30),
    ]


BY_RUN = [ExecutionRef(workflow(i), run_id(i)) for i in (*TEN, *OVER)]
LATEST = [ExecutionRef(workflow(i)) for i in (*TEN, *OVER)]
FOUND = {"executions_pkey", "closed_executions_pkey"}
FOUND_LATEST = {"executions_by_workflow", "closed_executions_by_workflow"}
WHOLE = FOUND | {"history_pkey", "notes_pkey", "tasks_pkey"}


def loads(store: PostgresStore) -> list[Case]:
    return [
        Case("load runs", lambda: store.load(BY_RUN), WHOLE, 2000),
        Case("load latest runs", lambda: store.load(LATEST), FOUND_LATEST | WHOLE, 2000),
    ]


def load_nothing(store: PostgresStore) -> Case:
    """What `load` reads of runs that it has found."""
    values = {"slot": 0, "partition": [0], "run_id": ["run"], "whole": False}
    return Case("load", lambda: store._fetch("load", values), WHOLE, 30)


def reads(store: PostgresStore, member: str) -> list[Case]:
    every = range(256)
    working = [task_of(i) for i in TEN]
    kinds = [TaskKind.WORKFLOW, TaskKind.ACTIVITY]
    return [
        Case("rows", lambda: store.rows(BY_RUN), FOUND, 1000),
        Case("latest rows", lambda: store.rows(LATEST), FOUND_LATEST, 1000),
        Case("due", lambda: store.due(every, NOW + 2_000 * 1_000_000_000, None, 100), {"executions_by_wake"}, 3000),
        Case("receive", lambda: store.receive(every, list(range(299_000, 299_100)), 100), {"inbox_pkey"}, 4000),
        Case("receive one", lambda: store.receive([7], [], 100), {"inbox_pkey"}, 100),
        Case("answers", lambda: store.answers([workflow(i) for i in TEN]), {"answers_pkey"}, 100),
        Case("waiting tasks", lambda: store.waiting_tasks(every, "queue-7", 10), {"tasks_waiting"}, 4000),
        Case("claim", lambda: store.claim(member, "queue-7", kinds, 10, 0), {"tasks_waiting", "tasks_pkey"}, 300),
        Case("claim none", lambda: store.claim(member, "queue-x", kinds, 10, 0), {"tasks_waiting", "tasks_pkey"}, 30),
        Case("held", lambda: store.held(member, working), {"tasks_pkey"}, 100),
        Case("claims", lambda: store.claims(every, 201_000), {"tasks_claimed"}, 5000),
        Case("document", lambda: store.document(workflow(3), "key-103"), {"documents_pkey"}, 10),
        Case("documents", lambda: store.documents(workflow(3), prefix="key-10", limit=10), {"documents_pkey"}, 30),
        Case("count documents", lambda: store.count_documents(workflow(3), "key-10"), {"documents_pkey"}, 100),
    ]


RUNNING = (ExecutionStatus.RUNNING,)


def listings(store: PostgresStore) -> list[Case]:
    def find(**asked: Any) -> Callable[[], Awaitable[object]]:
        return lambda: store.find(ExecutionFilter(**asked), 20, 0)

    by_start, by_workflow = "executions_by_start", "executions_by_workflow"
    return [
        Case("all runs", find(), {by_start, "closed_executions_by_start"}, 200, bounded=False),
        Case("since", find(started_after=start_of(100)), {by_start, "closed_executions_by_start"}, 200, bounded=False),
        Case("open", find(statuses=RUNNING), {by_start}, 100, bounded=False),
        Case("of a type", find(statuses=RUNNING, workflow_types=("type-7",)), {by_start}, 1100, bounded=False),
        Case("stuck", find(stuck=True), {"executions_stuck", "closed_executions_stuck"}, 100, bounded=False),
        Case("of an id", find(workflow_id=workflow(5)), {by_workflow, "closed_executions_by_workflow"}, 100),
        Case("of ids", find(workflow_id_prefix="workflow-00a"), {by_workflow, "closed_executions_by_workflow"}, 500),
    ]


def searches(store: PostgresStore) -> list[Case]:
    """The bounds are those of counting what matches; a page is found with a tenth."""

    def runs(condition: Condition | None = None, **asked: Any) -> Callable[[], Awaitable[object]]:
        return lambda: store.search_workflows(SearchQuery(condition=condition, **asked))

    def tasks(condition: Condition | None = None, **asked: Any) -> Callable[[], Awaitable[object]]:
        return lambda: store.search_tasks(SearchQuery(condition=condition, **asked))

    failed, type_7 = Compare("status", "=", "FAILED"), Compare("workflow_type", "=", "type-7")
    key = Compare("idempotency_key", "=", "key-60000")
    of_type = Compare("task_type", "=", "task-7")
    waiting = And((of_type, In("status", ("SCHEDULED", "IN_PROGRESS"))))
    return [
        Case("what failed", runs(failed, size=20), {"workflow_index_by_status"}, 1500),
        Case("of a type", runs(type_7, size=20), {"workflow_index_by_type"}, 4000),
        Case("of an id", runs(Compare("workflow_id", "=", workflow(5))), {"workflow_index_by_workflow"}, 100),
        Case("of an order", runs(Compare("correlation_id", "=", "order-8")), {"workflow_index_by_correlation"}, 100),
        Case("started with", runs(And((type_7, key)), size=1), {"workflow_index_by_idempotency"}, 100),
        Case("in an hour", runs(Between("start_time", start_of(182), start_of(73))), {"workflow_index_by_start"}, 400),
        Case("tasks of a run", tasks(Compare("workflow_id", "=", workflow(5))), {"task_index_by_workflow"}, 100),
        Case("a task", tasks(Compare("task_id", "=", f"task-1-of-{run_id(5)}")), {"task_index_by_task"}, 100),
        Case("tasks that wait", tasks(waiting), {"task_index_by_type"}, 300),
        Case("how many wait", tasks(And((waiting, IsNull("domain"))), size=0), {"task_index_by_type"}, 300),
        Case(
            "tasks by id",
            lambda: store.find_tasks([f"task-1-of-{run_id(i)}" for i in TEN]),
            {"task_index_by_task"},
            700,
        ),
    ]


# -- the tests -------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(400)
async def test_every_hot_statement_goes_through_its_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one test, so that the tables are aged once."""
    schema = f"aged_{os.getpid()}"
    store = PostgresStore(url_of(schema))
    await store.open()
    try:
        async with connected() as connection:
            await age(connection, schema)
            explainer = Explainer(await parents(connection, schema), executes=True)
        epochs = (await store.lease("engine", 0, 3600 * 1_000_000_000, Rank.SERVER)).epochs
        problems: list[str] = []
        for case in writes(store, epochs):
            with explainer.listens(monkeypatch) as plans:
                await case.verb()
            problems += [*misled(case, plans), *costly(case, plans)]
        for case in [*loads(store), *reads(store, "engine"), *listings(store), *searches(store)]:
            await case.verb()  # who reads often has marked what is dead
            with explainer.listens(monkeypatch) as plans:
                await case.verb()
            problems += [*misled(case, plans), *costly(case, plans)]
    finally:
        await store.close()
        async with connected() as connection:
            await connection.execute(f"DROP SCHEMA {schema} CASCADE")
    assert not problems, "\n".join(problems)


async def test_plans_made_while_there_is_nothing_are_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """For they are kept while the tables grow."""
    problems: list[str] = []
    with postgres_url() as url:
        store = PostgresStore(url)
        await store.open()
        schema = parse(url).schema
        async with connected() as connection:
            names = await parents(connection, schema)
            await connection.execute("; ".join(f"ANALYZE {schema}.{table}" for table in LARGE))
        explainer = Explainer(names, executes=False)
        epochs = (await store.lease("engine", 0, 3600 * 1_000_000_000, Rank.SERVER)).epochs
        for case in [*writes(store, epochs), load_nothing(store), *reads(store, "engine")]:
            with explainer.listens(monkeypatch) as plans, suppress(StoreError):
                await case.verb()
            # What isn't there can't be changed, and is looked for among what has closed.
            problems += misled(case, plans, also=True)
        await store.close()
    assert not problems, "\n".join(problems)


LARGE = (
    "executions", "closed_executions", "history", "notes", "tasks", "inbox", "answers", "workflow_index", "task_index",
    "documents",
)  # fmt: skip


def misled(case: Case, plans: list[Plan], *, also: bool = False) -> list[str]:
    """Is a way other than the one that is meant gone, or if that is allowed, `also` gone?"""
    indexes = frozenset().union(*(plan.indexes for plan in plans))
    problems = []
    if indexes != case.indexes and not (also and indexes > case.indexes):
        problems.append(f"{case.name}: goes through {sorted(indexes)}, not {sorted(case.indexes)}")
    unbounded = frozenset().union(*(plan.unbounded for plan in plans))
    if unbounded and case.bounded:
        problems.append(f"{case.name}: reads all of {sorted(unbounded)}")
    return problems


def costly(case: Case, plans: list[Plan]) -> list[str]:
    problems = []
    scanned = frozenset().union(*(plan.scanned for plan in plans))
    if scanned:
        problems.append(f"{case.name}: reads all of {sorted(scanned)}")
    buffers = max(plan.buffers for plan in plans)
    if buffers > case.buffers:
        problems.append(f"{case.name}: touches {buffers} buffers, more than {case.buffers}")
    return problems


async def parents(connection: asyncpg.Connection, schema: str) -> dict[str, str]:
    """By the name of each large table and index, its own, or that of the one it is a part of."""
    return dict(
        await connection.fetch(
            "SELECT c.relname, coalesce(p.relname, c.relname) FROM pg_class AS c"
            " LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid LEFT JOIN pg_class AS p ON p.oid = i.inhparent"
            " WHERE c.relnamespace = $1::text::regnamespace AND c.relname !~ '^(meta|members|migrations|partitions)'",
            schema,
        )
    )
