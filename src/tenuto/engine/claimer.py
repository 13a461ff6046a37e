"""The claimer's side: tasks that wait in the store for workers like ours, whoever owns their executions.

Each queue is looked at on its own: at once when a hint names it, soon while there are tasks, and now and then in any
case. What was claimed is looked at about once a second, to learn what is to be stopped and what is ours no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING

import msgspec

from tenuto.engine import parking
from tenuto.model.errors import StoreError, StoreFormatError
from tenuto.model.task_messages import TaskReturned
from tenuto.store.protocol import PARTITIONS, TaskKind, TaskRow

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

logger = logging.getLogger("tenuto.engine")

#: Activities claimed at one go, and workflow tasks, whose executions are in memory together.
MOST = 500
MOST_DECISIONS = 100
#: What is claimed together.
KINDS = {
    TaskKind.ACTIVITY: (TaskKind.ACTIVITY,),
    TaskKind.WORKFLOW: (TaskKind.WORKFLOW, TaskKind.QUERY),
}
#: Seconds between two looks into a queue: while tasks keep coming, when none have come for a while, and when there is
#: no other process that might leave one.
BRISK, CALM, ALONE = 0.005, 0.1, 1.0
#: Returned claims that are remembered.
MOST_RETURNED = 10_000
#: Seconds after which a claim that failed has really ended in the store.
DOUBT = 40.0
#: Seconds between two looks at what has been claimed.
LOOK = 1.0


class Claimer:
    """Claims for the workers of this process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        #: Set when it is worth looking; one of a queue and kind that is served.
        self._pokes: dict[tuple[str, TaskKind], asyncio.Event] = {}
        #: When to see whether there are claims of ours that we don't know of.
        self._doubts: dict[tuple[str, TaskKind], list[float]] = {}
        #: The latest claims that were returned: run id, key, and when they were made.
        self._returned: dict[tuple[str, int, int], None] = {}
        self._loops = 0
        self._all_ended = asyncio.Event()

    def serve_activities(self, task_queue: str) -> None:
        """A worker for activities of this queue has come."""
        self._serve(task_queue, TaskKind.ACTIVITY, lambda: self._claim_activities(task_queue))

    def serve_workflows(self, task_queue: str) -> None:
        """A worker for workflows of this queue has come."""
        self._serve(task_queue, TaskKind.WORKFLOW, lambda: self._claim_decisions(task_queue))

    def _serve(self, task_queue: str, kind: TaskKind, turn: Callable[[], Awaitable[int]]) -> None:
        if (task_queue, kind) in self._pokes or not self._engine.store.shared:
            self.poke(task_queue)
            return
        self._pokes[task_queue, kind] = asyncio.Event()
        self._engine.spawn(self._claim_until_left(task_queue, kind, turn), f"claim {kind.name} of {task_queue}")

    def leave(self, task_queue: str) -> None:
        """The workers of this queue have gone."""
        for key in [key for key in self._pokes if key[0] == task_queue]:
            self._pokes.pop(key).set()

    def poke(self, task_queue: str) -> None:
        """There may be tasks, or room for them."""
        for (queue, _), poke in self._pokes.items():
            if queue == task_queue:
                poke.set()

    def hinted(self, task_queues: Collection[str]) -> None:
        """Other processes have left tasks in these queues."""
        for task_queue in task_queues:
            self.poke(task_queue)

    async def close(self) -> None:
        """Claim nothing any more. What is just being claimed goes back."""
        for task_queue in {queue for queue, _ in self._pokes}:
            self.leave(task_queue)
        while self._loops:
            self._all_ended.clear()
            await self._all_ended.wait()

    async def _claim_until_left(self, task_queue: str, kind: TaskKind, turn: Callable[[], Awaitable[int]]) -> None:
        poke = self._pokes.get((task_queue, kind))
        if poke is None:
            return  # the worker left before this began
        self._loops += 1
        pause = BRISK
        try:
            while self._pokes.get((task_queue, kind)) is poke:
                poke.clear()
                found = await self._take_turn(task_queue, kind, turn)
                longest = CALM if self._engine.ownership.peers else ALONE
                pause = BRISK if found else min(pause * 1.5, longest)
                await asyncio.sleep(0)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await poke.wait()
        finally:
            self._loops -= 1
            self._all_ended.set()

    async def _take_turn(self, task_queue: str, kind: TaskKind, turn: Callable[[], Awaitable[int]]) -> int:
        try:
            await self._return_unknown(task_queue, kind)
            return 0 if self._engine.outbox.full else await turn()
        except StoreFormatError:
            raise  # what is damaged stays so
        except StoreError as error:
            logger.warning("tasks of %s could not be claimed, which is tried again: %s", task_queue, error)
            now = asyncio.get_running_loop().time()
            self._doubts[task_queue, kind] = [now, now + DOUBT]
            return 0

    async def _return_unknown(self, task_queue: str, kind: TaskKind) -> None:
        """A claim failed, or perhaps only its answer got lost: others shall have what we don't know to be ours."""
        doubts = self._doubts.get((task_queue, kind))
        if doubts is None or asyncio.get_running_loop().time() < doubts[0]:
            return
        owner = self._engine.ownership.owner
        for claim in await self._engine.store.claims(range(PARTITIONS), 0):
            row = claim.task
            ours = row.claimed_by == owner and row.task_queue == task_queue and row.kind in KINDS[kind]
            if ours and not self._knows(row):
                self._return(row)
        del doubts[0]
        if not doubts:
            del self._doubts[task_queue, kind]

    def _knows(self, row: TaskRow) -> bool:
        return self._engine.dispatch.running_task(row.run_id, row.key) is not None

    def _return(self, row: TaskRow) -> None:
        """It was claimed and can't be begun: others shall have it. Said once of a claim: by the second time the owner
        may have left the task to somebody who has begun it."""
        claim = (row.run_id, row.key, row.claimed_at)
        if claim in self._returned:
            return
        if len(self._returned) >= MOST_RETURNED:
            self._returned.pop(next(iter(self._returned)))
        self._returned[claim] = None
        attempt = parking.parked(row).attempt
        self._engine.outbox.put(row.workflow_id, row.run_id, TaskReturned(row.key, attempt))

    async def _claim(self, task_queue: str, kinds: Collection[TaskKind], most: int) -> list[TaskRow]:
        engine = self._engine
        return await engine.store.claim(engine.ownership.owner, task_queue, kinds, most, engine.clock.now())

    async def _claim_decisions(self, task_queue: str) -> int:
        """Claim workflow tasks and queries, and do them; returns how many."""
        rows = await self._claim(task_queue, KINDS[TaskKind.WORKFLOW], MOST_DECISIONS)
        if rows:
            await self._engine.decisions.do(rows)
        if len(rows) == MOST_DECISIONS:
            self.poke(task_queue)
        return len(rows)

    # -- activities --------------------------------------------------------------------------------------------------

    async def _claim_activities(self, task_queue: str) -> int:
        """Claim as many as there is room for, and start them; returns how many."""
        dispatch = self._engine.dispatch
        room = dispatch.reserve(task_queue, MOST)
        if not room:
            return 0
        begun, more = 0, False
        try:
            rows = await self._claim(task_queue, KINDS[TaskKind.ACTIVITY], room)
            more = len(rows) == room
            begun = sum([self._start(row) for row in rows])
        finally:
            dispatch.give_back(task_queue, room - begun, more=more)
        if more:
            self.poke(task_queue)
        return len(rows)

    def _start(self, row: TaskRow) -> bool:
        try:
            task = parking.decode_activity_task(row)
        except msgspec.DecodeError as error:
            logger.error("a task of workflow %s can't be understood: %s", row.workflow_id, error)
            return False
        task.started_time = self._engine.clock.now()
        begun = self._engine.dispatch.start_claimed(row, task)
        if not begun and not self._knows(row):
            self._return(row)
        return begun

    # -- what has been claimed ---------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Look for ever at what was claimed and is under way."""
        while True:
            await asyncio.sleep(LOOK)
            claimed = [running for running in self._engine.dispatch.claimed() if running.claim is not None]
            rows = [running.claim for running in claimed if running.claim is not None]
            if not rows:
                continue
            try:
                answers = await self._engine.store.held(self._engine.ownership.owner, rows)
            except StoreFormatError:
                raise
            except StoreError as error:
                logger.warning("claimed tasks could not be looked at, which is tried again: %s", error)
                continue
            for running, answer in zip(claimed, answers, strict=True):
                running.told(answer)
