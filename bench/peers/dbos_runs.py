"""DBOS on SQLite or PostgreSQL, as shipped, under the suite's six workloads.

    python dbos_runs.py WORKLOAD --database URL --marker PATH [--scale N] [--api auto|async|sync]

Run by the python of the peer's own environment (`environment.py`). Prints exactly one line of JSON
on stdout; whatever else there is to say goes to stderr. Every duration is in seconds, every size
in bytes. The database must be a new one (except for `w5-recover`) and on a real disk: the cost of
durability is part of what is measured.

| workload     | what is run                                                  | scale, default   |
|--------------|--------------------------------------------------------------|------------------|
| `w1`         | one workflow of sequential trivial steps, several times over | steps, 100       |
| `w2`         | workflows of 5 trivial steps, at most 200 of them in flight  | workflows, 2,000 |
| `w3`         | start and await a 1-step workflow, one at a time             | workflows, 200   |
| `w4`         | one workflow of parallel trivial steps                       | steps, 1,000     |
| `w5-fill`    | bring workflows in progress, say so, wait to be killed       | workflows, 1,000 |
| `w5-recover` | a new process, same database: until all are complete         | as in `w5-fill`  |
| `w6`         | memory of sleeping workflows                                 | workflows, 2,000 |

W5 in detail. Each workflow runs one trivial step, then a step that polls for a *marker file*
(PATH). The marker does not exist during `w5-fill`, so each workflow stops with exactly one
step recorded and one begun. Once all are there, `w5-fill` prints its line and goes on waiting; the
harness reads the line, kills the process with SIGKILL, creates the marker and starts `w5-recover`,
where each workflow's second step finds the marker at its first look. What is timed is therefore
recovery alone: start-up, finding the workflows, one step and one completion for each.
`--started-at` is the harness's `time.monotonic()` just before it started the new process.

Fairness. DBOS's configuration is its default but for the log level: how durable it is is read
back, through its own connections, and reported. W1 to W4 run each way
of using DBOS that might be the best (its async API and its sync one, in W2 with several numbers of
workflows in flight, in W3 by call and by handle), report the best as `api` and all of them under
`candidates`. W5 and W6 use the API found to be the better: W5 sync (an eighth to a quarter
faster), W6 async (a fifth of the memory: a sync sleeper is a thread). `--api` narrows all of this
to one API.

What is reported, always: `workload`, `scale`, `peer`, `peer_version`, `python`, `database`,
`durability`, `api`; W1: `seconds_per_step`; W2: `workflows_per_second`,
`steps_per_second`, `cpu_seconds_per_step`, `seconds`, `in_flight`; W3: `p50_seconds`,
`p99_seconds`; W4: `seconds`; `w5-fill`: `in_progress`, `steps_recorded`, `seconds`; `w5-recover`:
`seconds`, `completed`, `steps_repeated`; W6: `bytes_per_workflow`, and resident bytes and threads
before and after.
"""

import argparse
import asyncio
import gc
import json
import logging
import os
import statistics
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from dbos_engine import DBOS, Engine, Result
from dbos_workflows import (
    chain,
    chain_async,
    fan_out,
    fan_out_async,
    gated,
    gated_async,
    passed,
    sleeper,
    sleeper_async,
    trivial_runs,
    waiting,
)

STARTED = time.monotonic()
"""When this process started, as far as it can know by itself; `--started-at` knows better."""

STEPS_PER_WORKFLOW = 5
"""Steps of each workflow in W2."""

TRIAL_WORKFLOWS = 400
"""Workflows each W2 candidate runs to find the best, before the best one runs them all."""

W4_THREADS = 8
"""Threads that the sync API runs the parallel steps of W4 on."""

SLEEP_SECONDS = 3600.0
"""How long a workflow of W6 sleeps: longer than any run."""

GIVE_UP_SECONDS = 900.0
"""How long W5 and W6 wait for their workflows to arrive before they fail."""

Way = tuple[str, Callable[[], list[float]]]
"""A way to run a workload: the API, and what yields the seconds of each of its repeats."""


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
        """Whether the API that `api` begins with is to be tried."""
        return self.api in ("auto", api.split()[0])

    def allowed(self, ways: list[Way]) -> list[Way]:
        """Those of the ways that are to be tried."""
        return [way for way in ways if self.allows(way[0])]


def best(candidates: list[Result], key: str, *, highest: bool = False) -> Result:
    """The candidate with the lowest (or highest) figure, and all of them listed under it."""
    chosen = (max if highest else min)(candidates, key=lambda candidate: float(candidate[key]))
    return {**chosen, "candidates": candidates}


# Timing.


def times_sync(calls: int, call: Callable[[], object]) -> list[float]:
    """Seconds that each of so many calls took, one at a time."""
    times = []
    for _ in range(calls):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return times


def times_async(calls: int, call: Callable[[], Awaitable[object]]) -> list[float]:
    """Seconds that each of so many awaited calls took, one at a time, on one event loop."""

    async def main() -> list[float]:
        times = []
        for _ in range(calls):
            begin = time.perf_counter()
            await call()
            times.append(time.perf_counter() - begin)
        return times

    return asyncio.run(main())


# W1


def w1(run: Run, repeats: int = 7) -> Result:
    """Seconds per step: a whole workflow from call to result, divided by its steps."""
    calls = repeats + 1  # the first one warms up
    ways: list[Way] = [
        ("sync", lambda: times_sync(calls, lambda: chain(run.scale))),
        ("async", lambda: times_async(calls, lambda: chain_async(run.scale))),
    ]
    tried = []
    for api, way in run.allowed(ways):
        median = statistics.median(way()[1:])
        tried.append({"api": api, "seconds_per_step": median / run.scale})
    return {**best(tried, "seconds_per_step"), "repeats": repeats}


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
    candidates = [(api, number) for api, number in W2_CANDIDATES if run.allows(api)]
    tried = [throughput(api, trial, in_flight) for api, in_flight in candidates]
    chosen = best(tried, "workflows_per_second", highest=True)
    if trial < run.scale:
        chosen |= throughput(chosen["api"], run.scale, chosen["in_flight"])
    return {**chosen, "steps_per_workflow": STEPS_PER_WORKFLOW, "trial_workflows": trial}


# W3


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
    ways: list[Way] = [
        ("sync call", lambda: times_sync(calls, lambda: chain(1))),
        ("sync start", lambda: times_sync(calls, start_and_wait)),
        ("async call", lambda: times_async(calls, lambda: chain_async(1))),
        ("async start", lambda: times_async(calls, start_and_wait_async)),
    ]
    tried = [percentiles(api, way()[warm_up:]) for api, way in run.allowed(ways)]
    return best(tried, "p50_seconds")


# W4


def w4(run: Run, repeats: int = 3) -> Result:
    """Seconds of one workflow that runs all its steps in parallel, from call to result."""
    ways: list[Way] = [
        ("async", lambda: times_async(repeats, lambda: fan_out_async(run.scale))),
        ("sync", lambda: times_sync(repeats, lambda: fan_out(run.scale, W4_THREADS))),
    ]
    tried = [{"api": api, "seconds": statistics.median(way())} for api, way in run.allowed(ways)]
    return {**best(tried, "seconds"), "repeats": repeats, "sync_threads": W4_THREADS}


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


def w6(run: Run, first: int = 200) -> Result:
    """Resident memory of each further sleeping workflow, once the `first` ones are asleep.

    These pay for what is needed once (threads, caches, an event loop), and as they stay asleep
    they leave no freed memory behind for the others to settle in.
    """
    api = run.api_or("async")
    before = asleep_footprint(run.engine, api, first, in_all=first)
    after = asleep_footprint(run.engine, api, run.scale, in_all=first + run.scale)
    return {
        "api": api,
        "bytes_per_workflow": (after["rss_bytes"] - before["rss_bytes"]) / run.scale,
        "rss_bytes_before": before["rss_bytes"],
        "rss_bytes_after": after["rss_bytes"],
        "threads_before": before["threads"],
        "threads_after": after["threads"],
    }


def asleep_footprint(engine: Engine, api: str, more: int, *, in_all: int) -> dict[str, int]:
    """The footprint with so many more workflows started, once there are `in_all` asleep."""
    if api == "sync":
        start_all(more, lambda: DBOS.start_workflow(sleeper, SLEEP_SECONDS))
    else:
        start_all_async(more, lambda: DBOS.start_workflow_async(sleeper_async, SLEEP_SECONDS))
    until(lambda: engine.asleep() >= in_all, "all workflows asleep", poll=0.2)
    time.sleep(1.0)  # a sleep is recorded a little before the workflow is at rest
    return footprint()


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
    parser = argparse.ArgumentParser(description="DBOS as shipped.")
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--database", required=True, help="its URL")
    parser.add_argument("--marker", type=Path, required=True, help="the file that W5 waits for")
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
    workload = WORKLOADS[given.workload]
    run = Run(
        engine=Engine(given.database),
        scale=given.scale or workload.scale,
        api=given.api,
        marker=given.marker.resolve(),
        started_at=given.started_at,
    )
    try:
        emit(header(given.workload, run) | workload.run(run))
    except Exception:
        logging.getLogger(__name__).exception("%s failed", given.workload)
        os._exit(1)
    os._exit(0)  # workflows that sleep or wait, and DBOS's threads, would hold up any other exit


if __name__ == "__main__":
    main()
