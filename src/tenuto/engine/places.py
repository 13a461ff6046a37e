"""How many executions of a workflow may run at a time (`rateLimitConfig`); the others wait in line."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Set
from typing import TYPE_CHECKING

from tenuto.engine.permits import Permits
from tenuto.engine.resident import Resident
from tenuto.graph.execution import GraphExecution
from tenuto.graph.limits import Place, place_of
from tenuto.store.protocol import partition_of

if TYPE_CHECKING:
    from tenuto.engine.graphs import Graphs


class Places:
    """Counts open executions by the key of their limit."""

    def __init__(self, graphs: Graphs, is_shared: Callable[[], bool], is_alive: Callable[[str], bool]) -> None:
        self._graphs = graphs
        self._waiting: dict[str, OrderedDict[str, int]] = {}
        self.permits = Permits(graphs.engine, "workflow_permits", is_shared, is_alive, self._fill)

    def of(self, graph: GraphExecution) -> Place | None:
        """The limit that an execution comes under."""
        return place_of(graph, self._graphs.catalog.rate_limit(graph.state.started.workflow_type))

    def enter(self, place: Place, workflow_id: str) -> bool:
        """A new execution takes a place, if there is one."""
        return self.permits.enter(place.key, place.limit, workflow_id, workflow_id)

    def adopt(self, graph: GraphExecution) -> None:
        """An execution came into memory: it has its place, or waits for one."""
        place = self.of(graph)
        if place is None:
            return
        if graph.state.queued:
            self.wait(place, graph.workflow_id)
            self._fill(place.key)
        else:
            self.permits.enter(place.key, place.limit, graph.workflow_id, graph.workflow_id, again=True)

    def wait(self, place: Place, workflow_id: str) -> None:
        """An execution waits for a place."""
        self._waiting.setdefault(place.key, OrderedDict())[workflow_id] = place.limit

    def leave(self, graph: GraphExecution) -> None:
        """An execution has ended: the next one gets its place."""
        place = self.of(graph)
        if place is not None:
            self._waiting.get(place.key, OrderedDict()).pop(graph.workflow_id, None)
            self.permits.leave(place.key, graph.workflow_id)

    def leave_partitions(self, partitions: Set[int]) -> None:
        """The executions of these partitions are no longer ours."""
        for waiting in self._waiting.values():
            for workflow_id in [each for each in waiting if partition_of(each) in partitions]:
                del waiting[workflow_id]
        self.permits.leave_partitions(partitions)

    def _fill(self, key: str) -> None:
        waiting = self._waiting.get(key, OrderedDict())
        while waiting:
            workflow_id, limit = next(iter(waiting.items()))
            if not self.permits.enter(key, limit, workflow_id, workflow_id):
                return
            del waiting[workflow_id]
            self._graphs.engine.residents.visit(workflow_id, self._let_in)
        self._waiting.pop(key, None)

    def _let_in(self, resident: Resident | None) -> None:
        graph = None if resident is None else resident.graph
        if resident is not None and graph is not None and graph.state.queued and not graph.state.closed:
            graph.now = self._graphs.engine.clock.now()
            graph.change("let_in", queued=False)
            self._graphs.engine.touch(resident)

    def clear(self) -> None:
        """The engine starts over from what the store knows."""
        self._waiting.clear()
        self.permits.clear()
