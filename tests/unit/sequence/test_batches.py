"""Nodes that work on each item of a list."""

import asyncio
from typing import Any

from tenuto.sequence import AsyncBatchNode, AsyncParallelBatchNode, BatchNode, Sequence


class Halve(BatchNode):
    def _execute_item(self, item: int) -> float:
        return 10 / item


class LaterHalve(AsyncBatchNode):
    async def async_execute_item(self, item: int) -> float:
        await asyncio.sleep(0)
        return 10 / item


class Together(AsyncParallelBatchNode):
    running = most = 0

    async def async_execute_item(self, item: int) -> float:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.001)
        self.running -= 1
        return 10 / item


def test_maps_over_the_list_and_puts_none_for_what_fails(caplog: Any) -> None:
    assert Sequence(Halve()).execute([1, 0, 5]) == [10, None, 2]
    assert "item 1 failed" in caplog.text


def test_what_is_no_list_gives_an_empty_one(caplog: Any) -> None:
    assert Sequence(Halve("halve")).execute({"a": 1}) == []
    assert "'halve' works on the items of a list, but was given a dict" in caplog.text


def test_async() -> None:
    assert Sequence(LaterHalve()).execute((1, 0, 5)) == [10, None, 2]


def test_all_items_at_once() -> None:
    batch = Together()
    assert Sequence(batch).execute([1, 0, 5]) == [10, None, 2]
    assert batch.most == 3
    batch.max_concurrent, batch.most = 2, 0
    assert Sequence(batch).execute([1, 2, 5, 10]) == [10, 5, 2, 1]
    assert batch.most == 2
