"""What the benchmark runs on Tenuto: trivial code, so that what is measured is the engine."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from pathlib import Path

from tenuto import activity, workflow


@activity.defn
async def trivial(number: int) -> int:
    return number + 1


@activity.defn
async def short(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


#: Rounds of `busy`: some milliseconds of CPU on a machine of 2025.
ROUNDS = 60_000


@activity.defn
async def busy(number: int) -> int:
    """A fixed amount of Python."""
    for _ in range(ROUNDS):
        number = (number * 1_103_515_245 + 12_345) & 0x7FFF_FFFF
    return number


@activity.defn
async def passed(marker: str) -> bool:
    """Wait until the file is there."""
    while not Path(marker).exists():  # noqa: ASYNC110 - it is another process that makes it
        await asyncio.sleep(0.05)
    return True


@workflow.defn
class Chain:
    """Trivial activities, one after the other."""

    @workflow.run
    async def run(self, steps: int) -> int:
        total = 0
        for _ in range(steps):
            total = await workflow.execute_activity(trivial, total)
        return total


@workflow.defn
class Mixed:
    """Activities of 0 to 5 ms, one after the other."""

    @workflow.run
    async def run(self, steps: int) -> None:
        chance = random.Random(workflow.info().workflow_id)
        for _ in range(steps):
            await workflow.execute_activity(short, chance.random() * 0.005)


@workflow.defn
class FanOut:
    """Trivial activities, all at once."""

    @workflow.run
    async def run(self, width: int) -> int:
        return len(await asyncio.gather(*(workflow.execute_activity(trivial, n) for n in range(width))))


@workflow.defn
class Busy:
    """Activities that compute, one after the other."""

    @workflow.run
    async def run(self, steps: int) -> int:
        total = 0
        for _ in range(steps):
            total = await workflow.execute_activity(busy, total)
        return total


#: The task queue of activities whose code the engine doesn't have.
JOBS = "jobs"


@workflow.defn
class Jobs:
    """Trivial activities on workers elsewhere, all at once."""

    @workflow.run
    async def run(self, width: int) -> int:
        jobs = (workflow.execute_activity(trivial, number, task_queue=JOBS) for number in range(width))
        return len(await asyncio.gather(*jobs))


@workflow.defn
class RemoteChain:
    """Trivial activities on workers elsewhere, one after the other."""

    @workflow.run
    async def run(self, steps: int) -> int:
        total = 0
        for _ in range(steps):
            total = await workflow.execute_activity(trivial, total, task_queue=JOBS)
        return total


@workflow.defn
class Gated:
    """One trivial activity, then one that waits for a file."""

    @workflow.run
    async def run(self, marker: str) -> bool:
        await workflow.execute_activity(trivial, 1)
        return await workflow.execute_activity(passed, marker)


@workflow.defn
class Sleeper:
    @workflow.run
    async def run(self, seconds: float) -> None:
        await workflow.sleep(timedelta(seconds=seconds))


WORKFLOWS = [Chain, Mixed, FanOut, Busy, Jobs, RemoteChain, Gated, Sleeper]
ACTIVITIES = [trivial, short, busy, passed]
