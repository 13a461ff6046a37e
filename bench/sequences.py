"""What a node of a sequence costs: in memory, and beside the same steps as durable code.

In memory: chains of 100 nodes that add one, the best of many runs, beside plain calls and beside as many functions of
Hamilton; three branches of 100 ms. Durable: workflows of five such nodes, 100 in flight, beside five activities of
durable code, in turns on the same store; what counts is the ratio.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.peers.runner import run_hamilton
from bench.workloads import Chain, trivial
from tenuto.client import Client
from tenuto.sequence import Sequence, node, parallel
from tenuto.worker import Worker

NODES, STEPS, IN_FLIGHT = 100, 5, 100


def plain(x: int) -> int:
    return x + 1


add = node("add")(plain)


@node("add_later")
async def add_later(x: int) -> int:
    return x + 1


@node("wait")
def wait(x: int) -> int:
    time.sleep(0.1)
    return x


@node("wait_later")
async def wait_later(x: int) -> int:
    await asyncio.sleep(0.1)
    return x


def best(call: Callable[[], Any], rounds: int) -> float:
    """Seconds of the quickest call."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


def in_memory(workdir: Path, quick: bool) -> list[str]:
    """Rows: what, figure, what it has to be."""
    rounds = 20 if quick else 200
    sync, later = Sequence(*[add] * NODES), Sequence(*[add_later] * NODES)
    block = Sequence(add >> parallel(wait, wait.alias("other"), wait_later))

    def calls() -> None:
        x = 0
        for _ in range(NODES):
            x = plain(x)

    async def in_loop() -> float:
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            await later.async_execute(0)
            times.append(time.perf_counter() - began)
        return min(times)

    hamilton = run_hamilton(scale=NODES, rounds=rounds, workdir=workdir)["seconds"]
    each = 1e6 / NODES
    return [
        f"| plain calls, each | {best(calls, rounds) * each:.2f} us | |",
        f"| execute, a node of {NODES} | {best(lambda: sync.execute(0), rounds) * each:.2f} us | <= 15, aim 6 us |",
        f"| Hamilton 1.90, a function of {NODES} | {hamilton * each:.2f} us | |",
        f"| async_execute, an async node of {NODES} | {asyncio.run(in_loop()) * each:.2f} us | |",
        f"| 3 branches of 100 ms | {best(lambda: block.execute(0), 3) * 1e3:.1f} ms | < 130 ms |",
    ]


async def load(client: Client, workflow: Any, argument: int, count: int, prefix: str) -> float:
    """Seconds that `count` workflows took, IN_FLIGHT at a time."""
    places = asyncio.Semaphore(IN_FLIGHT)

    async def one(number: int) -> None:
        async with places:
            await client.execute_workflow(workflow, argument, id=f"{prefix}-{number}")

    began = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(count)))
    return time.perf_counter() - began


async def durable(url: str, quick: bool) -> list[str]:
    """Rows as `in_memory`. Both kinds take turns, so that a busy machine troubles both."""
    count, rounds = (100, 3) if quick else (500, 7)
    sequence = Sequence(*[add_later] * STEPS, name="chain")
    seconds: dict[str, list[float]] = {"sequence": [], "code": []}
    workflows: list[Any] = [sequence, Chain]
    async with await Client.connect(url) as client, Worker(client, workflows=workflows, activities=[trivial]):
        for number in range(rounds + 1):  # the first is to get warm
            of_sequence = await load(client, sequence, 0, count, f"s{number}")
            of_code = await load(client, Chain, STEPS, count, f"c{number}")
            if number:
                seconds["sequence"].append(of_sequence)
                seconds["code"].append(of_code)
    ratio = statistics.median(s / c for s, c in zip(seconds["sequence"], seconds["code"], strict=True))
    rates = {kind: count / statistics.median(taken) for kind, taken in seconds.items()}
    return [
        f"| durable code of {STEPS} activities | {rates['code']:.0f} 1/s | |",
        f"| durable sequence of {STEPS} nodes | {rates['sequence']:.0f} 1/s | |",
        f"| sequence to code, time | {ratio:.2f} x | <= 1.10 x |",
    ]


def lines(url: str, workdir: Path, quick: bool) -> list[str]:
    """The table."""
    rows = [*in_memory(workdir, quick), *asyncio.run(durable(url, quick))]
    return ["| Sequences | | must |", "|---|--:|---|", *rows]
