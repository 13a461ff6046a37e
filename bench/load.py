"""A process that has no code and owns nothing: it starts workflows and waits for their results.

    python -m bench.load --store URL --workflow Chain|Busy --steps N --scale N [--in-flight N]

Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from typing import Any

from bench.processes import Result
from bench.workloads import Busy, Chain
from tenuto.client import Client

WORKFLOWS: dict[str, Any] = {"Chain": Chain.run, "Busy": Busy.run}


async def run(options: argparse.Namespace) -> Result:
    client = await Client.connect(options.store)
    await _some(client, options, "warm-up", min(options.scale, 2 * options.in_flight))
    began, cpu = time.perf_counter(), time.process_time()
    times = sorted(await _some(client, options, "load", options.scale))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    await client.close()
    return {
        "workflows_per_second": options.scale / seconds,
        "seconds": seconds,
        "p50_seconds": statistics.median(times),
        "p99_seconds": times[int(len(times) * 0.99)],
        "client_cpu_seconds": cpu / options.scale,
    }


async def _some(client: Client, options: argparse.Namespace, prefix: str, count: int) -> list[float]:
    """The seconds that each of so many workflows took."""
    slots = asyncio.Semaphore(options.in_flight)
    prefix = f"{prefix}-{time.time_ns()}"

    async def one(number: int) -> float:
        async with slots:
            began = time.perf_counter()
            await client.execute_workflow(WORKFLOWS[options.workflow], options.steps, id=f"{prefix}-{number}")
            return time.perf_counter() - began

    return await asyncio.gather(*(one(number) for number in range(count)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", required=True)
    parser.add_argument("--workflow", choices=sorted(WORKFLOWS), default="Chain")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--scale", type=int, default=1000)
    parser.add_argument("--in-flight", type=int, default=200)
    print(json.dumps(asyncio.run(run(parser.parse_args()))), flush=True)


if __name__ == "__main__":
    main()
