"""What is done to processes, connections and the database, by chance but by a seed, and how soon it was got over."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.database import Database
from tests.chaos.processes import Member
from tests.chaos.witness import Witness, Write, first_write

#: Seconds of the default lease, and those that a frozen process sleeps beyond it.
LEASE = 6.0
OVERSLEPT = (1.5, 4.0)
#: Seconds after which the partitions of somebody who has gone must be with others, on a machine that has nothing else
#: to do.
MOVE_LIMIT = 10.0
#: Seconds until I give up to wait for that.
PATIENCE = 60.0
#: What a process says that finds its partitions taken, and seconds until it must have said so.
LOSS = "may not write"
SAY_LIMIT = 20.0
#: Affected partitions that are asked for something at each fault.
PROBES = 4
EVERYTHING = frozenset(range(256))


@dataclass
class Fault:
    """One thing that was done, when, and what came of it."""

    kind: str
    at: float
    victim: str = ""
    """The process, by its application name, if it was one."""
    member: str = ""
    """The name under which it took part."""
    affected: frozenset[int] = EVERYTHING
    """Partitions in which it was felt."""
    over: float = 0.0
    """When the cause had gone: the process or database was started or woken again."""
    answered: float | None = None
    """Seconds until a request to each of some affected partitions was answered."""
    moved: float | None = None
    """Seconds until others had the partitions of the victim."""
    reclaimed: float | None = None
    """Seconds until no task was claimed by the victim any more."""
    ordeal: bool = False
    """Does what the victim itself writes meanwhile not count?"""
    faults: list[str] = field(default_factory=list)
    """What was not as promised."""

    def recovery(self, writes: Sequence[Write]) -> float | None:
        """Seconds until something was written in the affected partitions again."""

        def counts(write: Write) -> bool:
            return not self.affected.isdisjoint(write.partitions) and not (
                self.ordeal and write.application == self.victim
            )

        return first_write(list(writes), self.at, counts)


class Driver:
    """Does what its methods are called. They return when the cause has gone; `over` waits for the effects."""

    def __init__(
        self,
        database: Database,
        witness: Witness,
        engines: Sequence[Member],
        workers: Sequence[Member],
        probe: Callable[[int], Awaitable[None]],
        chosen: random.Random,
    ) -> None:
        self.done: list[Fault] = []
        self._database = database
        self._witness = witness
        self._probe = probe
        self._beside: set[asyncio.Task[None]] = set()
        self._chosen = chosen
        self._busy: set[str] = set()
        self.methods: dict[str, Callable[[], Awaitable[None]]] = {
            "kill engine": lambda: self._kill(engines),
            "kill worker": lambda: self._kill(workers),
            "freeze engine": lambda: self._freeze(engines),
            "freeze worker": lambda: self._freeze(workers),
            "pause engine": lambda: self._pause(engines),
            "stop engine": lambda: self._restart(engines),
            "stop worker": lambda: self._restart(workers),
            "cut connections": self._cut,
            "crash database": self._crash_database,
            "kill backend": self._kill_backend,
        }

    async def _pick(self, members: Sequence[Member]) -> Member:
        """One that is at work."""
        while not (free := [each for each in members if each.name not in self._busy]):  # noqa: ASYNC110 - processes
            await asyncio.sleep(0.1)
        member = self._chosen.choice(free)
        self._busy.add(member.name)
        return member

    async def _kill(self, members: Sequence[Member]) -> None:
        """`kill -9`; a supervisor starts it again after a moment."""
        member = await self._pick(members)
        fault = await self._begin("kill", member)
        member.kill()
        moved = asyncio.create_task(self._moved(fault))
        await asyncio.sleep(self._chosen.uniform(0.3, 2.0))
        await self._start(member, fault)
        await moved

    async def _freeze(self, members: Sequence[Member]) -> None:
        """SIGSTOP for longer than the lease: when it wakes up, it may write nothing of what it had in mind."""
        member = await self._pick(members)
        fault = await self._begin("freeze", member)
        said = member.size_of_log()
        member.freeze()
        moved = asyncio.create_task(self._moved(fault))
        await asyncio.sleep(LEASE + self._chosen.uniform(*OVERSLEPT))
        await moved
        fault.over = time.time()
        member.resume()
        try:
            if fault.affected:
                await self._says_so(member, said, fault)
        finally:
            self._busy.discard(member.name)

    async def _says_so(self, member: Member, said: int, fault: Fault) -> None:
        deadline = time.monotonic() + SAY_LIMIT
        while LOSS not in member.said(said):
            if time.monotonic() > deadline:
                fault.faults.append(f"{member.name} was frozen, lost its partitions, and does not say so")
                return
            await asyncio.sleep(0.1)

    async def _pause(self, members: Sequence[Member]) -> None:
        """SIGSTOP for less than the lease: nobody may take anything from it."""
        member = await self._pick(members)
        fault = await self._begin("pause", member)
        fault.ordeal = False
        member.freeze()
        await asyncio.sleep(self._chosen.uniform(0.5, LEASE / 3))
        fault.over = time.time()
        member.resume()
        self._busy.discard(member.name)

    async def _restart(self, members: Sequence[Member]) -> None:
        """SIGTERM, as in an upgrade: it hands everything over and ends."""
        member = await self._pick(members)
        fault = await self._begin("stop", member)
        try:
            await member.stop()
        except AssertionError as error:
            fault.faults.append(str(error))
            member.kill()
        await self._moved(fault)
        await self._start(member, fault)

    async def _cut(self) -> None:
        fault = self._note("cut connections", "")
        cut = 0
        for _ in range(3):
            cut += await self._database.cut(self._chosen, 0.5)
            await asyncio.sleep(self._chosen.uniform(0.1, 0.5))
        fault.victim = f"{cut} connections"
        fault.over = time.time()

    async def _crash_database(self) -> None:
        await self._database.crash()
        fault = self._note("crash database", "")
        await asyncio.sleep(self._chosen.uniform(0.2, 2.0))
        await self._database.start()
        fault.over = time.time()

    async def _kill_backend(self) -> None:
        fault = self._note("kill backend", "")
        await self._database.kill_a_backend(self._chosen)
        fault.over = time.time()

    async def _begin(self, what: str, member: Member) -> Fault:
        name = await self._witness.member(member.pid)
        fault = self._note(what, member.application, frozenset(await self._witness.owned_by(name)))
        fault.member = name
        fault.ordeal = True
        return fault

    def _note(self, kind: str, victim: str, affected: frozenset[int] = EVERYTHING) -> Fault:
        fault = Fault(kind, time.time(), victim, affected=affected)
        self.done.append(fault)
        self._do_beside(self._ask(fault))
        return fault

    def _do_beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._beside.add(task)

    async def _ask(self, fault: Fault) -> None:
        """Ask for something in some of the affected partitions, as soon as the fault has had its effect."""
        await asyncio.sleep(0.02)
        partitions = self._chosen.sample(sorted(fault.affected), min(PROBES, len(fault.affected)))
        async with asyncio.TaskGroup() as group:
            for partition in partitions:
                group.create_task(self._probe(partition))
        if partitions:
            fault.answered = time.time() - fault.at

    async def over(self) -> None:
        """Everybody is at work again, and all that was asked for has been answered."""
        await asyncio.gather(*self._beside)

    async def _moved(self, fault: Fault) -> None:
        """Wait until nothing is left of what the process had: no partition, and no task that it had claimed."""
        busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        fault.moved = await self._witness.moved(fault.affected, fault.member, PATIENCE * busy) - fault.at
        if fault.moved > MOVE_LIMIT * busy:
            fault.faults.append(f"{fault.kind} {fault.victim}: its partitions moved after {fault.moved:.1f} s")
        fault.reclaimed = await self._witness.reclaimed(fault.member, PATIENCE * busy) - fault.at
        if fault.reclaimed > PATIENCE * busy:
            fault.faults.append(f"{fault.kind} {fault.victim}: tasks are still claimed after {fault.reclaimed:.1f} s")

    async def _start(self, member: Member, fault: Fault) -> None:
        member.start()
        fault.over = time.time()
        self._do_beside(self._serves(member))

    async def _serves(self, member: Member) -> None:
        await member.serves()
        self._busy.discard(member.name)
