"""How many executions of a workflow may run at a time (`rateLimitConfig`); the others wait in line."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from tenuto.engine.resident import Resident
from tenuto.graph.execution import GraphExecution
from tenuto.graph.limits import Place, place_of

if TYPE_CHECKING:
    from tenuto.engine.graphs import Graphs


class _Key:
    __slots__ = ("inside", "limit", "waiting")

    def __init__(self) -> None:
        self.limit = 0
        self.inside: set[str] = set()
        self.waiting: OrderedDict[str, None] = OrderedDict()


class Places:
    """Counts open executions by the key of their limit."""

    def __init__(self, graphs: Graphs) -> None:
        self._graphs = graphs
        self._keys: dict[str, _Key] = {}

    def of(self, graph: GraphExecution) -> Place | None:
        """The limit that an execution comes under."""
        return place_of(graph, self._graphs.catalog.rate_limit(graph.state.started.workflow_type))

    def full(self, key: str, limit: int) -> bool:
        """Would another execution have to wait?"""
        entry = self._keys.get(key)
        return entry is not None and len(entry.inside) >= limit

    def adopt(self, graph: GraphExecution) -> None:
        """An execution begins, or came into memory: it has its place, or waits for one."""
        place = self.of(graph)
        if place is None:
            return
        entry = self._keys.setdefault(place.key, _Key())
        entry.limit = place.limit
        if graph.state.queued:
            entry.waiting[graph.workflow_id] = None
        else:
            entry.inside.add(graph.workflow_id)
        self._fill(place.key)

    def leave(self, graph: GraphExecution) -> None:
        """An execution has ended: the next one gets its place."""
        place = self.of(graph)
        entry = None if place is None else self._keys.get(place.key)
        if place is not None and entry is not None:
            entry.inside.discard(graph.workflow_id)
            entry.waiting.pop(graph.workflow_id, None)
            self._fill(place.key)

    def _fill(self, key: str) -> None:
        entry = self._keys[key]
        while entry.waiting and len(entry.inside) < entry.limit:
            workflow_id, _ = entry.waiting.popitem(last=False)
            entry.inside.add(workflow_id)
            self._graphs.engine.residents.visit(workflow_id, self._let_in)
        if not entry.waiting and not entry.inside:
            del self._keys[key]

    def _let_in(self, resident: Resident | None) -> None:
        graph = None if resident is None else resident.graph
        if resident is not None and graph is not None and graph.state.queued and not graph.state.closed:
            graph.now = self._graphs.engine.clock.now()
            graph.change("let_in", queued=False)
            self._graphs.engine.touch(resident)

    def clear(self) -> None:
        """The engine starts over from what the store knows."""
        self._keys.clear()
