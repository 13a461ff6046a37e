"""The owner's side: claims of other processes on tasks of our executions.

A new claim tells that an attempt has begun, which puts it on record and starts its time-outs. A claim of a process that
is gone makes the attempt a lost one.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from tenuto.engine import parking
from tenuto.engine.clock import SECOND
from tenuto.engine.resident import Resident
from tenuto.history import activities
from tenuto.store.protocol import Claim, TaskKind

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

#: Seconds between two looks.
LOOK = 1.0
#: Seconds beyond its time limit after which a decision is not waited for any more.
PATIENCE = 10.0
#: Nanoseconds by which claims may come to be seen later than others that were made after them.
OVERLAP = 10 * SECOND
#: Nanoseconds that an attempt has been running at most when it is first heard of: clocks may differ, and an attempt
#: must not time out for that.
UNHEARD_OF = 2 * SECOND

ClaimId = tuple[str, int, str, int]


class Claims:
    """Looks at the claims on tasks of the partitions that are ours."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: set[ClaimId] = set()
        self._since = 0
        self._partitions: set[int] = set()

    async def watch(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(LOOK)
            partitions = self._engine.ownership.partitions
            if not self._partitions.issuperset(partitions):
                self._since = 0
            elif not self._engine.ownership.peers and not self._known:
                continue  # nobody else is there, and nobody was
            self._partitions = set(partitions)
            if partitions:
                await self._look(partitions)

    async def _look(self, partitions: list[int]) -> None:
        store, since = self._engine.store, self._since
        claims = await self._engine.patiently(lambda: store.claims(partitions, since))
        known, self._known = self._known, set()
        for claim in claims:
            task = claim.task
            id = (task.run_id, task.key, task.claimed_by, task.claimed_at)
            self._known.add(id)
            self._since = max(self._since, task.claimed_at - OVERLAP)
            if task.kind is TaskKind.GRAPH:
                self._engine.graphs.claimed(claim)
            elif claim.lost or id not in known:
                self._engine.residents.visit(task.workflow_id, partial(self._take, claim))

    def _take(self, claim: Claim, resident: Resident | None) -> None:
        task = claim.task
        if not self._engine.owns(task.workflow_id):
            return
        if task.key < 0 and self._engine.queries.elsewhere.awaits(task.run_id, task.key):
            if claim.lost:
                self._engine.queries.elsewhere.returned(task.run_id, task.key)
            return
        if resident is None or resident.row.run_id != task.run_id:
            parking.drop(self._engine, task)
            return
        known = resident.parked.get(task.key)
        if known is None or known.row.claimed_at != task.claimed_at:
            if known is not None and known.leaving:
                return
            known = resident.parked[task.key] = parking.parked(task)
        if known.leaving:
            return
        if not parking.wanted(self._engine, resident, task.key, known.attempt):
            parking.unpark(self._engine, resident, task.key)
        elif claim.lost:
            self._lose(resident, known)
        elif task.key > 0:
            self.begun(resident, known)
        else:
            self._limit(resident, known)

    def _limit(self, resident: Resident, known: parking.Parked) -> None:
        """Whoever decides has a time limit of its own; one that says nothing at all has lost the task."""
        seconds = PATIENCE
        if resident.execution is not None:
            seconds += resident.execution.state.started.task_timeout

        def expire(again: Resident | None) -> None:
            if again is resident and resident.parked.get(known.row.key) is known:
                parking.unpark(self._engine, resident, known.row.key)

        visit = partial(self._engine.residents.visit, known.row.workflow_id, expire)
        asyncio.get_running_loop().call_later(seconds, visit)

    def begun(self, resident: Resident, known: parking.Parked) -> None:
        """Somebody runs this attempt."""
        execution, row = resident.execution, known.row
        assert execution is not None
        note = execution.state.activities[row.key].note
        if note.started_time is None:
            now = self._engine.clock.now()
            started = max(now - UNHEARD_OF, min(row.claimed_at, now))
            activities.note_start(execution, row.key, note.attempt, started)
            self._engine.dispatch.settle(resident, row.key)

    def _lose(self, resident: Resident, known: parking.Parked) -> None:
        if known.row.key > 0:
            assert resident.execution is not None
            self.begun(resident, known)
            activities.lose_attempt(resident.execution, known.row.key, self._engine.clock.now())
            self._engine.touch(resident)
        else:
            parking.unpark(self._engine, resident, known.row.key)
