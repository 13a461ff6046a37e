"""DBOS on SQLite, as shipped, under the suite's six workloads.

    python dbos_sqlite.py WORKLOAD --db PATH [--scale N] [--api auto|async|sync]

Run by the python of the peer's own environment (`environment.py`). Prints exactly one line of JSON
on stdout; whatever else there is to say goes to stderr. Every duration is in seconds, every size
in bytes. PATH must not exist yet (except for `w5-recover`) and must be on a real disk: the cost
of durability is part of what is measured.

| workload     | what is run                                                   | scale is, default     |
|--------------|---------------------------------------------------------------|-----------------------|
| `w1`         | one workflow of sequential trivial steps, several times over  | steps, 100            |
| `w2`         | workflows of 5 trivial steps, at most 200 of them in flight   | workflows, 2,000      |
| `w3`         | start and await a 1-step workflow, one at a time              | workflows, 200        |
| `w4`         | one workflow of parallel trivial steps                        | steps, 1,000          |
| `w5-fill`    | bring workflows in progress, say so, wait to be killed        | workflows, 1,000      |
| `w5-recover` | a new process on the same database: until all are complete    | as given to `w5-fill` |
| `w6`         | memory of sleeping workflows                                  | workflows, 2,000      |

W5 in detail. Each workflow runs one trivial step, then a step that polls for a *marker file*
(`PATH.go`). The marker does not exist during `w5-fill`, so each workflow stops with exactly one
step recorded and one begun. Once all are there, `w5-fill` prints its line and goes on waiting; the
harness reads the line, kills the process with SIGKILL, creates the marker and starts `w5-recover`,
where each workflow's second step finds the marker at its first look. What is timed is therefore
recovery alone: start-up, finding the workflows, one step and one completion for each.
`--started-at` is the harness's `time.monotonic()` just before it started the new process.

Fairness. DBOS's configuration is its default but for the log level: its journal mode and
synchronous setting are read back, through its own connections, and reported. Where it is not
obvious which of its two APIs is the faster, both are run, the better is reported as `api`, and all
are listed under `candidates`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextvars
import gc
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STARTED = time.monotonic()
"""When this process started, as far as it can know by itself; `--started-at` knows better."""

try:  # DBOS needs SQLite 3.42 or newer; the python at hand may be built with an older one.
    import pysqlite3

    sys.modules["sqlite3"] = pysqlite3
except ImportError:  # No wheel for this platform: DBOS then runs on the python's own SQLite.
    pass

from dbos import DBOS  # noqa: E402 (it looks for `sqlite3`, so the lines above come first)

STEPS_PER_WORKFLOW = 5
"""Steps of each workflow in W2."""

TRIAL_WORKFLOWS = 400
"""Workflows each W2 candidate runs to find the best, before the best one runs them all."""

POLL_SECONDS = 0.5
"""How often a waiting step of W5 looks for the marker file."""

SLEEP_SECONDS = 3600.0
"""How long a workflow of W6 sleeps: longer than any run."""

GIVE_UP_SECONDS = 900.0
"""How long W5 and W6 wait for their workflows to arrive before they fail."""

Result = dict[str, Any]
"""One JSON object."""


class Counter:
    """A count that many threads may raise."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.value = 0

    def increment(self) -> None:
        with self._lock:
            self.value += 1


trivial_runs = Counter()
"""Trivial steps this process has run."""

waiting = Counter()
"""W5 workflows that have reached their second step in this process."""

passed = Counter()
"""W5 workflows whose second step has found the marker in this process."""


# The workflows, once for each of DBOS's two APIs.


@DBOS.step()
def trivial_step(value: int) -> int:
    trivial_runs.increment()
    return value + 1


@DBOS.step()
async def trivial_step_async(value: int) -> int:
    trivial_runs.increment()
    return value + 1


@DBOS.workflow()
def chain(steps: int) -> int:
    value = 0
    for _ in range(steps):
        value = trivial_step(value)
    return value


@DBOS.workflow()
async def chain_async(steps: int) -> int:
    value = 0
    for _ in range(steps):
        value = await trivial_step_async(value)
    return value


@DBOS.workflow()
def fan_out(width: int, threads: int) -> int:
    """Parallel steps with the sync API: numbered in order, then run on a pool of threads."""

    def run(reservation: Any, value: int) -> int:
        return int(reservation.run(None, trivial_step, value))

    with ThreadPoolExecutor(threads) as pool:
        futures = [
            pool.submit(contextvars.copy_context().run, run, DBOS.reserve_step(), value)
            for value in range(width)
        ]
        return sum(future.result() for future in futures)


@DBOS.workflow()
async def fan_out_async(width: int) -> int:
    return sum(await asyncio.gather(*(trivial_step_async(value) for value in range(width))))


@DBOS.step()
def wait_for_file(path: str) -> None:
    waiting.increment()
    while not os.path.exists(path):
        time.sleep(POLL_SECONDS)
    passed.increment()


@DBOS.step()
async def wait_for_file_async(path: str) -> None:
    waiting.increment()
    while not os.path.exists(path):
        await asyncio.sleep(POLL_SECONDS)
    passed.increment()


@DBOS.workflow()
def gated(marker: str) -> int:
    value = trivial_step(0)
    wait_for_file(marker)
    return value


@DBOS.workflow()
async def gated_async(marker: str) -> int:
    value = await trivial_step_async(0)
    await wait_for_file_async(marker)
    return value


@DBOS.workflow()
def sleeper(seconds: float) -> None:
    DBOS.sleep(seconds)


@DBOS.workflow()
async def sleeper_async(seconds: float) -> None:
    await DBOS.sleep_async(seconds)


# The engine.


class Engine:
    """DBOS, launched on one database file with its default configuration."""

    def __init__(self, db: Path) -> None:
        self._dbos = DBOS(
            config={
                "name": "tenuto-bench",
                "system_database_url": f"sqlite:///{db}",
                "log_level": "WARNING",
            }
        )
        DBOS.launch()

    def scalar(self, sql: str) -> Any:
        """The single value that `sql` yields, read through a connection of DBOS's own pool."""
        # A private name: DBOS has no public way to its engine, and `synchronous` is a setting of
        # the connection, so one that we opened ourselves would not tell what DBOS runs with.
        with self._dbos._sys_db.engine.connect() as connection:
            return connection.exec_driver_sql(sql).scalar()

    def settings(self) -> Result:
        """The durability DBOS really runs with, and the versions of all that takes part."""
        levels = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}
        return {
            "peer": "dbos",
            "peer_version": importlib.metadata.version("dbos"),
            "python": platform.python_version(),
            "sqlite_version": self.scalar("SELECT sqlite_version()"),
            "journal_mode": str(self.scalar("PRAGMA journal_mode")).upper(),
            "synchronous": levels[int(self.scalar("PRAGMA synchronous"))],
        }

    def completed(self) -> int:
        """Workflows recorded as successfully completed."""
        return int(self.scalar("SELECT count(*) FROM workflow_status WHERE status = 'SUCCESS'"))

    def trivial_steps(self) -> int:
        """Trivial steps whose outcome is recorded."""
        return int(
            self.scalar(
                "SELECT count(*) FROM operation_outputs WHERE function_name LIKE 'trivial_step%'"
            )
        )

    def asleep(self) -> int:
        """Workflows whose sleep is recorded."""
        return int(
            self.scalar("SELECT count(*) FROM operation_outputs WHERE function_name = 'DBOS.sleep'")
        )


@dataclass(frozen=True)
class Run:
    """What one workload is run with."""

    engine: Engine
    scale: int
    api: str
    """`async`, `sync`, or `auto`: whichever is the better."""
    marker: Path
    """The file that lets the workflows of W5 go on."""
    started_at: float
    """`time.monotonic()` of this process's start."""

    def api_or(self, usual: str) -> str:
        """The API asked for, or the one found to be the better for this workload."""
        return usual if self.api == "auto" else self.api

    def allows(self, api: str) -> bool:
        """Whether the API named at the start of `api` is to be tried."""
        return self.api in ("auto", api.split()[0])


def best(candidates: list[Result], key: str, *, highest: bool = False) -> Result:
    """The candidate with the lowest (or highest) figure, with all of them listed under it."""
    chosen = (max if highest else min)(candidates, key=lambda candidate: float(candidate[key]))
    listed = [
        {name: c[name] for name in ("api", "in_flight", key) if name in c} for c in candidates
    ]
    return {**chosen, "candidates": listed}


# W1


def chain_seconds(steps: int) -> float:
    begin = time.perf_counter()
    chain(steps)
    return time.perf_counter() - begin


async def chain_seconds_async(steps: int) -> float:
    begin = time.perf_counter()
    await chain_async(steps)
    return time.perf_counter() - begin


async def repeat_async(times: int, measure: Callable[[], Awaitable[float]]) -> list[float]:
    return [await measure() for _ in range(times)]


def w1(run: Run, repeats: int = 7) -> Result:
    """Seconds per step: a whole workflow from call to result, divided by its steps."""
    candidates = []
    if run.allows("sync"):
        chain_seconds(run.scale)
        times = [chain_seconds(run.scale) for _ in range(repeats)]
        candidates.append(per_step("sync", times, run.scale))
    if run.allows("async"):
        times = asyncio.run(repeat_async(repeats + 1, lambda: chain_seconds_async(run.scale)))[1:]
        candidates.append(per_step("async", times, run.scale))
    return {**best(candidates, "seconds_per_step"), "repeats": repeats}


def per_step(api: str, times: list[float], steps: int) -> Result:
    return {"api": api, "seconds_per_step": statistics.median(times) / steps}


# W2


def drain(workflows: Iterator[int], lock: threading.Lock) -> None:
    """Run workflows one after another until there are no more to take."""
    while True:
        with lock:
            if next(workflows, None) is None:
                return
        chain(STEPS_PER_WORKFLOW)


async def drain_async(workflows: Iterator[int]) -> None:
    for _ in workflows:
        await chain_async(STEPS_PER_WORKFLOW)


def throughput_sync(workflows: int, in_flight: int) -> None:
    source, lock = iter(range(workflows)), threading.Lock()
    with ThreadPoolExecutor(in_flight) as pool:
        for future in [pool.submit(drain, source, lock) for _ in range(in_flight)]:
            future.result()


def throughput_async(workflows: int, in_flight: int) -> None:
    async def main() -> None:
        source = iter(range(workflows))
        await asyncio.gather(*(drain_async(source) for _ in range(in_flight)))

    asyncio.run(main())


def throughput(api: str, workflows: int, in_flight: int) -> Result:
    """Wall and CPU time of so many workflows, start and finish of each included."""
    begin, cpu = time.perf_counter(), time.process_time()
    (throughput_sync if api == "sync" else throughput_async)(workflows, in_flight)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    steps = workflows * STEPS_PER_WORKFLOW
    log(f"w2 {api}, {in_flight} in flight: {workflows / seconds:.1f} workflows/s")
    return {
        "api": api,
        "in_flight": in_flight,
        "seconds": seconds,
        "workflows_per_second": workflows / seconds,
        "steps_per_second": steps / seconds,
        "cpu_seconds_per_step": cpu / steps,
    }


W2_CANDIDATES = (("async", 200), ("async", 16), ("sync", 8), ("sync", 1))
"""API and workflows in flight; for the sync API these are the threads that call workflows."""


def w2(run: Run) -> Result:
    """Throughput: every candidate on a trial, the best of them on the whole."""
    trial = min(run.scale, TRIAL_WORKFLOWS)
    tried = [
        throughput(api, trial, in_flight) for api, in_flight in W2_CANDIDATES if run.allows(api)
    ]
    chosen = best(tried, "workflows_per_second", highest=True)
    if trial < run.scale:
        chosen |= throughput(chosen["api"], run.scale, chosen["in_flight"])
    return {**chosen, "steps_per_workflow": STEPS_PER_WORKFLOW, "trial_workflows": trial}


# W3


def latencies_sync(calls: int, call: Callable[[], object]) -> list[float]:
    times = []
    for _ in range(calls):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return times


def latencies_async(calls: int, call: Callable[[], Awaitable[object]]) -> list[float]:
    async def main() -> list[float]:
        times = []
        for _ in range(calls):
            begin = time.perf_counter()
            await call()
            times.append(time.perf_counter() - begin)
        return times

    return asyncio.run(main())


def start_and_wait() -> int:
    return DBOS.start_workflow(chain, 1).get_result()


async def start_and_wait_async() -> int:
    return await (await DBOS.start_workflow_async(chain_async, 1)).get_result()


def percentiles(api: str, times: list[float]) -> Result:
    ordered = sorted(times)
    return {
        "api": api,
        "p50_seconds": statistics.median(ordered),
        "p99_seconds": ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))],
    }


def w3(run: Run, warm_up: int = 20) -> Result:
    """Latency of one workflow, by direct call and by start and handle."""
    calls = run.scale + warm_up
    ways: list[tuple[str, Callable[[], list[float]]]] = [
        ("sync call", lambda: latencies_sync(calls, lambda: chain(1))),
        ("sync start", lambda: latencies_sync(calls, start_and_wait)),
        ("async call", lambda: latencies_async(calls, lambda: chain_async(1))),
        ("async start", lambda: latencies_async(calls, start_and_wait_async)),
    ]
    tried = [percentiles(api, way()[warm_up:]) for api, way in ways if run.allows(api)]
    return best(tried, "p50_seconds")


# W4


def timed(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


async def awaited(workflow: Awaitable[int]) -> int:
    return await workflow


def w4(run: Run, repeats: int = 3, threads: int = 8) -> Result:
    """Seconds of one workflow that runs all its steps in parallel, from call to result."""
    ways: list[tuple[str, Callable[[], object]]] = [
        ("async", lambda: asyncio.run(awaited(fan_out_async(run.scale)))),
        (f"sync, {threads} threads", lambda: fan_out(run.scale, threads)),
    ]
    tried = [
        {"api": api, "seconds": statistics.median(timed(way) for _ in range(repeats))}
        for api, way in ways
        if run.allows(api.replace(",", ""))
    ]
    return {**best(tried, "seconds"), "repeats": repeats}


# W5 and W6: workflows that stay


def start_all(workflows: int, start: Callable[[], object]) -> None:
    """Start so many workflows, each on a thread of its own."""
    for _ in range(workflows):
        start()


def start_all_async(workflows: int, start: Callable[[], Awaitable[object]]) -> None:
    """Start so many workflows, 16 at a time, on an event loop that goes on for good."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    source = iter(range(workflows))

    async def start_some() -> None:
        for _ in source:
            await start()

    async def start_them() -> None:
        await asyncio.gather(*(start_some() for _ in range(16)))

    asyncio.run_coroutine_threadsafe(start_them(), loop).result()


def until(arrived: Callable[[], bool], what: str, poll: float) -> None:
    """Wait for `arrived`, looking every `poll` seconds."""
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while not arrived():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not so after {GIVE_UP_SECONDS:.0f} s")
        time.sleep(poll)


def w5_fill(run: Run) -> Result:
    """Bring workflows in progress, print how many are, and wait to be killed; never returns."""
    api = run.api_or("sync")
    if api == "sync":
        start_all(run.scale, lambda: DBOS.start_workflow(gated, str(run.marker)))
    else:
        start_all_async(run.scale, lambda: DBOS.start_workflow_async(gated_async, str(run.marker)))
    until(lambda: waiting.value >= run.scale, "all workflows in progress", poll=0.05)
    emit(
        header("w5-fill", run)
        | {
            "api": api,
            "seconds": time.monotonic() - run.started_at,
            "in_progress": waiting.value - passed.value,
            "steps_recorded": run.engine.trivial_steps(),
        }
    )
    while True:
        time.sleep(SLEEP_SECONDS)


def w5_recover(run: Run) -> Result:
    """Seconds from the start of this process until every workflow is recorded as complete."""
    until(lambda: passed.value >= run.scale, "all workflows past the marker", poll=0.01)
    until(lambda: run.engine.completed() >= run.scale, "all workflows complete", poll=0.01)
    return {
        "api": run.api_or("sync"),
        "seconds": time.monotonic() - run.started_at,
        "completed": run.engine.completed(),
        "steps_repeated": trivial_runs.value,
    }


# W6


def w6(run: Run, warm_up: int = 20) -> Result:
    """Resident memory of sleeping workflows, over that of the same process before it had any."""
    api = run.api_or("async")
    if api == "sync":
        throughput_sync(warm_up, 1)
        before = footprint()
        start_all(run.scale, lambda: DBOS.start_workflow(sleeper, SLEEP_SECONDS))
    else:
        throughput_async(warm_up, 1)
        before = footprint()
        start_all_async(run.scale, lambda: DBOS.start_workflow_async(sleeper_async, SLEEP_SECONDS))
    until(lambda: run.engine.asleep() >= run.scale, "all workflows asleep", poll=0.2)
    time.sleep(1.0)
    after = footprint()
    return {
        "api": api,
        "bytes_per_workflow": (after["rss_bytes"] - before["rss_bytes"]) / run.scale,
        "rss_bytes_before": before["rss_bytes"],
        "rss_bytes_after": after["rss_bytes"],
        "threads_before": before["threads"],
        "threads_after": after["threads"],
    }


def footprint() -> dict[str, int]:
    """Resident bytes and threads of this process, its garbage collected."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {"rss_bytes": pages * os.sysconf("SC_PAGE_SIZE"), "threads": threading.active_count()}


# The command.


@dataclass(frozen=True)
class Workload:
    run: Callable[[Run], Result]
    scale: int
    """The scale it has unless told otherwise."""


WORKLOADS = {
    "w1": Workload(w1, 100),
    "w2": Workload(w2, 2_000),
    "w3": Workload(w3, 200),
    "w4": Workload(w4, 1_000),
    "w5-fill": Workload(w5_fill, 1_000),
    "w5-recover": Workload(w5_recover, 1_000),
    "w6": Workload(w6, 2_000),
}


def header(workload: str, run: Run) -> Result:
    """What every result says first: the workload, its scale, and what it was run on."""
    return {"workload": workload, "scale": run.scale, **run.engine.settings()}


def emit(result: Result) -> None:
    """The one line on stdout."""
    print(json.dumps(result), flush=True)


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="DBOS on SQLite, as shipped.")
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--db", type=Path, required=True, help="the database file")
    parser.add_argument("--scale", type=int, help="workflows or steps; see the module docstring")
    parser.add_argument("--api", choices=("auto", "async", "sync"), default="auto")
    parser.add_argument(
        "--started-at",
        type=float,
        default=STARTED,
        help="time.monotonic() of the parent just before it started this process",
    )
    return parser.parse_args()


def main() -> None:
    given = arguments()
    db = given.db.resolve()
    if db.exists() != (given.workload == "w5-recover"):
        raise SystemExit(
            f"{db}: w5-recover needs the database that w5-fill left; all others need a new one"
        )
    workload = WORKLOADS[given.workload]
    run = Run(
        engine=Engine(db),
        scale=given.scale or workload.scale,
        api=given.api,
        marker=db.with_name(db.name + ".go"),
        started_at=given.started_at,
    )
    result = workload.run(run)
    emit(header(given.workload, run) | result)
    os._exit(0)  # Sleeping workflows and DBOS's threads would hold up an ordinary exit.


if __name__ == "__main__":
    main()
