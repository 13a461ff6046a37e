"""Tenuto under the suite's workloads; the counterpart of `peers/dbos_runs.py`.

    python -m bench.tenuto_runs WORKLOAD --store URL [--marker PATH] [--scale N]

Prints one line of JSON. Durations are seconds, sizes bytes. What the workloads are stands in the peer's file;
`mixed` is W2 with steps of 0 to 5 ms, `long` is one workflow of many steps whose beginning and end are compared,
`parked` is W3 beside many sleeping workflows.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

STARTED = time.monotonic()

from bench.workloads import ACTIVITIES, WORKFLOWS, Chain, FanOut, Gated, Mixed, Sleeper  # noqa: E402
from tenuto.client import Client  # noqa: E402
from tenuto.model.limits import Limits  # noqa: E402
from tenuto.worker import Worker  # noqa: E402

Result = dict[str, Any]
IN_FLIGHT = 200


class Setting:
    """One store with a client and a worker."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.url: str = options.store
        self.scale: int | None = options.scale
        self.started_at: float = options.started_at or STARTED
        self.marker: str = options.marker
        self.client: Client

    def worker(self) -> Worker:
        return Worker(self.client, workflows=WORKFLOWS, activities=ACTIVITIES)


async def many(setting: Setting, workflow: Any, argument: Any, count: int, prefix: str) -> float:
    """Run `count` workflows, at most IN_FLIGHT at a time; returns the seconds it took."""
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def one(number: int) -> None:
        async with slots:
            await setting.client.execute_workflow(workflow, argument, id=f"{prefix}-{number}")

    began = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(count)))
    return time.perf_counter() - began


async def w1(setting: Setting) -> Result:
    steps = setting.scale or 100
    times = []
    for repeat in range(12):
        began = time.perf_counter()
        await setting.client.execute_workflow(Chain.run, steps, id=f"w1-{repeat}")
        times.append((time.perf_counter() - began) / steps)
    return {"seconds_per_step": statistics.median(times[2:]), "repeats": len(times) - 2}


async def w2(setting: Setting) -> Result:
    return await _chains(setting, Chain.run)


async def mixed(setting: Setting) -> Result:
    return await _chains(setting, Mixed.run)


async def _chains(setting: Setting, workflow: Any) -> Result:
    count, steps = setting.scale or 2000, 5
    await many(setting, workflow, steps, 100, "warm-up")
    cpu = time.process_time()
    seconds = await many(setting, workflow, steps, count, "w2")
    cpu = time.process_time() - cpu
    return {
        "workflows_per_second": count / seconds,
        "steps_per_second": count * steps / seconds,
        "cpu_seconds_per_step": cpu / (count * steps),
        "seconds": seconds,
        "in_flight": IN_FLIGHT,
    }


async def w3(setting: Setting) -> Result:
    return await _one_at_a_time(setting, setting.scale or 1000, "w3")


async def _one_at_a_time(setting: Setting, count: int, prefix: str) -> Result:
    times = []
    for number in range(count):
        began = time.perf_counter()
        await setting.client.execute_workflow(Chain.run, 1, id=f"{prefix}-{number}")
        times.append(time.perf_counter() - began)
    times = sorted(times[min(50, count // 4) :])
    return {"p50_seconds": statistics.median(times), "p99_seconds": times[int(len(times) * 0.99)]}


async def w4(setting: Setting) -> Result:
    width = setting.scale or 1000
    times = []
    for repeat in range(5):
        began = time.perf_counter()
        await setting.client.execute_workflow(FanOut.run, width, id=f"w4-{repeat}")
        times.append(time.perf_counter() - began)
    return {"seconds": statistics.median(times), "repeats": len(times)}


async def w5_fill(setting: Setting) -> Result:
    count = setting.scale or 1000
    began = time.perf_counter()
    for number in range(count):
        await setting.client.start_workflow(Gated.run, setting.marker, id=f"w5-{number}")
    while True:
        waiting = (await setting.client.count_workflows()).count
        states = [await setting.client.get_workflow_handle(f"w5-{number}").describe() for number in range(0, count, 50)]
        if waiting == count and all(
            any(a.activity_type == "passed" and a.state == "started" for a in state.pending_activities)
            for state in states
        ):
            return {"in_progress": count, "seconds": time.perf_counter() - began}
        await asyncio.sleep(0.1)


async def w5_recover(setting: Setting) -> Result:
    count = setting.scale or 1000
    handles = [setting.client.get_workflow_handle(f"w5-{number}") for number in range(count)]
    while (await setting.client.count_workflows("ExecutionStatus = 'Running'")).count:  # noqa: ASYNC110 - other process
        await asyncio.sleep(0.01)
    seconds = time.monotonic() - setting.started_at
    results = [await handle.result() for handle in handles[::50]]
    assert all(results)
    return {"seconds": seconds, "completed": count}


async def w6(setting: Setting) -> Result:
    count = setting.scale or 10_000
    await many_started(setting, 200, "warm-up")
    before = resident_bytes()
    await many_started(setting, count, "w6")
    await asyncio.sleep(1)
    after = resident_bytes()
    return {
        "bytes_per_workflow": (after - before) / count,
        "rss_bytes_before": before,
        "rss_bytes_after": after,
    }


async def many_started(setting: Setting, count: int, prefix: str) -> None:
    for first in range(0, count, 200):
        numbers = range(first, min(first + 200, count))
        await asyncio.gather(
            *(setting.client.start_workflow(Sleeper.run, 3600, id=f"{prefix}-{number}") for number in numbers)
        )


def resident_bytes() -> int:
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


async def long(setting: Setting) -> Result:
    """CPU of a step in workflows of 100 steps, and in one of many."""
    steps = setting.scale or 10_000

    async def cpu_per_step(count: int, id: str) -> float:
        began = time.process_time()
        await setting.client.execute_workflow(Chain.run, count, id=id)
        return (time.process_time() - began) / count

    await cpu_per_step(100, "warm-up")
    few = statistics.median([await cpu_per_step(100, f"few-{n}") for n in range(15)])
    many = await cpu_per_step(steps, "many")
    return {"steps": steps, "cpu_per_step_of_100": few, "cpu_per_step_of_many": many, "ratio": many / few}


async def parked(setting: Setting) -> Result:
    count = setting.scale or 100_000
    alone = await _one_at_a_time(setting, 400, "alone")
    await many_started(setting, count, "parked")
    beside = await _one_at_a_time(setting, 400, "beside")
    return {"parked": count, "alone": alone, "beside": beside, "ratio": beside["p50_seconds"] / alone["p50_seconds"]}


WORKLOADS: dict[str, Callable[[Setting], Awaitable[Result]]] = {
    "w1": w1,
    "w2": w2,
    "mixed": mixed,
    "w3": w3,
    "w4": w4,
    "w5-fill": w5_fill,
    "w5-recover": w5_recover,
    "w6": w6,
    "long": long,
    "parked": parked,
}


async def run(options: argparse.Namespace) -> Result:
    setting = Setting(options)
    limits = Limits(history_events=10_000_000, history_size=2**40) if options.workload == "long" else Limits()
    setting.client = await Client.connect(setting.url, limits=limits)
    async with setting.worker():
        result = await WORKLOADS[options.workload](setting)
        print(json.dumps(result | {"workload": options.workload}), flush=True)
        if options.workload == "w5-fill":
            await asyncio.sleep(3600)  # until it is killed
    await setting.client.close()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", choices=sorted(WORKLOADS))
    parser.add_argument("--store", required=True)
    parser.add_argument("--marker", default="", help="the file that W5 waits for")
    parser.add_argument("--scale", type=int)
    parser.add_argument("--started-at", type=float)
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    options = parser.parse_args()
    if options.loop == "uvloop":
        import uvloop

        uvloop.run(run(options))
    else:
        asyncio.run(run(options))


if __name__ == "__main__":
    sys.exit(main())
