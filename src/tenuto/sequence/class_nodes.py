"""Nodes that are classes: async ones, and ones that work on each item of a list."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from tenuto.sequence.nodes import Node
from tenuto.sequence.portal import run_coroutine

__all__ = ["AsyncBatchNode", "AsyncNode", "AsyncParallelBatchNode", "BatchNode"]

logger = logging.getLogger(__name__)


class AsyncNode(Node):
    """Define `async_execute`. It sees to its own retries, whatever the configuration says:

    max_retries: attempts in total; 0 and 1 mean one. retry_wait: seconds between them.
    Define `async_execute_fallback(error)` to return something when all have failed."""

    retries_itself = True

    def __new__(cls, *args: Any, **kwargs: Any) -> AsyncNode:
        made = super().__new__(cls)
        assert isinstance(made, AsyncNode)
        made._become(made.async_execute, made._persist)
        return made

    def __init__(self, label: str | None = None, max_retries: int = 0, retry_wait: float = 0.5) -> None:
        super().__init__(label, max_retries)
        self.retry_wait = retry_wait

    async def async_execute(self, value: Any) -> Any:
        """What the node does."""
        raise NotImplementedError(f"{type(self).__name__} has to define async_execute()")

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """For unit tests: `async_execute`, run to its end on a loop of its own."""
        return run_coroutine(self.async_execute(*args, **kwargs))

    async def _persist(self, *args: Any, **kwargs: Any) -> Any:
        attempts = max(1, self.max_retries or 0)
        for attempt in range(1, attempts + 1):
            try:
                return await self.async_execute(*args, **kwargs)
            except Exception as error:
                if attempt < attempts:
                    await asyncio.sleep(getattr(self, "retry_wait", 0.5))
                    continue
                fallback = getattr(self, "async_execute_fallback", None)
                if fallback is None:
                    raise
                return await fallback(error)
        return None


class BatchNode(Node):
    """Define `_execute_item(item)`; the node maps it over the list it is given. An item that fails becomes None in the
    result. A value that is no list or tuple gives an empty list, and a warning in the log."""

    def _execute_item(self, item: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has to define _execute_item()")

    def execute(self, items: Any) -> list[Any]:
        """The results of all items, in their order."""
        results: list[Any] = []
        for item in _listed(self.name, items):
            try:
                results.append(self._execute_item(item))
            except Exception:
                logger.warning("node %r: item %d failed", self.name, len(results), exc_info=True)
                results.append(None)
        return results


class AsyncBatchNode(AsyncNode):
    """`BatchNode` with `async_execute_item(item)`: one item after the other."""

    async def async_execute_item(self, item: Any) -> Any:
        """What is done with an item."""
        raise NotImplementedError(f"{type(self).__name__} has to define async_execute_item()")

    async def async_execute(self, items: Any) -> list[Any]:
        """The results of all items, in their order."""
        return [await self._one(index, item) for index, item in enumerate(_listed(self.name, items))]

    async def _one(self, index: int, item: Any) -> Any:
        try:
            return await self.async_execute_item(item)
        except Exception:
            logger.warning("node %r: item %d failed", self.name, index, exc_info=True)
            return None


class AsyncParallelBatchNode(AsyncBatchNode):
    """`AsyncBatchNode` that works on all items at the same time, or on `max_concurrent` of them."""

    #: None: all.
    max_concurrent: int | None = None

    async def async_execute(self, items: Any) -> list[Any]:
        """The results of all items, in their order."""
        listed = _listed(self.name, items)
        places = asyncio.Semaphore(self.max_concurrent or max(1, len(listed)))

        async def one(index: int, item: Any) -> Any:
            async with places:
                return await self._one(index, item)

        return list(await asyncio.gather(*(one(index, item) for index, item in enumerate(listed))))


def _listed(name: str, items: Any) -> list[Any]:
    if isinstance(items, list | tuple):
        return list(items)
    logger.warning("node %r works on the items of a list, but was given a %s", name, type(items).__name__)
    return []
