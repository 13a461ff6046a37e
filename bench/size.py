"""What stored executions cost: the same load and the same questions on a PostgreSQL with 10 thousand and with 1 million
of them, and what follows, on paper, for 1 billion.

    python -m bench.size --store URL [--repeat N]

asks the questions and prints one line of JSON. The tables are filled with copies of what real workflows of five
activities left behind, under ids and times of their own: over the last 25 days, 2 % of them still open and asleep.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg

from bench.postgres import Server
from bench.processes import Result, load, report
from tenuto.engine.ids import uuid7
from tenuto.model.events import ExecutionRef
from tenuto.model.policies import ExecutionStatus
from tenuto.model.search import And, Compare, Condition, SearchQuery
from tenuto.store.protocol import ExecutionFilter, partition_of
from tenuto.store.urls import open_store

DAY = 86_400 * 1_000_000_000
DAYS = 25
OPEN = 50  # one in so many is open
TYPES = 20  # workflow types
TABLES = ("executions", "closed_executions", "history", "workflow_index")

#: Columns that a copy has of its own, of all tables; the others are the sample's.
OWN = {
    "partition": "i.partition",
    "slot": "i.slot",
    "run_id": "i.run_id",
    "workflow_id": "i.workflow_id",
    "first_run_id": "NULL::text",
    "request_id": "i.run_id",
    "start_time": "i.start_time",
    "close_time": "i.start_time + 60 * 1000000000::bigint",
    "number": "nextval('tenuto.run_numbers')",
    "workflow_type": "'Flow' || i.n % {types}",
    "status": "s.status",
}
ASLEEP = {
    "close_time": "NULL::bigint",
    "wake_at": f"i.start_time + 365 * {DAY}",
    "status": str(int(ExecutionStatus.RUNNING)),
}
INDEXED = """
INSERT INTO tenuto.workflow_index (
    partition, slot, version, priority, start_time, end_time, update_time, run_id, workflow_id, workflow_type, status,
    correlation_id, parent_workflow_id, created_by, event, classifier, idempotency_key, reason, details, input, output
)
SELECT
    partition, slot, 1, 0, start_time, CASE WHEN n % {open} = 0 THEN NULL ELSE start_time + 60000000000 END,
    start_time + 60000000000, run_id, workflow_id, 'Flow' || n % {types},
    CASE WHEN n % {open} = 0 THEN 'RUNNING' WHEN n % 100 = 1 THEN 'FAILED' ELSE 'COMPLETED' END,
    'customer-' || n / 10, '', NULL, NULL, 'workflow', NULL, CASE WHEN n % 100 = 1 THEN 'card declined' END,
    '\\x93909080'::bytea, '{{"order": ' || n || ', "items": ["a", "b"], "total": 12.5}}',
    '{{"receipt": "r-' || n || '"}}'
FROM bench_ids
"""


def fill(server: Server, store: str, executions: int) -> None:
    """Add so many executions to the tables of a store in which real ones have run."""
    asyncio.run(_fill(store, executions))
    server.execute(store, *(f"VACUUM ANALYZE tenuto.{table}" for table in TABLES), "CHECKPOINT")


async def _fill(store: str, executions: int) -> None:
    connection = await asyncpg.connect(store)
    try:
        await connection.execute(
            "CREATE UNLOGGED TABLE bench_ids (n bigint, partition smallint, slot smallint, start_time bigint,"
            " workflow_id text, run_id text)"
        )
        era = await connection.fetchval("SELECT era FROM tenuto.meta")
        await connection.copy_records_to_table("bench_ids", records=_ids(executions, era))
        closed, asleep = f"n % {OPEN} <> 0", f"n % {OPEN} = 0"
        sample = "SELECT * FROM tenuto.closed_executions WHERE workflow_type = 'Chain' LIMIT 1"
        await connection.execute(await _copies(connection, "closed_executions", sample, closed))
        await connection.execute(await _copies(connection, "executions", sample, asleep, ASLEEP))
        run = f"SELECT run_id FROM ({sample}) AS one"
        sample = f"SELECT * FROM tenuto.history WHERE run_id = ({run})"
        await connection.execute(await _copies(connection, "history", sample, "true"))
        await connection.execute(INDEXED.format(open=OPEN, types=TYPES))
        await connection.execute("DROP TABLE bench_ids")
    finally:
        await connection.close()


def _ids(executions: int, era: int) -> list[tuple[object, ...]]:
    """Rows of bench_ids, oldest first."""
    chance, first, step = random.Random(1), time.time_ns() - DAYS * DAY, DAYS * DAY // executions
    rows: list[tuple[object, ...]] = []
    for number in range(executions):
        start = first + number * step
        workflow_id = f"order-{number:010}"
        run_id = uuid7(start // 1_000_000, chance.getrandbits(74))
        rows.append((number, partition_of(workflow_id), start // era % 16, start, workflow_id, run_id))
    return rows


async def _copies(connection: Any, table: str, sample: str, which: str, special: dict[str, str] | None = None) -> str:
    """The statement that copies the sample once for each id of that kind."""
    columns = [
        row[0]
        for row in await connection.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'tenuto' AND table_name = $1",
            table,
        )
    ]
    own = OWN | (special or {})
    values = ", ".join(own.get(column, f"s.{column}").format(types=TYPES) for column in columns)
    return (
        f"INSERT INTO tenuto.{table} ({', '.join(columns)}) SELECT {values} "
        f"FROM bench_ids AS i CROSS JOIN ({sample}) AS s WHERE {which} ORDER BY i.n"
    )


async def questions(url: str, repeat: int, executions: int) -> Result:
    """The seconds that each question takes, p50."""
    store = open_store(url)
    await store.open()
    chance = random.Random(2)

    def workflow_id() -> str:
        return f"order-{chance.randrange(executions):010}"

    def search(condition: Condition | None = None, free_text: str = "") -> Awaitable[object]:
        return store.search_workflows(SearchQuery(condition=condition, free_text=free_text, size=20))

    def customer() -> str:
        return f"customer-{chance.randrange(max(1, executions // 10))}"

    running = ExecutionFilter(statuses=(ExecutionStatus.RUNNING,))
    asked: dict[str, Callable[[], Awaitable[object]]] = {
        "load one with its history": lambda: store.load([ExecutionRef(workflow_id())], closed_history=True),
        "list the newest 50": lambda: store.find(ExecutionFilter(), 50, 0),
        "list the newest 50 running": lambda: store.find(running, 50, 0),
        "list the newest 50 of a type": lambda: store.find(ExecutionFilter(workflow_types=("Flow7",)), 50, 0),
        "list by id": lambda: store.find(ExecutionFilter(workflow_id=workflow_id()), 50, 0),
        "count the running": lambda: store.count(running),
        "count all": lambda: store.count(ExecutionFilter()),
        "search the newest 20 running": lambda: search(Compare("status", "=", "RUNNING")),
        "search 20 failed of a type": lambda: search(
            And((Compare("workflow_type", "=", "Flow1"), Compare("status", "=", "FAILED")))
        ),
        "search by correlation id": lambda: search(Compare("correlation_id", "=", customer())),
        "search a text in all of them": lambda: search(free_text='"order": 77'),
    }
    result = {}
    for name, ask in asked.items():
        times = []
        limit = time.perf_counter() + 20
        for _ in range(repeat):
            began = time.perf_counter()
            await ask()
            times.append(time.perf_counter() - began)
            if time.perf_counter() > limit:
                break
        result[name] = statistics.median(times)
    await store.close()
    return result


def measure(server: Server, executions: int, workflows: int) -> Result:
    """W2 and the questions beside so many executions."""
    store = server.database()
    report("bench.tenuto_runs", "w2", "--store", store, "--scale", "20")
    before = _bytes(server, store)
    began = time.perf_counter()
    fill(server, store, executions)
    took = time.perf_counter() - began
    print(f"size: filled with {executions:,} in {took:.0f} s; W2 and questions ...", file=sys.stderr, flush=True)
    size = {table: (bytes_ - before[table]) / executions for table, bytes_ in _bytes(server, store).items()}
    cpu = server.cpu_seconds()
    w2 = report("bench.tenuto_runs", "w2", "--store", store, "--scale", str(workflows))
    cpu = (server.cpu_seconds() - cpu) / (workflows + 100)
    asked = report("bench.size", "--store", store, "--executions", str(executions))
    return {"w2": w2, "database_cpu_seconds": cpu, "bytes": size, "questions": asked}


def _bytes(server: Server, store: str) -> dict[str, int]:
    """Size of each table with its slots and indexes."""
    rows = server.execute(
        store,
        "SELECT coalesce(p.relname, c.relname) AS name, sum(pg_total_relation_size(c.oid)) AS bytes FROM pg_class AS c"
        " LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid LEFT JOIN pg_class AS p ON p.oid = i.inhparent"
        " WHERE c.relnamespace = 'tenuto'::regnamespace AND c.relkind = 'r' GROUP BY 1",
    )
    sizes = {row["name"]: int(row["bytes"]) for row in rows}
    return {table: sizes.get(table, 0) for table in TABLES}


def lines(server: Server, workdir: Path, quick: bool) -> list[str]:
    """The rows of the tables."""
    counts = (10_000, 100_000) if quick else (10_000, 1_000_000)
    results = []
    for executions in counts:
        print(f"size: {executions:,} executions ...", file=sys.stderr, flush=True)
        results.append(measure(server, executions, 500 if quick else 2000))
    small, large = results
    rows = [
        f"| Executions stored; {load()} | {counts[0]:,} | {counts[1]:,} | ratio |",
        "|---|--:|--:|--:|",
        _row("W2, workflows/s", [result["w2"]["workflows_per_second"] for result in results], 1, ".0f"),
        _row("PostgreSQL's CPU of a W2 workflow, ms", [r["database_cpu_seconds"] for r in results], 1e3, ".2f"),
    ]
    for name in small["questions"]:
        rows.append(_row(f"{name}, p50, ms", [result["questions"][name] for result in results], 1e3, ".2f"))
    rows.append(_row("bytes an execution", [sum(result["bytes"].values()) for result in results], 1, ".0f"))
    return [*rows, "", *_on_paper(counts, small, large)]


def _row(title: str, figures: list[float], factor: float, form: str) -> str:
    low, high = figures[0] * factor, figures[1] * factor
    return f"| {title} | {low:{form}} | {high:{form}} | {high / low:.2f}x |"


def _on_paper(counts: tuple[int, int], small: Result, large: Result) -> list[str]:
    """What the figures say of a billion: the cost of an operation grows with the depth of the indexes, the logarithm
    of what is stored; bytes grow with what is stored."""
    billion = 1_000_000_000
    decades = math.log10(billion / counts[1]) / math.log10(counts[1] / counts[0])

    def grown(figures: Callable[[Result], float]) -> float:
        low, high = figures(small), figures(large)
        return max(low, high) + max(0.0, high - low) * decades

    each = sum(large["bytes"].values())
    parts = ", ".join(f"{table} {size:.0f}" for table, size in large["bytes"].items())
    cpu = grown(lambda result: result["database_cpu_seconds"])
    one = grown(lambda result: result["questions"]["load one with its history"])
    return [
        f"- On paper, 1 billion executions: {each * billion / 2**40:.1f} TiB ({each:.0f} bytes each, indexes included: "
        f"{parts}). With the growth measured here from {counts[0]:,} to {counts[1]:,}, drawn on by the logarithm, a "
        f"W2 workflow takes {cpu * 1e3:.2f} ms of PostgreSQL's CPU ({1 / cpu:.0f} workflows/s a core), and loading "
        f"one run {one * 1e3:.1f} ms while what it touches is in memory. A billion within a retention of 30 days is "
        f"{billion / 30 / 86_400:.0f} workflows/s.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", required=True)
    parser.add_argument("--executions", type=int, required=True)
    parser.add_argument("--repeat", type=int, default=50)
    options = parser.parse_args()
    print(json.dumps(asyncio.run(questions(options.store, options.repeat, options.executions))), flush=True)


if __name__ == "__main__":
    main()
