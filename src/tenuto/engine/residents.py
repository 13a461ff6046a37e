"""The executions in memory, and how others get there.

`visit` calls a visitor with the latest run of a workflow id: at once when it is in memory, else after it was loaded,
together with all others that are asked for meanwhile. Visits to one workflow id keep their order. The least recently
visited executions are evicted; the store has all of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine, Set
from itertools import islice

from tenuto.engine.batch import Visitor
from tenuto.engine.resident import Resident
from tenuto.graph.execution import GraphExecution
from tenuto.history.execution import Execution
from tenuto.model.errors import StoreError, StoreFormatError
from tenuto.model.events import ExecutionRef
from tenuto.model.limits import Limits
from tenuto.model.policies import ExecutionStatus
from tenuto.store.protocol import Store, StoredExecution, partition_of

logger = logging.getLogger("tenuto.engine")

#: Executions read from the store at one go.
CHUNK = 256


class Residents:
    """At most about `capacity` executions; more only while more have something uncommitted."""

    def __init__(
        self,
        store: Store,
        limits: Limits,
        new_run_id: Callable[[], str],
        adopt: Callable[[Resident], None],
        decide: Callable[[], None],
        spawn: Callable[[Coroutine[object, object, None], str], object],
        owns: Callable[[str], bool],
    ) -> None:
        self._store = store
        self._limits = limits
        self._new_run_id = new_run_id
        self._adopt = adopt
        self._decide = decide
        self._spawn = spawn
        self._owns = owns
        self._residents: OrderedDict[str, Resident] = OrderedDict()
        self._waiting: dict[str, list[Visitor]] = {}
        self._asked: list[str] = []
        #: Those of `_waiting` that nobody has asked for.
        self._held: set[str] = set()
        self._loading = False
        self._online = True
        self.capacity = 1000

    def __len__(self) -> int:
        return len(self._residents)

    def get(self, workflow_id: str) -> Resident | None:
        """The run if it is in memory and nobody is queueing for it."""
        return None if workflow_id in self._waiting else self._residents.get(workflow_id)

    def put(self, resident: Resident) -> None:
        """A new run begins: it is now the latest of its workflow id."""
        self._residents[resident.row.workflow_id] = resident
        self._residents.move_to_end(resident.row.workflow_id)

    def visit(self, workflow_id: str, visitor: Visitor) -> None:
        """Call `visitor` with the latest run, now or as soon as it is in memory; with None if there is none, or if its
        partition is not ours (any more)."""
        waiting = self._waiting.get(workflow_id)
        if waiting is not None:
            waiting.append(visitor)
            return
        resident = self._residents.get(workflow_id)
        if self._online and not self._owns(workflow_id):
            visitor(None)
            return
        if resident is not None and self._online:
            self._residents.move_to_end(workflow_id)
            visitor(resident)
            return
        self._waiting[workflow_id] = [visitor]
        self._asked.append(workflow_id)
        self._start_loading()

    def hold(self, workflow_id: str) -> None:
        """Let visitors of this execution wait until `release` or `interrupt`."""
        if workflow_id not in self._waiting:
            self._waiting[workflow_id] = []
            self._held.add(workflow_id)

    def release(self, workflow_id: str) -> None:
        """Let those in who wait for an execution that is held."""
        if workflow_id not in self._held:
            return
        self._held.discard(workflow_id)
        if workflow_id in self._residents and self._online:
            self._let_in(workflow_id)
        else:
            self._asked.append(workflow_id)
            self._start_loading()

    def interrupt(self, workflow_id: str, visitor: Visitor) -> None:
        """As `visit`, before all others if the execution is held, which ends with that."""
        if workflow_id in self._held:
            self._waiting[workflow_id].insert(0, visitor)
            self.release(workflow_id)
        else:
            self.visit(workflow_id, visitor)

    def reload(self, resident: Resident, visitor: Visitor) -> None:
        """Visit after reading the execution again from the store, which has all of it (`resident.clean`)."""
        self.evict(resident)
        self.visit(resident.row.workflow_id, visitor)

    def evict(self, resident: Resident) -> None:
        resident.drop_instance()
        if self._residents.get(resident.row.workflow_id) is resident:
            del self._residents[resident.row.workflow_id]

    def oldest(self, wanted: int) -> list[Resident]:
        """Up to `wanted` of the executions that have not been visited for the longest time."""
        return list(islice(self._residents.values(), wanted))

    @property
    def open(self) -> int:
        """How many of those in memory have not ended."""
        return sum(
            resident.execution is not None or resident.graph is not None for resident in self._residents.values()
        )

    @property
    def excess(self) -> int:
        return len(self._residents) - self.capacity

    def suspend(self) -> None:
        """Forget everything and hold all visitors back until `resume`."""
        self._online = False
        self._asked += self._held
        self._held.clear()
        for resident in self._residents.values():
            resident.drop_instance()
        self._residents.clear()

    def resume(self) -> None:
        self._online = True
        self._start_loading()

    @property
    def online(self) -> bool:
        """Is it not suspended?"""
        return self._online

    def _suspended(self) -> bool:
        return not self._online

    def _start_loading(self) -> None:
        if self._asked and self._online and not self._loading:
            self._loading = True
            self._spawn(self._load(), "load executions")

    async def _load(self) -> None:
        # This runs a turn of the loop after it was asked for, so all that arrived together is read together.
        try:
            while self._asked and not self._suspended():
                wanted, self._asked = self._asked[:CHUNK], self._asked[CHUNK:]
                try:
                    stored = await self._store.load([ExecutionRef(workflow_id) for workflow_id in wanted])
                except StoreFormatError:
                    raise  # what is damaged stays so
                except StoreError as error:
                    logger.warning("executions could not be read, which is tried again: %s", error)
                    self._asked = wanted + self._asked
                    await asyncio.sleep(0.1)
                    continue
                if self._suspended():
                    self._asked = wanted + self._asked
                    return
                for workflow_id, found in zip(wanted, stored, strict=True):
                    self._arrived(workflow_id, found)
                self._decide()
        finally:
            self._loading = False

    def _arrived(self, workflow_id: str, stored: StoredExecution | None) -> None:
        if stored is not None and self._owns(workflow_id):
            resident = self._fold(stored)
            self._residents[workflow_id] = resident
            if resident.execution is not None or resident.graph is not None:
                self._adopt(resident)
        self._let_in(workflow_id)

    def _let_in(self, workflow_id: str) -> None:
        ours = self._owns(workflow_id)
        visitors = deque(self._waiting.pop(workflow_id))
        while visitors:
            visitors.popleft()(self._residents.get(workflow_id) if ours else None)
            if workflow_id in self._held:
                self._waiting[workflow_id] += visitors
                return

    def of(self, partitions: Set[int]) -> list[Resident]:
        """Those that live in these partitions."""
        return [resident for resident in self._residents.values() if resident.row.partition in partitions]

    def awaited(self, partitions: Set[int]) -> bool:
        """Does anybody wait for an execution of these partitions to be read?"""
        return any(partition_of(workflow_id) in partitions for workflow_id in self._waiting)

    def _fold(self, stored: StoredExecution) -> Resident:
        if stored.row.status is not ExecutionStatus.RUNNING:
            return Resident(stored.row, None)
        if stored.graph_events:
            resident = Resident(stored.row, None)
            resident.graph = GraphExecution.restore(stored.graph_events, stored.history_size)
            resident.run_elsewhere = {task.key: task for task in stored.tasks if task.claimed_by}
            return resident
        execution = Execution.restore(stored.events, stored.notes, stored.history_size, self._limits, self._new_run_id)
        resident = Resident(stored.row, execution)
        resident.restore(stored.events, set(stored.notes), stored.tasks)
        return resident
