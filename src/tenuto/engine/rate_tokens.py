"""Limits on how many may go out in a time, over all servers.

A server that is alone remembers when it let something out. Several write down in a document, before they let something
out, when they do: nobody does without a token from there, and what is not used at once is given back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from tenuto.engine.clock import SECOND, Cancellable
from tenuto.model.errors import ConflictError, StoreError
from tenuto.model.json_values import encode_json
from tenuto.store.protocol import Document

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

logger = logging.getLogger("tenuto.graph")

COLLECTION = "task_rates"
#: Seconds after which a token that was not used is given back.
UNUSED = 0.5
#: Seconds after which to ask again when all tokens are out: some may be given back.
AGAIN = 0.25


class Grants(Struct):
    """When tokens were given, in nanoseconds since the epoch."""

    times: list[int] = []


class Rate(Struct):
    """The limit of one definition, as far as we are concerned."""

    most: int = 0
    window: int = 0
    used: deque[int] = msgspec.field(default_factory=deque)
    """When we let something out."""
    tokens: deque[int] = msgspec.field(default_factory=deque)
    """Those that we have and have not used, by when they were given."""
    asking: bool = False
    alarm: Cancellable | None = None
    """Until when it is of no use to ask."""


class RateTokens:
    """`room_again` is called with the name of a definition whose limit allows more again."""

    def __init__(self, engine: Engine, is_shared: Callable[[], bool], room_again: Callable[[str], None]) -> None:
        self._engine = engine
        self._is_shared = is_shared
        self._room_again = room_again
        self._rates: dict[str, Rate] = {}

    def room(self, name: str, most: int, seconds: float) -> bool:
        """May something go out now? If not, `room_again` tells when."""
        rate = self._rates.setdefault(name, Rate())
        rate.most, rate.window = most, int(seconds * SECOND)
        now = self._engine.clock.now()
        while rate.used and rate.used[0] + rate.window <= now:
            rate.used.popleft()
        if self._is_shared():
            if not rate.tokens and not rate.asking and rate.alarm is None:
                rate.asking = True
                self._engine.spawn(self._ask(name, rate), "share a rate limit")
            return bool(rate.tokens)
        if len(rate.used) < most:
            return True
        if rate.alarm is None:
            at = rate.used[0] + rate.window
            rate.alarm = self._engine.clock.call_at(at, partial(self._next_window, name, rate))
        return False

    def tokens(self, name: str) -> int:
        """How many may go out without asking."""
        rate = self._rates.get(name)
        return 0 if rate is None else len(rate.tokens)

    def use(self, name: str) -> None:
        """Something goes out."""
        rate = self._rates[name]
        if rate.tokens:
            rate.tokens.popleft()
        rate.used.append(self._engine.clock.now())

    def _next_window(self, name: str, rate: Rate) -> None:
        rate.alarm = None
        self._room_again(name)

    # -- sharing -----------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Others are about to come: put on record what we let out lately."""
        for name, rate in list(self._rates.items()):
            if rate.used:
                used = list(rate.used)
                await self._change(name, rate, lambda times, used=used: times + used)  # type: ignore[misc]

    async def _ask(self, name: str, rate: Rate) -> None:
        """Get some tokens, or wait until there may be some."""
        loop, given = asyncio.get_running_loop(), list[int]()
        try:
            given, times = await self._take(name, rate)
            opens_in = (times[0] + rate.window - self._engine.clock.now()) / SECOND
        except StoreError as error:
            logger.warning("the rate limit of %s can't be shared, which is tried again: %s", name, error)
            opens_in = AGAIN
        finally:
            rate.asking = False
        if given:
            rate.tokens.extend(given)
            loop.call_later(UNUSED, self._give_back, name, rate, given[0])
            self._room_again(name)
        else:
            rate.alarm = loop.call_later(max(0.01, min(opens_in, AGAIN)), self._next_window, name, rate)

    async def _take(self, name: str, rate: Rate) -> tuple[list[int], list[int]]:
        """The tokens that we get, and all that count now."""
        given: list[int] = []

        def take(times: list[int]) -> list[int]:
            nonlocal given
            given = [self._engine.clock.now()] * max(0, min(max(1, rate.most // 4), rate.most - len(times)))
            return times + given

        times = await self._change(name, rate, take)
        return given, times

    def _give_back(self, name: str, rate: Rate, given: int) -> None:
        unused = rate.tokens.count(given)
        if unused and not self._engine.failed.done():
            rate.tokens = deque(token for token in rate.tokens if token != given)
            self._engine.spawn(self._return(name, rate, given, unused), "give back what a rate limit allowed")

    async def _return(self, name: str, rate: Rate, given: int, unused: int) -> None:
        def without(times: list[int]) -> list[int]:
            left = list(times)
            for _ in range(min(unused, left.count(given))):
                left.remove(given)
            return left

        try:
            await self._change(name, rate, without)
        except StoreError as error:
            logger.warning("what the rate limit of %s allowed can't be given back: %s", name, error)

    async def _change(self, name: str, rate: Rate, change: Callable[[list[int]], list[int]]) -> list[int]:
        """Change the record; returns what it says then."""
        store = self._engine.store
        while True:
            document = await store.document(COLLECTION, name)
            grants = Grants() if document is None else msgspec.json.decode(document.data, type=Grants)
            now = self._engine.clock.now()
            times = sorted(change([time for time in grants.times if time + rate.window > now]))
            if times == grants.times:
                return times
            data = Document(COLLECTION, name, encode_json(Grants(times)), updated=now)
            try:
                await store.put_document(data, expected=0 if document is None else document.revision)
            except ConflictError:
                await asyncio.sleep(0.002)
            else:
                return times
