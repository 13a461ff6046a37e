"""What more engine processes on one PostgreSQL bring: 1, 2, 3 and 4 of `tenuto worker`, beside a process that starts
workflows and waits for them.

The same cores carry the engines, the client and PostgreSQL. That engines share the work shows where it is their CPU
that counts (`Busy`: activities that compute); where PostgreSQL and the client take a good part of it (`Chain`:
activities that do nothing), two cores soon have no more to give.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path

from bench.postgres import Server
from bench.processes import Result, cpu_seconds, load, report, running, until
from tenuto.store.protocol import PARTITIONS

PROCESSES = (1, 2, 3, 4)
#: Workflows of a run, and how many at a time: (quick, full, in flight).
SCALES = {"Busy": (120, 600, 60), "Chain": (600, 3000, 200)}


def measure(server: Server, workflow: str, scale: int, in_flight: int, processes: int, workdir: Path) -> Result:
    """One run of the load on so many engines."""
    store = server.database()
    with ExitStack() as stack:
        pids = []
        for _ in range(processes):
            log = workdir / f"engine-{time.monotonic_ns()}.log"
            command = ["-m", "tenuto", "worker", "bench.workloads", "--db", store]
            pids.append(stack.enter_context(running(*command, log=log)))
            until(lambda log=log: "serves" in log.read_text(), "the engine serves")  # type: ignore[misc]
        until(lambda: _evenly_spread(server, store, processes), "partitions are spread evenly")
        before, database = sum(map(cpu_seconds, pids)), server.cpu_seconds()
        arguments = ["--workflow", workflow, "--scale", str(scale), "--in-flight", str(in_flight)]
        result = report("bench.load", "--store", store, *arguments)
        engines = sum(map(cpu_seconds, pids)) - before
        database = server.cpu_seconds() - database
    # The warm-up is in these, and in the divisor.
    ran = scale + min(scale, 2 * in_flight)
    return result | {"engines_cpu_seconds": engines / ran, "database_cpu_seconds": database / ran}


def _evenly_spread(server: Server, store: str, processes: int) -> bool:
    owned = server.execute(
        store, "SELECT count(*) FROM tenuto.partitions WHERE member IS NOT NULL GROUP BY member ORDER BY 1"
    )
    counts = [row[0] for row in owned]
    return len(counts) == processes and sum(counts) == PARTITIONS and counts[-1] - counts[0] <= processes


def lines(server: Server, workdir: Path, quick: bool) -> list[str]:
    """The rows of the tables."""
    rows = []
    for workflow, (few, many, in_flight) in SCALES.items():
        scale = few if quick else many
        results = []
        for processes in PROCESSES:
            print(f"scaling: {workflow}, {processes} engines ...", file=sys.stderr, flush=True)
            results.append(measure(server, workflow, scale, in_flight, processes, workdir))
        rows += _table(workflow, in_flight, results)
    return rows


def _table(workflow: str, in_flight: int, results: list[Result]) -> list[str]:
    one = results[0]["workflows_per_second"]
    title = "activities that compute" if workflow == "Busy" else "activities that do nothing"
    goal = "; three must do 1.6 times the work of one" if workflow == "Busy" else ""
    rows = [
        "",
        f"| Workflows of 5 {title}, {in_flight} in flight{goal}; {load()} | workflows/s | of one | p50 | p99 "
        "| CPU a workflow: engines; client; PostgreSQL | PostgreSQL's cores |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for processes, result in zip(PROCESSES, results, strict=True):
        rate = result["workflows_per_second"]
        shares = [result[f"{who}_cpu_seconds"] * 1e3 for who in ("engines", "client", "database")]
        rows.append(
            f"| {processes} engine process{'es' if processes > 1 else ''} | {rate:.1f} | {rate / one:.2f}x "
            f"| {result['p50_seconds'] * 1e3:.0f} ms | {result['p99_seconds'] * 1e3:.0f} ms "
            f"| {shares[0]:.2f}; {shares[1]:.2f}; {shares[2]:.2f} ms | {shares[2] * rate / 1e3:.2f} |"
        )
    return rows
