"""procrastinate on PostgreSQL: jobs from being enqueued to being recorded as done.

    python procrastinate_runs.py jobs --database URL [--scale N]

Run by the python of the peer's own environment (`environment.py`). Prints exactly one line of JSON on stdout. URL names
a new database.

Workers wait, each in a process of its own with 200 jobs at a time; this process enqueues N jobs that do nothing, in
bulk, and waits until all of them are recorded as succeeded. Fairness: the worker's options are their defaults but for
the concurrency, one and two worker processes and two sizes of the connection pool are tried with fewer jobs, all are
reported under `candidates`, and the best runs them all. Reported: `jobs_per_second` (enqueueing included),
`enqueued_per_second`, `worker_processes`, `pool`, `cpu_seconds_per_job` (of this process and the workers).
"""

import argparse
import asyncio
import importlib.metadata
import json
import resource
import signal
import sys
import time
from typing import Any

from procrastinate import App, PsycopgConnector

CONCURRENCY = 200
"""Jobs that a worker process runs at a time."""

TRIAL_JOBS = 600
"""Jobs each candidate runs to find the best, before the best one runs them all."""

CANDIDATES = ((1, 4), (1, 20), (2, 4), (2, 20))
"""Worker processes, and connections of each."""

BULK = 1000
"""Jobs enqueued at a time."""

Result = dict[str, Any]


def app_on(database: str, connections: int) -> App:
    return App(connector=PsycopgConnector(conninfo=database, min_size=1, max_size=connections))


def with_task(app: App) -> Any:
    """The task of the benchmark, registered with `app`."""

    @app.task(name="trivial")
    async def trivial(number: int) -> int:
        return number + 1

    return trivial


async def work(database: str, connections: int) -> None:
    """Be a worker until SIGTERM."""
    app = app_on(database, connections)
    with_task(app)
    async with app.open_async():
        print("ready", flush=True)
        await app.run_worker_async(concurrency=CONCURRENCY)


async def jobs(database: str, scale: int, processes: int, connections: int) -> Result:
    """Enqueue so many jobs beside so many workers, and wait for the last to be done."""
    workers = [await _worker(database, connections) for _ in range(processes)]
    app = app_on(database, 4)
    trivial = with_task(app)
    async with app.open_async():
        await asyncio.sleep(1)  # so that the workers listen
        done_before = await _done(app)
        began, cpu = time.perf_counter(), _cpu(resource.RUSAGE_SELF)
        for first in range(0, scale, BULK):
            numbers = range(first, min(first + BULK, scale))
            await trivial.batch_defer_async(*({"number": number} for number in numbers))
        enqueued = time.perf_counter() - began
        while await _done(app) < done_before + scale:  # noqa: ASYNC110 - other processes do them
            await asyncio.sleep(0.05)
        seconds = time.perf_counter() - began
        cpu = _cpu(resource.RUSAGE_SELF) - cpu
    ended_before = _cpu(resource.RUSAGE_CHILDREN)
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
        await worker.wait()
    cpu += _cpu(resource.RUSAGE_CHILDREN) - ended_before
    return {
        "jobs_per_second": scale / seconds,
        "enqueued_per_second": scale / enqueued,
        "seconds": seconds,
        "worker_processes": processes,
        "pool": connections,
        "cpu_seconds_per_job": cpu / scale,
    }


async def _worker(database: str, connections: int) -> asyncio.subprocess.Process:
    command = [sys.executable, __file__, "worker", "--database", database, "--connections", str(connections)]
    worker = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert worker.stdout is not None
    await worker.stdout.readline()
    return worker


async def _done(app: App) -> int:
    row = await app.connector.execute_query_one_async(
        "SELECT count(*) AS jobs FROM procrastinate_jobs WHERE status = 'succeeded'"
    )
    return int(row["jobs"])


def _cpu(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


async def best_of_all(database: str, scale: int) -> Result:
    app = app_on(database, 2)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
    tried = [await jobs(database, min(scale, TRIAL_JOBS), *candidate) for candidate in CANDIDATES]
    best = max(tried, key=lambda result: float(result["jobs_per_second"]))
    result = await jobs(database, scale, best["worker_processes"], best["pool"])
    version = importlib.metadata.version("procrastinate")
    return {"peer": "procrastinate", "peer_version": version, "candidates": tried, **result}


def main() -> None:
    parser = argparse.ArgumentParser(description="procrastinate on PostgreSQL.")
    parser.add_argument("what", choices=("jobs", "worker"))
    parser.add_argument("--database", required=True)
    parser.add_argument("--scale", type=int, default=3000)
    parser.add_argument("--connections", type=int, default=4)
    given = parser.parse_args()
    if given.what == "worker":
        asyncio.run(work(given.database, given.connections))
    else:
        print(json.dumps(asyncio.run(best_of_all(given.database, given.scale))), flush=True)


if __name__ == "__main__":
    main()
