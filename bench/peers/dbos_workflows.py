"""What the workloads run: workflows of trivial steps, once for each of DBOS's two APIs."""

import asyncio
import contextvars
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dbos_engine import DBOS

POLL_SECONDS = 0.5
"""How often a waiting step of W5 looks for the marker file."""


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

    def run(step: Any, value: int) -> int:
        return int(step.run(None, trivial_step, value))

    with ThreadPoolExecutor(threads) as pool:
        steps = []
        for value in range(width):
            context = contextvars.copy_context()
            steps.append(pool.submit(context.run, run, DBOS.reserve_step(), value))
        return sum(step.result() for step in steps)


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
    while not os.path.exists(path):  # noqa: ASYNC110 (a file has no event to await)
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
