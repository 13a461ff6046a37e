"""Waiting for what other processes write: all that is waited for is looked for together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

from tenuto.model.errors import StoreError, StoreFormatError

logger = logging.getLogger("tenuto.engine")

#: Seconds between two looks: first, and at most.
SOON, SELDOM = 0.002, 0.05
#: Keys that are looked for with one statement.
CHUNK = 1000

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Lookout(Generic[K, V]):
    """Finds the values of keys as soon as `look` has them, by asking again and again; `poke` makes it ask at once."""

    def __init__(self, look: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._look = look
        self._waiting: dict[K, asyncio.Future[V]] = {}
        self._askers: Counter[K] = Counter()
        self._poked = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    async def find(self, key: K) -> V:
        """Wait, for as long as it takes, until there is a value for `key`."""
        found = self._waiting.get(key)
        if found is None or found.done():
            found = self._waiting[key] = asyncio.get_running_loop().create_future()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._run(), name="tenuto: lookout")
        self._poked.set()
        self._askers[key] += 1
        try:
            return await asyncio.shield(found)
        finally:
            self._askers[key] -= 1
            if not self._askers[key]:
                del self._askers[key]
                self._waiting.pop(key, None)

    def poke(self) -> None:
        """There may be values now."""
        self._poked.set()

    async def close(self) -> None:
        """Stop; whoever waits is cancelled."""
        for found in self._waiting.values():
            found.cancel()
        self._waiting.clear()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _run(self) -> None:
        try:
            await self._look_for_ever()
        except Exception as error:  # noqa: BLE001 - those who wait are told
            for found in self._waiting.values():
                if not found.done():
                    found.set_exception(error)
            self._waiting.clear()

    async def _look_for_ever(self) -> None:
        pause = SOON
        while self._waiting:
            if self._poked.is_set():
                pause = SOON
            self._poked.clear()
            await self._look_once()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._poked.wait()
            pause = min(pause * 1.5, SELDOM)

    async def _look_once(self) -> None:
        keys = iter(list(self._waiting))
        while chunk := list(islice(keys, CHUNK)):
            try:
                values = await self._look(chunk)
            except StoreFormatError:
                raise  # what is damaged stays so
            except StoreError as error:
                logger.warning("the store could not be read, which is tried again: %s", error)
                return
            for key, value in values.items():
                found = self._waiting.pop(key, None)
                if found is not None and not found.done():
                    found.set_result(value)
