"""The ends of runs: who waits for them, and what closed runs are still asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container
from typing import TYPE_CHECKING

from tenuto.engine.resident import Resident
from tenuto.graph.parents import closing_event
from tenuto.history.execution import Execution
from tenuto.model import events as ev
from tenuto.store.protocol import ExecutionRow, StoredExecution

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine


class ClosedRuns:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiters: dict[str, list[asyncio.Future[ev.AnyEvent | None]]] = {}
        #: Where the runs are that somebody waits for; they need not be in memory.
        self._partitions: dict[str, int] = {}

    def look_again(self) -> None:
        """The engine starts over: those who wait have to ask anew."""
        waiting, self._waiters = self._waiters, {}
        self._partitions.clear()
        for waiters in waiting.values():
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def fail(self, error: BaseException) -> None:
        """The engine has stopped."""
        waiting, self._waiters = self._waiters, {}
        self._partitions.clear()
        for waiters in waiting.values():
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(error)
                    waiter.exception()

    def wait(self, workflow_id: str, run_id: str) -> asyncio.Future[ev.AnyEvent | None]:
        """The closing event of a run; None if the run is closed already and the store has to be asked."""
        future: asyncio.Future[ev.AnyEvent | None] = asyncio.get_running_loop().create_future()

        def watch(resident: Resident | None) -> None:
            if future.done():
                return  # whoever waited has given up
            if resident is None or resident.row.run_id != run_id or (not resident.execution and not resident.graph):
                future.set_result(None)
            else:
                self._waiters.setdefault(run_id, []).append(future)
                self._partitions[run_id] = resident.row.partition
                future.add_done_callback(give_up)

        def give_up(_: object) -> None:
            waiters = self._waiters.get(run_id, [])
            if future in waiters:
                waiters.remove(future)
            if not waiters:
                self._waiters.pop(run_id, None)
                self._partitions.pop(run_id, None)

        self._engine.residents.visit(workflow_id, watch)
        return future

    def closed(self, resident: Resident) -> None:
        """The end of a run is on record: tell those who wait, and keep only its row."""
        assert resident.execution is not None
        event = resident.execution.state.closing_event
        resident.drop_instance()
        resident.execution = None
        self._tell(resident, event)

    def graph_closed(self, resident: Resident) -> None:
        """As `closed`, of a graph."""
        assert resident.graph is not None
        event = closing_event(resident.graph)
        resident.graph = None
        self._tell(resident, event)

    def moved(self, run_id: str) -> None:
        """Another engine has the run: those who wait have to look there."""
        self._partitions.pop(run_id, None)
        for waiter in self._waiters.pop(run_id, []):
            if not waiter.done():
                waiter.set_result(None)

    def left(self, partitions: Container[int]) -> None:
        """As `moved`, of all runs of these partitions, those that are not in memory included."""
        for run_id in [run_id for run_id, partition in self._partitions.items() if partition in partitions]:
            self.moved(run_id)

    def _tell(self, resident: Resident, event: ev.AnyEvent | None) -> None:
        self._partitions.pop(resident.row.run_id, None)
        for waiter in self._waiters.pop(resident.row.run_id, []):
            if not waiter.done():
                waiter.set_result(event)

    def row_of(self, resident: Resident, run_id: str | None) -> ExecutionRow:
        """The row of the run that was asked for; another run than the latest is only known by its id."""
        if run_id is None or run_id == resident.row.run_id:
            return resident.row
        latest = resident.row
        return ExecutionRow(
            partition=latest.partition,
            workflow_id=latest.workflow_id,
            run_id=run_id,
            first_run_id=latest.first_run_id,
            workflow_type=latest.workflow_type,
            task_queue=latest.task_queue,
            start_time=0,
        )

    def read(self, row: ExecutionRow, then: Callable[[StoredExecution | None], None]) -> None:
        """Read a closed run with its history."""

        async def fetch() -> None:
            await self._engine.pipeline.flushed()
            ref = ev.ExecutionRef(row.workflow_id, row.run_id)
            then((await self._engine.patiently(lambda: self._engine.store.load([ref], closed_history=True)))[0])

        self._engine.plan_flush()
        self._engine.spawn(fetch(), "read a closed run")

    def consult(self, row: ExecutionRow, then: Callable[[Execution | None], None]) -> None:
        """Fold a closed run again to look something up in it."""

        def fold(stored: StoredExecution | None) -> None:
            if stored is None or not stored.events:
                then(None)
                return
            then(
                Execution.restore(stored.events, {}, stored.history_size, self._engine.limits, self._engine.new_run_id)
            )

        self.read(row, fold)
