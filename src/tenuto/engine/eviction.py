"""Executions leave memory, and are read again: never before the store has everything of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.engine import graph_rows
from tenuto.engine.batch import Visitor
from tenuto.engine.origin import FROM_EXECUTION, Origin
from tenuto.engine.resident import Resident
from tenuto.engine.rows import wake_time

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine


class Eviction:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def trim(self) -> None:
        """Let the executions go that nobody has visited for the longest time."""
        for resident in self._engine.residents.oldest(self._engine.residents.excess + 8):
            if self._engine.residents.excess <= 0:
                return
            self._let_go(resident, moving=False)

    def let_go(self, resident: Resident) -> bool:
        """Bring an execution out of memory whose partition is to move. False if that has to wait."""
        return self._let_go(resident, moving=True)

    def _let_go(self, resident: Resident, *, moving: bool) -> bool:
        execution = resident.execution
        if not resident.clean or resident in self._engine.ready or resident in self._engine.offspring:
            return False
        if resident.graph is not None and resident.graph.evaluating and not moving:
            return False  # when it moves, its scripts are run where it goes
        if execution is not None or resident.graph is not None:
            if execution is not None and execution.updates_admitted:
                return False
            needed: int | None = 0  # whoever has it next looks at it at once
            if resident.graph is not None and not moving:
                needed = graph_rows.wake_time(resident.graph, self._engine.clock.now())
            elif execution is not None and not moving:
                needed = wake_time(self._engine, resident, execution)
            if needed != resident.row.wake_at:
                resident.row.wake_at = needed
                resident.row_changed = True
                self._engine.batch.add(resident)
                self._engine.plan_flush()
                return False
        self._engine.residents.evict(resident)
        return True

    def reload(self, resident: Resident) -> None:
        """Read the execution again, code and all, as soon as the store has everything of it."""
        waiting = dict(resident.execution.updates_admitted) if resident.execution is not None else {}

        def take_along(again: Resident | None) -> None:
            if again is not None and again.execution is not None and again.row.run_id == resident.row.run_id:
                again.execution.updates_admitted.update(waiting)
                self._engine.touch(again)

        self.when_clean(resident, take_along)

    def when_clean(self, resident: Resident, visitor: Visitor, origin: Origin = FROM_EXECUTION) -> None:
        """Visit the execution afresh once all that is known of it is on record."""
        if resident.execution is not None and (resident.execution.unwritten or resident.row_changed):
            self._engine.batch.add(resident)

        def read_again() -> None:
            if self._engine.residents.get(resident.row.workflow_id) is not resident:
                self._engine.residents.visit(resident.row.workflow_id, visitor)
            elif resident.clean:
                self._engine.residents.reload(resident, visitor)
            else:
                self.when_clean(resident, visitor, origin)

        self._engine.batch.effects.append(read_again)
        future = origin.future
        if future is not None:
            self._engine.batch.failed.append(lambda error: None if future.done() else future.set_exception(error))
        self._engine.plan_flush()
