"""The tables and statements of the PostgreSQL store: everything goes by partition, so that tables can be cut by it, and
spread over machines by it, without another design."""

import re
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tenuto.store.postgres.options import parse
from tenuto.store.postgres.statements import Statements
from tenuto.store.statements import load_statements
from tests.support.postgres import connected, postgres_url

SHARED = {"meta", "members", "migrations", "partitions"}
"""Small tables that every member needs as a whole."""

QUEUES = {"tasks", "inbox", "answers", "notes", "executions"}
"""Tables whose rows come and go, or change."""

SLOTTED = {"closed_executions", "history", "workflow_index", "task_index"}

ACROSS = {
    "find", "find_open", "find_stuck", "find_workflow", "count", "count_open", "count_stuck", "count_workflow",
    "search_workflows", "count_workflows", "search_tasks", "count_tasks", "find_tasks",
    "purge_answers", "expired_runs", "expired_slots", "slot_is_expired", "forget_leftovers_of_slot",
}  # fmt: skip
"""Statements that ask all partitions: what people look for, and what an hourly purge does."""

ACROSS_IN_PART = {("forget_runs", "documents")}
"""Statements, and the one table of which they ask all partitions."""

SOURCES = {
    name: statement.text
    for file in ("statements", "search")
    for name, statement in load_statements("postgres", file).items()
}

_TABLE = re.compile(r"\b(INSERT INTO|UPDATE|FROM|JOIN|USING) \{schema\}\.(\w+)(?: AS (\w+))?(?: \(\s*(\w+))?")


@pytest.fixture
async def connection() -> AsyncIterator[Any]:
    """To the database; the current schema is that of a store."""
    with postgres_url() as url:
        async with connected(url) as connection:
            await connection.execute(f"SET search_path = {parse(url).schema}")
            yield connection


def without_partition(name: str, text: str) -> list[str]:
    """The tables that a statement asks without naming the partition."""
    asked: Counter[str] = Counter()
    found = []
    for verb, table, alias, first_column in _TABLE.findall(text):
        if table in SHARED or (name, table) in ACROSS_IN_PART:
            continue
        if verb == "INSERT INTO":
            if first_column != "partition":
                found.append(table)
            continue
        asked[alias or table] += 1
    for alias, times in asked.items():
        conditions = re.findall(rf"\b{alias}\.partition (?:=|BETWEEN) ", text)
        if len(conditions) < times:
            found.append(alias)
    return found


@pytest.mark.parametrize("name", sorted(SOURCES.keys() - ACROSS))
def test_a_statement_of_the_engine_names_the_partition(name: str) -> None:
    assert without_partition(name, SOURCES[name]) == []


def test_a_statement_that_forgets_the_partition_is_noticed() -> None:
    for text in (
        "SELECT e.run_id FROM {schema}.executions AS e WHERE e.run_id = :run_id",
        "DELETE FROM {schema}.tasks AS t USING unnest(:p::text[]) AS v (run_id) WHERE t.run_id = v.run_id",
        "SELECT 1 FROM {schema}.inbox AS i WHERE i.partition = 1 UNION ALL SELECT 2 FROM {schema}.inbox AS i",
        "INSERT INTO {schema}.notes (run_id, partition) SELECT 1, 2",
    ):
        assert without_partition("x", text)
    assert not without_partition("x", "SELECT 1 FROM {schema}.inbox AS i WHERE i.partition = :partition")


def test_what_is_said_to_ask_all_partitions_does() -> None:
    """An exception that isn't needed any more is one too many."""
    assert SOURCES.keys() >= ACROSS
    assert {name for name in ACROSS if not without_partition(name, SOURCES[name])} == set()


async def test_every_primary_key_begins_with_the_partition(connection: Any) -> None:
    keys = await connection.fetch(
        "SELECT c.relname, array_agg(a.attname ORDER BY k.place) AS columns"
        " FROM pg_class AS c JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary"
        " CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k (number, place)"
        " JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.number"
        " WHERE c.relnamespace = current_schema()::regnamespace AND NOT c.relispartition GROUP BY c.relname"
    )
    columns = {key["relname"]: list(key["columns"]) for key in keys}
    tables = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
        " AND relnamespace = current_schema()::regnamespace"
    )
    assert columns.keys() == {name for (name,) in tables}, "a table has no primary key"
    assert {name for name, key in columns.items() if key[0] != "partition"} == SHARED - {"partitions"}
    assert {name for name, key in columns.items() if "slot" in key} == SLOTTED


async def test_what_expires_lies_in_slots(connection: Any) -> None:
    parts = await connection.fetch(
        "SELECT p.relname, count(*) FROM pg_inherits AS i JOIN pg_class AS p ON p.oid = i.inhparent"
        " WHERE p.relkind = 'p' AND p.relnamespace = current_schema()::regnamespace GROUP BY p.relname"
    )
    assert dict(parts) == dict.fromkeys(SLOTTED, 16)


async def test_queues_are_vacuumed_early(connection: Any) -> None:
    """Not after a fifth of the table, as others: what is dead in a queue is in everybody's way."""
    found = await connection.fetch(
        "SELECT relname, reloptions FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
    )
    for name, given in found:
        options = dict(option.split("=") for option in given or ())
        scale = float(options.get("autovacuum_vacuum_scale_factor", 0.2))
        if name in QUEUES:
            assert scale <= 0.02, name
            assert int(options["autovacuum_vacuum_threshold"]) <= 1000, name
        if name.startswith(("workflow_index_", "task_index_")):
            assert scale <= 0.05, name
    hottest = {name: given for name, given in found if name in ("tasks", "inbox")}
    for name, given in hottest.items():
        assert "autovacuum_vacuum_cost_delay=0" in given, name


async def test_every_statement_is_sound(connection: Any) -> None:
    (schema,) = await connection.fetchrow("SELECT current_schema()")
    statements = Statements(schema)
    ends = {"as_expected", "verdict"}  # of every commit
    parts = {name for name, text in SOURCES.items() if "FROM fence" in text or "FROM delete_" in text} - ends
    for name in SOURCES.keys() - parts - ends:
        text = statements[name].text
        if name in ("search_workflows", "search_tasks", "count_workflows", "count_tasks"):
            text = statements.source(name, where="true", order="number")
        if "{" not in text:  # else something is to be put in that is no value
            await connection.prepare(text)
    for name in parts:
        before = [name.replace("insert_", "delete_")] if "FROM delete_" in SOURCES[name] else []
        await connection.prepare(statements.composed(["no_fence", *before, name], ()).text)
