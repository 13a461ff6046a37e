"""Limits on how many may be out at a time, over all servers.

A server that is alone counts. Several share the permits of a limit: a document says how many each of them holds, and
who would like more. Nobody lets more out than it holds, so that the sum is right at every moment. What a server does
not use it gives back; where not all can have some, they take turns. What a server held that is gone is free after a
while: until then those who took over its executions have counted what is out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Set
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from tenuto.model.errors import ConflictError, StoreError
from tenuto.model.json_values import encode_json
from tenuto.store.protocol import Document, partition_of

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

logger = logging.getLogger("tenuto.graph")

#: Seconds for which a server may keep what all want and not all can have.
TURN = 1.0
#: Seconds after which whoever took over executions has counted what is out with them.
COUNTED = 5.0
#: Seconds after which a server that wants more looks again, at first and at most.
SOON, SELDOM = 0.02, 0.25


class Holdings(Struct):
    """Of one limit, by server: how many it may have out, and how many more it would like."""

    held: dict[str, int] = {}
    wanted: dict[str, int] = {}


class Share(Struct):
    """Of one limit, ours."""

    limit: int = 0
    out: dict[str, str] = {}
    """With the execution that each belongs to."""
    held: int = 0
    fair: int = 0
    """How many we may let out, so that others get their part."""
    since: float = 0.0
    """When we began to hold some, by the loop's clock."""
    unmet: bool = False
    """Something waits for room."""
    kept: int = 0
    """What is out with executions that have moved, until when their new owners have surely counted it."""
    kept_until: float = 0.0
    spare_until: float = 0.0
    """Until when we keep what we got and have not used yet."""
    pause: float = SOON
    alarm: asyncio.TimerHandle | None = None
    alarm_at: float = 0.0
    balancing: asyncio.Lock = msgspec.field(default_factory=asyncio.Lock)


class Permits:
    """The limits of one kind, by key. `room_again` is called with a key that was full and allows more."""

    def __init__(
        self,
        engine: Engine,
        collection: str,
        is_shared: Callable[[], bool],
        is_alive: Callable[[str], bool],
        room_again: Callable[[str], None],
    ) -> None:
        self._engine = engine
        self._collection = collection
        self._is_shared = is_shared
        self._is_alive = is_alive
        self._room_again = room_again
        self._shares: dict[str, Share] = {}

    # -- in and out --------------------------------------------------------------------------------------------------

    def enter(self, key: str, limit: int, name: str, workflow_id: str, *, again: bool = False) -> bool:
        """Let `name` out, if there is room; `again`: it is out already, whatever the limit says."""
        share = self._shares.setdefault(key, Share())
        share.limit = limit
        if not again and not self._has_room(key, share, 0):
            return False
        share.out[name] = workflow_id
        share.spare_until = 0.0
        if len(share.out) > share.held and self._is_shared():
            self._plan(key, share, 0.0)
        return True

    def room(self, key: str, limit: int, beside: int) -> bool:
        """Is there room for another one, beside so many that may go out at any moment?"""
        share = self._shares.setdefault(key, Share())
        share.limit = limit
        return self._has_room(key, share, beside)

    def _has_room(self, key: str, share: Share, beside: int) -> bool:
        allowed = min(share.limit, share.held, share.fair) if self._is_shared() else share.limit
        moved = share.kept if asyncio.get_running_loop().time() < share.kept_until else 0
        if len(share.out) + moved + beside < allowed:
            return True
        share.unmet = True
        if self._is_shared():
            self._plan(key, share, 0.0)
        return False

    def leave(self, key: str, name: str) -> None:
        """It is not out any more."""
        share = self._shares.get(key)
        if share is None or name not in share.out:
            return
        del share.out[name]
        if self._is_shared():
            self._plan(key, share, 0.0)
        elif not share.out and not share.unmet:
            del self._shares[key]
        if share.unmet:
            share.unmet = False
            self._room_again(key)

    def leave_partitions(self, partitions: Set[int]) -> None:
        """The executions of these partitions, and what is out with them, are no longer ours."""
        for key, share in self._shares.items():
            gone = [name for name, workflow_id in share.out.items() if partition_of(workflow_id) in partitions]
            for name in gone:
                del share.out[name]
            if gone:
                self._keep(key, share, len(gone))

    def clear(self) -> None:
        """The engine starts over: who is out is found out again."""
        for key, share in self._shares.items():
            gone = len(share.out)
            share.out.clear()
            share.unmet = False
            self._keep(key, share, gone)

    def _keep(self, key: str, share: Share, number: int) -> None:
        share.kept += number
        share.kept_until = asyncio.get_running_loop().time() + COUNTED
        if self._is_shared():
            self._plan(key, share, COUNTED)

    # -- sharing -----------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Others are about to come, or are there: put on record what we have out."""
        for key, share in list(self._shares.items()):
            if share.out or share.held or share.unmet:
                await self._balance(key, share)
            else:
                del self._shares[key]

    async def give_back(self) -> None:
        """Nothing is out any more, and nothing will be: others shall have it all. Raises StoreError."""
        for key, share in list(self._shares.items()):
            share.out.clear()
            share.unmet, share.kept, share.spare_until = False, 0, 0.0
            if share.held:
                await self._balance(key, share)
            if share.alarm is not None:
                share.alarm.cancel()
        self._shares.clear()

    def _plan(self, key: str, share: Share, delay: float) -> None:
        """Balance after `delay` seconds, or sooner if that is planned already."""
        if share.balancing.locked():
            return  # it looks at all there is when it is done
        loop = asyncio.get_running_loop()
        at = loop.time() + delay
        if share.alarm is not None:
            if share.alarm_at <= at:
                return
            share.alarm.cancel()
        share.alarm, share.alarm_at = loop.call_at(at, partial(self._begin, key, share)), at

    def _begin(self, key: str, share: Share) -> None:
        share.alarm = None
        if not self._engine.failed.done():
            self._engine.spawn(self._balance_safely(key, share), "share a limit")

    async def _balance_safely(self, key: str, share: Share) -> None:
        try:
            await self._balance(key, share)
        except StoreError as error:
            logger.warning("the limit of %s can't be shared, which is tried again: %s", key, error)
            self._plan(key, share, SELDOM)

    async def ask(self, key: str, limit: int) -> bool:
        """Get room for one, if others leave any. Raises StoreError."""
        share = self._shares.setdefault(key, Share())
        share.limit, share.unmet = limit, True
        await self._balance(key, share)
        return min(share.held, share.fair) > len(share.out) + share.kept

    async def _balance(self, key: str, share: Share) -> None:
        """Take what we need and may have, give back what we don't need."""
        async with share.balancing:
            before = share.held
            while self._is_shared() and not await self._try_to_balance(key, share):
                pass  # every failure is somebody else's success
        share.pause = SOON if share.held != before else min(2 * share.pause, SELDOM)
        if share.unmet and min(share.held, share.fair) > len(share.out) + share.kept:
            share.unmet = False
            self._room_again(key)
        if len(share.out) > share.held:
            self._plan(key, share, SOON)
        elif share.unmet:
            self._plan(key, share, share.pause)
        elif share.held > len(share.out):
            spare = max(share.spare_until, share.kept_until) - asyncio.get_running_loop().time()
            self._plan(key, share, max(spare, SOON))

    async def _try_to_balance(self, key: str, share: Share) -> bool:
        """False if somebody else has changed the document meanwhile."""
        store, owner, now = self._engine.store, self._engine.ownership.owner, asyncio.get_running_loop().time()
        document = await store.document(self._collection, key)
        holdings = Holdings() if document is None else msgspec.json.decode(document.data, type=Holdings)
        changed = Holdings(
            {name: number for name, number in holdings.held.items() if name == owner or self._is_alive(name)},
            {name: number for name, number in holdings.wanted.items() if name == owner or self._is_alive(name)},
        )
        held, fair = _part(share, changed, owner, now)
        wanted = max(0, _wish(share) - held)
        _set(changed.held, owner, held)
        _set(changed.wanted, owner, wanted)
        if changed != holdings:
            data = Document(self._collection, key, encode_json(changed), updated=self._engine.clock.now())
            try:
                await store.put_document(data, expected=0 if document is None else document.revision)
            except ConflictError:
                return False
        if held and not share.held:
            share.since = now
        if now >= share.kept_until:
            share.kept = 0
        if held > share.held:
            share.spare_until = now + TURN
        share.held, share.fair = held, fair
        return True


def _wish(share: Share) -> int:
    """How many we would like to have out."""
    more = max(1, share.limit // 4) if share.unmet else 0
    return min(share.limit, len(share.out) + more)


def _part(share: Share, holdings: Holdings, owner: str, now: float) -> tuple[int, int]:
    """How many permits we are to hold, and how many we may use."""
    free = share.limit - sum(number for name, number in holdings.held.items() if name != owner)
    wanting = [name for name in holdings.wanted if name != owner]
    fair = share.limit
    if wanting:
        sharers = {owner, *holdings.held, *wanting}
        # Where there is less than one for each, they take turns.
        fair = share.limit // len(sharers) or (1 if not share.held or now < share.since + TURN else 0)
    kept = share.kept if now < share.kept_until else 0
    spare = share.held if now < share.spare_until else 0
    return max(len(share.out) + kept, spare, min(_wish(share), free, fair)), fair


def _set(numbers: dict[str, int], name: str, number: int) -> None:
    if number:
        numbers[name] = number
    else:
        numbers.pop(name, None)
