"""What a node of a sequence costs: in memory, and beside the same steps as durable code.

In memory: chains of 100 nodes that add one, the best of many runs, beside plain calls and beside as many functions of
Hamilton; three branches of 100 ms. Durable: beside the same number of activities of durable code, in turns on the same
store: workflows of five such nodes, 100 in flight, which the CPU bounds, and one workflow of 100 nodes alone, which the
disk bounds. What counts is the ratio.
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
    short, long = (Sequence(*[add_later] * nodes, name=f"chain of {nodes}") for nodes in (STEPS, NODES))
    workflows: list[Any] = [short, long, Chain]
    async with await Client.connect(url) as client, Worker(client, workflows=workflows, activities=[trivial]):
        code, sequence, ratio = await in_turns(client, (Chain, STEPS), (short, 0), count, rounds)
        code_alone, sequence_alone, ratio_alone = await in_turns(client, (Chain, NODES), (long, 0), 1, 3 * rounds)
    each = 1e3 / NODES
    return [
        f"| durable code of {STEPS} activities, {IN_FLIGHT} in flight | {count / code:.0f} 1/s | |",
        f"| durable sequence of {STEPS} nodes, {IN_FLIGHT} in flight | {count / sequence:.0f} 1/s | |",
        f"| sequence to code, time | {ratio:.2f} x | <= 1.10 x |",
        f"| durable code alone, an activity of {NODES} | {code_alone * each:.3f} ms | |",
        f"| durable sequence alone, a node of {NODES} | {sequence_alone * each:.3f} ms | |",
        f"| sequence to code, time | {ratio_alone:.2f} x | <= 1.10 x |",
    ]


async def in_turns(
    client: Client, code: tuple[Any, int], sequence: tuple[Any, int], count: int, rounds: int
) -> tuple[float, float, float]:
    """The medians of the seconds that `count` workflows of code took, and as many sequences, and of their ratio."""
    seconds: list[tuple[float, float]] = []
    for number in range(rounds + 1):
        of_sequence = await load(client, *sequence, count, f"s{count}-{number}")
        of_code = await load(client, *code, count, f"c{count}-{number}")
        seconds.append((of_code, of_sequence))
    warm = seconds[1:]
    of_codes, of_sequences = zip(*warm, strict=True)
    ratio = statistics.median(of_sequence / of_code for of_code, of_sequence in warm)
    return statistics.median(of_codes), statistics.median(of_sequences), ratio


def lines(url: str, workdir: Path, quick: bool) -> list[str]:
    """The table."""
    rows = [*in_memory(workdir, quick), *asyncio.run(durable(url, quick))]
    return ["| Sequences | | must |", "|---|--:|---|", *rows]
