"""Which partitions are ours: how an engine joins, stays, gives some away gently, and notices that some were taken."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection
from typing import TYPE_CHECKING

from tenuto.engine.clock import SECOND
from tenuto.model.errors import LeaseLostError, StoreError, StoreOwnedError
from tenuto.store.protocol import Rank, partition_of

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

logger = logging.getLogger("tenuto.engine")

#: Seconds for which a lease holds unless it is renewed. A longer one bears longer pauses of a process or its network; a
#: shorter one lets others take over sooner from a process that hangs.
LEASE = 6.0
#: How often it is renewed within that time.
RENEWALS = 6
#: Seconds after joining in which it is renewed more often, and how often: whoever died just now is found out in these.
EARLY, HURRY = 3.0, 0.2
#: Partitions that move at a time, and seconds that these may take to come to rest.
GENTLE = 32
REST = 5.0


class Ownership:
    """The partitions of one engine. `epochs` has those that it owns; those that leave take nothing in any more."""

    def __init__(self, engine: Engine, owner: str, rank: Rank, lease: float) -> None:
        self.epochs: dict[int, int] = {}
        self.rank = rank
        self.owner = owner
        self.peers = 0
        """Other members that are alive."""
        self.lost = 0
        """Partitions that others have taken because they heard nothing of us."""
        self._engine = engine
        self._lease = lease
        self._leaving: set[int] = set()
        self._poked = asyncio.Event()
        #: Held while what we own and what the store says of it change together.
        self._changing = asyncio.Lock()
        self._joined = False
        #: Those who want to know who is there.
        self._asking: list[asyncio.Future[None]] = []

    def owns(self, workflow_id: str) -> bool:
        """Does what happens to this execution happen here?"""
        partition = partition_of(workflow_id)
        return partition in self.epochs and partition not in self._leaving

    @property
    def partitions(self) -> list[int]:
        """Those whose executions live here."""
        return [partition for partition in self.epochs if partition not in self._leaving]

    def promote(self, rank: Rank) -> None:
        """The engine can do more from now on."""
        if rank > self.rank:
            self.rank = rank
            self.poke()

    def poke(self) -> None:
        """Renew now: others have come or gone."""
        self._poked.set()

    async def alone(self) -> bool:
        """Is no other member alive now? False if that can't be found out soon."""
        if not self.peers:
            asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._asking.append(asked)
            self.poke()
            await asyncio.wait([asked], timeout=1.0)
            if not asked.done():
                return False
        return not self.peers

    async def join(self) -> None:
        """Take what is free. Raises StoreOwnedError where the store has one owner, and that is another."""
        await self._renew()

    async def keep(self) -> None:
        """Stay a member for ever."""
        loop = asyncio.get_running_loop()
        early = loop.time() + EARLY
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HURRY if loop.time() < early else self._lease / RENEWALS):
                    await self._poked.wait()
            self._poked.clear()
            asking, self._asking = self._asking, []
            try:
                surplus = await self._renew()
                for asked in asking:
                    asked.set_result(None)
                if surplus and not self._leaving:
                    self._leaving.update(self._choose(surplus))
                    self._engine.spawn(self._give(), "partitions that leave")
            except (LeaseLostError, StoreOwnedError):
                raise
            except StoreError as error:
                # The fence keeps what is written meanwhile safe, so there is time to try again.
                logger.warning("the lease could not be renewed, which is tried again: %s", error)

    async def rejoin(self) -> None:
        """After a loss: see what is still ours, and take what is free, however long the store needs for an answer."""
        self.epochs.clear()
        self._leaving.clear()
        while True:
            try:
                await self._renew(fresh=True)
            except (LeaseLostError, StoreOwnedError):
                raise
            except StoreError as error:
                logger.warning("the engine could not join again, which is tried again: %s", error)
                await asyncio.sleep(0.2)
            else:
                return

    async def _renew(self, *, fresh: bool = False) -> int:
        """Returns how many partitions belong to others."""
        async with self._changing:
            return await self._renew_now(fresh=fresh)

    async def _renew_now(self, *, fresh: bool) -> int:
        # Not the engine's clock, which a test may move: how long a process may be silent is a matter of real time.
        now = int(asyncio.get_running_loop().time() * SECOND)
        until = now + int(self._lease * SECOND)
        lease = await self._engine.store.lease(self.owner, now, until, self.rank)
        self.peers = lease.peers
        before, held = dict(self.epochs), lease.epochs
        lost = [partition for partition, epoch in before.items() if held.get(partition) != epoch]
        gained = [partition for partition in held if partition not in before]
        if lost and self._joined and not fresh:
            # Epochs are left as they are: what has been decided under them must not be written.
            self.lost += len(lost)
            self._engine.lose(len(lost))
            return 0
        self.epochs.clear()
        self.epochs.update(held)
        self._joined = True
        if gained and not fresh:
            self._engine.gained(gained)
        return lease.surplus

    def _choose(self, surplus: int) -> list[int]:
        """Partitions that are to go next: a few, or all of them to members that can do more than we can."""
        ours = self.partitions
        return ours if surplus >= len(ours) else ours[-min(surplus, GENTLE) :]

    async def _give(self) -> None:
        """Let those that leave go, without haste: nothing is cut off that is under way."""
        chosen = sorted(self._leaving)
        try:
            rested = await self._engine.put_to_rest(chosen, REST)
            async with self._changing:
                rested = [partition for partition in rested if self.epochs.pop(partition, None) is not None]
                if rested:
                    await self._engine.store.release(self.owner, rested)
                    logger.info("%d partitions go to other members", len(rested), extra={"action": "partitions_given"})
        except StoreError as error:
            # What was not given back shows as gained with the next renewal.
            logger.warning("partitions could not be given to others, which is tried again: %s", error)
        finally:
            self._leaving.difference_update(chosen)
            self._stay(chosen)

    def _stay(self, chosen: Collection[int]) -> None:
        """Those that did not come to rest are ours as before."""
        kept = [partition for partition in chosen if partition in self.epochs]
        if kept:
            self._engine.gained(kept)
