"""Activities whose code is elsewhere: executions in one process, activities in others, PostgreSQL between them.
Beside it, jobs of procrastinate on the same server.

    python -m bench.remote engine --store URL --workflow Jobs --scale N
    python -m bench.remote worker --store URL

`engine` owns all partitions, has the workflows' code but none of an activity, and prints one line of JSON. `worker` has
the activities' code and runs 200 at a time until it is killed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.peers.runner import run_procrastinate
from bench.postgres import Server
from bench.processes import Result, cpu_seconds, load, report, running, until
from bench.workloads import JOBS, Jobs, RemoteChain, trivial
from tenuto.client import Client
from tenuto.engine.gateway import PATIENCE
from tenuto.store.protocol import PARTITIONS, Rank
from tenuto.worker import Worker

CONCURRENCY = 200
#: Activities of one workflow of `Jobs`, and workflows of `RemoteChain` in flight, with their activities.
WIDTH, IN_FLIGHT, STEPS = 500, 200, 5
WARM_UP = 2 * WIDTH


async def engine(store: str, name: str, scale: int) -> Result:
    """Run so many activities, and wait for all."""
    client = await Client.connect(store)
    owner = await client.gateway.acquire(PATIENCE, Rank.SERVER)
    async with Worker(client, workflows=[Jobs, RemoteChain], activities=[]):
        while len(owner.ownership.partitions) < PARTITIONS:  # noqa: ASYNC110 - the workers hand them over
            await asyncio.sleep(0.1)
        await _run(client, name, WARM_UP, "warm-up")
        began, cpu = time.perf_counter(), time.process_time()
        await _run(client, name, scale, "jobs")
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"activities_per_second": scale / seconds, "seconds": seconds, "engine_cpu_seconds": cpu / scale}


async def _run(client: Client, name: str, scale: int, prefix: str) -> None:
    workflow: Any = Jobs.run if name == "Jobs" else RemoteChain.run
    size = WIDTH if name == "Jobs" else STEPS
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def one(number: int) -> None:
        async with slots:
            await client.execute_workflow(workflow, size, id=f"{prefix}-{number}")

    await asyncio.gather(*(one(number) for number in range(scale // size)))


async def worker(store: str) -> None:
    client = await Client.connect(store)
    async with Worker(client, task_queue=JOBS, activities=[trivial], max_concurrent_activities=CONCURRENCY):
        print("ready", flush=True)
        await asyncio.Event().wait()


@contextmanager
def workers(store: str, count: int, workdir: Path) -> Iterator[list[int]]:
    """So many worker processes; gives their pids."""
    with ExitStack() as stack:
        pids = []
        for _ in range(count):
            log = workdir / f"worker-{time.monotonic_ns()}.log"
            pids.append(stack.enter_context(running("-m", "bench.remote", "worker", "--store", store, log=log)))
            until(lambda log=log: "ready" in log.read_text(), "the worker is ready")  # type: ignore[misc]
        yield pids


def measure(server: Server, name: str, scale: int, processes: int, workdir: Path) -> Result:
    """One run of `engine` beside so many workers; what they and PostgreSQL used is added."""
    store = server.database()
    with workers(store, processes, workdir) as pids:
        database, own = server.cpu_seconds(), sum(map(cpu_seconds, pids))
        result = report("bench.remote", "engine", "--store", store, "--workflow", name, "--scale", str(scale))
        ran = scale + WARM_UP
        result["database_cpu_seconds"] = (server.cpu_seconds() - database) / ran
        result["workers_cpu_seconds"] = (sum(map(cpu_seconds, pids)) - own) / ran
    return result


def lines(server: Server, workdir: Path, quick: bool) -> list[str]:
    """The rows of the table."""
    scale = 5_000 if quick else 20_000
    print("queue: Tenuto ...", file=sys.stderr, flush=True)
    runs = {(name, n): measure(server, name, scale, n, workdir) for name in ("Jobs", "RemoteChain") for n in (1, 2)}
    print("queue: procrastinate ...", file=sys.stderr, flush=True)
    peer = run_procrastinate(database=server.database(), scale=1000 if quick else 3000, workdir=workdir)
    theirs = max(float(result["jobs_per_second"]) for result in [peer, *peer["candidates"]])
    rows = [
        f"| Remote activities, end to end; {load()} | Tenuto | procrastinate | ratio | goal "
        "| CPU of an activity: engine; workers; PostgreSQL |",
        "|---|--:|--:|--:|---|---|",
    ]
    for (name, processes), result in runs.items():
        mine = result["activities_per_second"]
        title = "workflows of 500 at once" if name == "Jobs" else "200 workflows in flight, 5 in a row each"
        rows.append(
            f"| {title}; {processes} worker process{'es' if processes > 1 else ''} of 200 | {mine:.0f} 1/s | "
            f"{theirs:.0f} 1/s | {mine / theirs:.1f}x | 10x, aim 20x | {result['engine_cpu_seconds'] * 1e6:.0f}; "
            f"{result['workers_cpu_seconds'] * 1e6:.0f}; {result['database_cpu_seconds'] * 1e6:.0f} us |"
        )
    candidates = ", ".join(
        f"{tried['jobs_per_second']:.0f} 1/s with {tried['worker_processes']} worker(s) of {tried['pool']} connections"
        for tried in peer["candidates"]
    )
    rows += [
        "",
        f"- procrastinate {peer['peer_version']}: {candidates}; with all jobs {peer['jobs_per_second']:.0f} 1/s.",
    ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["engine", "worker"])
    parser.add_argument("--store", required=True)
    parser.add_argument("--workflow", choices=["Jobs", "RemoteChain"], default="Jobs")
    parser.add_argument("--scale", type=int, default=10_000)
    options = parser.parse_args()
    if options.what == "worker":
        asyncio.run(worker(options.store))
    else:
        print(json.dumps(asyncio.run(engine(options.store, options.workflow, options.scale))), flush=True)


if __name__ == "__main__":
    main()
