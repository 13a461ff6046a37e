"""Limits on how many runs of code of one type may be at work at a time, over all processes.

A run is at work while its code has something to decide or an attempt of it is due or runs. One that only waits, for a
timer, a message or the end of a back-off, has no place; when it goes on it needs one again, and comes before those
that have not begun. Who finds no place stands in line, on record, so that everybody sees why it does not go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Set
from functools import partial
from typing import TYPE_CHECKING

from tenuto.engine.beacons import Beacons
from tenuto.engine.permits import COUNTED, Permits
from tenuto.engine.resident import Resident
from tenuto.history import activities
from tenuto.history.effects import ActivityReady
from tenuto.history.execution import Execution
from tenuto.model.errors import StoreError
from tenuto.store.protocol import partition_of

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

logger = logging.getLogger("tenuto.engine")

#: Seconds between two signs of life, where limits are shared.
BEAT = 1.0


class Line:
    """Runs that wait for a place, by run id, with their workflow ids: those that go on before those that begin."""

    def __init__(self) -> None:
        self.limit = 0
        self._going_on: OrderedDict[str, str] = OrderedDict()
        self._new: OrderedDict[str, str] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._going_on or self._new)

    def add(self, run_id: str, workflow_id: str, limit: int, *, new: bool) -> None:
        self.limit = limit
        (self._new if new else self._going_on).setdefault(run_id, workflow_id)

    def first(self) -> tuple[str, str]:
        return next(iter((self._going_on or self._new).items()))

    def remove(self, run_id: str) -> None:
        self._going_on.pop(run_id, None)
        self._new.pop(run_id, None)

    def remove_partitions(self, partitions: Set[int]) -> None:
        for waiting in (self._going_on, self._new):
            for run_id in [run_id for run_id, id in waiting.items() if partition_of(id) in partitions]:
                del waiting[run_id]


class Concurrency:
    """Who of ours is at work, by workflow type."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._beacons = Beacons(engine, "concurrency_members")
        self._permits = Permits(
            engine, "concurrency_permits", lambda: self._is_shared, self._beacons.is_alive, self._fill
        )
        self._lines: dict[str, Line] = {}
        #: Run ids of those that have a place, with their workflow ids.
        self._inside: dict[str, str] = {}
        self._shares_until = float("-inf")
        self._used = False

    def admits(self, resident: Resident) -> bool:
        """May something of this run begin now? If not, it stands in line, and is touched when its turn comes."""
        execution, run_id = resident.execution, resident.row.run_id
        limit = None if execution is None else execution.state.started.concurrency
        if execution is None or limit is None:
            return True
        if run_id in self._inside:
            execution.stand_in_line(False)
            return True
        key, workflow_id = resident.row.workflow_type, resident.row.workflow_id
        self._used = True
        line = self._lines.get(key)
        if not line and self._permits.enter(key, limit, run_id, workflow_id):
            self._inside[run_id] = workflow_id
            execution.stand_in_line(False)
            return True
        self._lines.setdefault(key, Line()).add(run_id, workflow_id, limit, new=not execution.state.has_decided)
        execution.stand_in_line(True)
        return False

    def settle(self, resident: Resident) -> None:
        """After something has happened to it: a run that has nothing to do leaves its place, or the line."""
        execution, run_id = resident.execution, resident.row.run_id
        if execution is None or execution.state.started.concurrency is None:
            return
        if _is_at_work(execution, self._engine.clock.now()):
            return
        key = resident.row.workflow_type
        if key in self._lines:
            self._lines[key].remove(run_id)
        execution.stand_in_line(False)
        if self._inside.pop(run_id, None) is not None:
            self._permits.leave(key, run_id)

    def adopt(self, resident: Resident) -> None:
        """A run came into memory: if attempts of it run, or may be begun by others at any moment, it has its place
        whatever the limit says."""
        execution, row = resident.execution, resident.row
        limit = None if execution is None else execution.state.started.concurrency
        if execution is None or limit is None or row.run_id in self._inside:
            return
        claimable = self._engine.store.shared and any(key >= 0 for key in resident.parked)
        if claimable or any(activity.note.started_time is not None for activity in execution.state.activities.values()):
            self._used = True
            self._inside[row.run_id] = row.workflow_id
            self._permits.enter(row.workflow_type, limit, row.run_id, row.workflow_id, again=True)

    def _fill(self, key: str) -> None:
        """There may be room: let in who waits."""
        line = self._lines.get(key)
        while line:
            run_id, workflow_id = line.first()
            if not self._permits.enter(key, line.limit, run_id, workflow_id):
                return
            line.remove(run_id)
            self._inside[run_id] = workflow_id
            self._engine.residents.visit(workflow_id, partial(self._let_in, key, run_id))
        self._lines.pop(key, None)

    def _let_in(self, key: str, run_id: str, resident: Resident | None) -> None:
        execution = None if resident is None or resident.row.run_id != run_id else resident.execution
        if resident is None or execution is None:
            if self._inside.pop(run_id, None) is not None:
                self._permits.leave(key, run_id)
            return
        for scheduled_event_id in execution.state.activities:
            if activities.may_start(execution, scheduled_event_id, self._engine.clock.now()):
                execution.effects.append(ActivityReady(scheduled_event_id))
        self._engine.touch(resident)

    # -- other processes -----------------------------------------------------------------------------------------------

    @property
    def _is_shared(self) -> bool:
        """Are there others, or were there a moment ago, with which limits are shared?"""
        return bool(self._engine.ownership.peers) or asyncio.get_running_loop().time() < self._shares_until

    async def share(self) -> None:
        """Others are about to take executions over: what is at work goes on record."""
        now = asyncio.get_running_loop().time()
        begins = self._shares_until < now
        self._shares_until = now + COUNTED
        if begins and self._used:
            await self._permits.settle()

    async def watch(self) -> None:
        """Tell others for ever that we are there, if limits are shared with them, and hear of them."""
        while True:
            await asyncio.sleep(BEAT)
            if self._used and self._engine.ownership.peers:
                try:
                    await self._beacons.look()
                except StoreError as error:
                    logger.warning("others can't be told that we are there, which is tried again: %s", error)

    def leave_partitions(self, partitions: Set[int]) -> None:
        """The executions of these partitions are no longer ours."""
        for line in self._lines.values():
            line.remove_partitions(partitions)
        for run_id in [run_id for run_id, id in self._inside.items() if partition_of(id) in partitions]:
            del self._inside[run_id]
        self._permits.leave_partitions(partitions)

    def clear(self) -> None:
        """The engine starts over: who is at work is found out again."""
        self._lines.clear()
        self._inside.clear()
        self._permits.clear()
        if self._used:
            asyncio.get_running_loop().call_later(COUNTED, self._fill_all)

    def _fill_all(self) -> None:
        if not self._engine.failed.done():
            for key in list(self._lines):
                self._fill(key)

    async def close(self) -> None:
        """The engine has stopped, and nothing of it is at work."""
        if self._used and self._engine.store.shared:
            await self._permits.give_back()
            await self._beacons.farewell()


def _is_at_work(execution: Execution, now: int) -> bool:
    state = execution.state
    if state.closed:
        return False
    if state.task_pending and not state.paused and now >= execution.task_retry_time:
        return True
    return any(
        activity.note.started_time is not None or activities.may_start(execution, key, now)
        for key, activity in state.activities.items()
    )
