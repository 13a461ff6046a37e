"""Durable sequences on PostgreSQL, where the parts of a run may be in several processes."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from tenuto.client import Client
from tenuto.sequence import Sequence, SharedState, node, parallel
from tenuto.worker import Worker
from tests.support.postgres import postgres_url


def counting() -> Sequence:
    @node("count", max_retries=3)
    def count(x: int, state: SharedState) -> int:
        state["count"] = state.get("count", 0) + 1
        return x + 1

    @node
    async def later(x: int) -> int:
        await asyncio.sleep(0.001)
        return x * 10

    @node("end")
    def end(results: dict[str, int], state: SharedState) -> Any:
        return results["later"], results["count_2"], state["count"]

    return Sequence(count >> count >> parallel(later, count >> count, count) >> end, name="counting")


async def test_two_clients_share_the_work() -> None:
    workflows: list[list[Any]] = [[counting()], [counting()]]
    with postgres_url() as url:
        async with (
            await Client.connect(url) as first,
            await Client.connect(url) as second,
            Worker(first, workflows=workflows[0], max_cached_workflows=2),
            Worker(second, workflows=workflows[1], max_cached_workflows=2),
        ):
            # Their partitions are shared out meanwhile; few of them are in memory.
            results = await asyncio.gather(
                *(first.execute_workflow("counting", n, id=f"counting-{n}") for n in range(20))
            )
    # Branches that run in different processes may count at the same time, and a node may run twice while its run moves.
    assert [result[:2] for result in results] == [[(n + 2) * 10, n + 3] for n in range(20)]
    assert all(result[2] >= 3 for result in results)


def test_in_one_line() -> None:
    sequence = counting()
    with postgres_url() as url:
        assert sequence.execute(1, durable=url, id=f"one-line-{os.getpid()}") == [30, 4, 5]
