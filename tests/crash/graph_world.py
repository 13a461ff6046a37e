"""A world for crash tests of graphs: a store that outlives every engine, a clock, workers that remember what they were
acknowledged, and a host that runs scripts and system tasks by plain functions."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from tenuto.engine.gateway import Gateway
from tenuto.engine.graphs import Graphs, restore
from tenuto.engine.ids import id_source
from tenuto.graph.definitions import decode_task_def, decode_workflow_def
from tenuto.graph.effects import Evaluate
from tenuto.graph.views import workflow_view
from tenuto.model.errors import RPCError, RPCStatusCode, StoreError
from tenuto.model.events import ExecutionRef
from tenuto.model.graph_messages import GraphStart, GraphTaken, TaskUpdate, TaskUpdated
from tenuto.model.json_values import Json, decode_json, encode_json
from tenuto.model.limits import Limits
from tenuto.model.messages import Started
from tenuto.model.policies import ExecutionStatus
from tenuto.model.search import Compare, SearchQuery
from tenuto.model.system_tasks import SystemTask, SystemTaskResult
from tenuto.store.protocol import ExecutionFilter
from tenuto.store.urls import open_store
from tenuto.testing.clock import ManualClock
from tenuto.testing.faults import FaultyStore, ProcessDiedError

#: What a worker makes of its task: the output, or None to fail the attempt.
Work = Callable[[Json], dict[str, Json] | None]


class Host:
    """Runs system tasks and scripts of a world; implements `tenuto.engine.graph_host.GraphHost`."""

    types = frozenset(("HTTP",))

    def __init__(self, world: GraphWorld) -> None:
        self._world = world

    async def run(self, task: SystemTask) -> SystemTaskResult:
        self._world.ran[task.task_id] += 1
        await asyncio.sleep(0)
        return SystemTaskResult("COMPLETED", {"response": {"body": task.input["x"]}})

    async def evaluate(self, request: Evaluate) -> Json:
        await asyncio.sleep(0)
        return self._world.scripts[request.script](request.value)

    def with_secrets(self, input: dict[str, Json], template: dict[str, Json]) -> tuple[dict[str, Json], frozenset[str]]:
        return input, frozenset()


class GraphWorld:
    """`url` names the store. Each `live` is the life of one process on it."""

    def __init__(
        self,
        url: str,
        definitions: list[Json],
        task_defs: list[Json],
        work: dict[str, Work],
        scripts: dict[str, Callable[[Json], Json]] | None = None,
    ) -> None:
        self.url = url
        self.definitions = [decode_workflow_def(definition) for definition in definitions]
        self.task_defs = [decode_task_def(definition) for definition in task_defs]
        self.work = work
        self.scripts = scripts or {}
        self.clock = ManualClock()
        #: Task ids whose end was acknowledged, and how often each system task ran.
        self.acknowledged: set[str] = set()
        self.ran: Counter[str] = Counter()
        self._random = random.Random(1)
        # As long as it exists, a memory store of this name does.
        self._anchor = open_store(url)

    async def live(
        self, inject: Callable[[FaultyStore], None] = lambda store: None, *, cached: int = 1000
    ) -> tuple[FaultyStore, bool]:
        """One life: an engine and workers, until the workflow "main" has ended or the process dies. Returns the store
        and whether the workflow has ended."""
        store = FaultyStore(open_store(self.url))
        inject(store)
        task = asyncio.create_task(self._life(store, cached))
        ticker = asyncio.create_task(self._tick())
        try:
            async with asyncio.timeout(10):
                await asyncio.wait({task})
        finally:
            ticker.cancel()
            task.cancel()
        try:
            await task
        except* (ProcessDiedError, RPCError, asyncio.CancelledError):
            assert store.dead
        return store, not task.cancelled() and task.exception() is None

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.001)
            self.clock.advance(0.5)

    async def _life(self, store: FaultyStore, cached: int) -> None:
        await store.open()
        gateway = Gateway(store, self.clock, Limits(), id_source(self.clock, self._random), retention=1e6)
        try:
            engine = await gateway.acquire()
            for definition in self.definitions:
                await insist(
                    lambda definition=definition: engine.graphs.catalog.put_workflow(definition, overwrite=True)
                )
            for task_def in self.task_defs:
                await insist(lambda task_def=task_def: engine.graphs.catalog.put_task(task_def))
            engine.serve_graphs(Host(self), cached)
            first = self.definitions[0]
            snapshot = engine.graphs.catalog.snapshot_of(first)
            body = GraphStart(first.name, 1, snapshot, {"x": 1}, existing_is_fine=True)
            started = await insist(lambda: gateway.request(ExecutionRef("main"), body))
            assert isinstance(started, Started), started
            async with asyncio.TaskGroup() as group:
                workers = [group.create_task(self._worker(gateway, engine.graphs, kind)) for kind in self.work]
                await _ended(engine.graphs)
                for worker in workers:
                    worker.cancel()
        finally:
            await gateway.release()
            await store.close()

    async def _worker(self, gateway: Gateway, graphs: Graphs, kind: str) -> None:
        """Polls, works, and repeats what is not acknowledged."""
        while True:
            try:
                found = await graphs.queues.poll(kind, "", "worker", 2, 0.01, render).future
            except StoreError:
                continue
            except asyncio.CancelledError:
                current = asyncio.current_task()
                if current is not None and current.cancelling():
                    raise
                continue  # the queue was cleared: the engine started over
            for task in map(decode_json, found):
                await self._do(gateway, graphs, task)

    async def _do(self, gateway: Gateway, graphs: Graphs, task: Json) -> None:
        assert task["taskId"] not in self.acknowledged, "an acknowledged task was handed out again"
        stored = (await graphs.load([task["workflowInstanceId"]]))[0]
        assert stored is not None, "a task was handed out before its workflow was recorded"
        recorded = [each for each in stored.state.tasks.values() if each.task_id == task["taskId"]]
        assert recorded, "a task was handed out before it was recorded"
        assert recorded[0].status != "SCHEDULED", "a task was handed out before that was recorded"
        output = self.work[task["taskType"]](task)
        status = "FAILED" if output is None else "COMPLETED"
        update = TaskUpdate(status, task_id=task["taskId"], output=output or {}, reason="as the test wants")
        answer = await insist(lambda: gateway.request(ExecutionRef(task["workflowInstanceId"]), update))
        if isinstance(answer, TaskUpdated):
            self.acknowledged.add(task["taskId"])

    # -- looking at what is recorded -----------------------------------------------------------------------------------

    async def check(self) -> Json:
        """All executions are well-formed and have ended; searches agree. Returns the workflow "main"."""
        store = open_store(self.url)
        await store.open()
        try:
            rows = await store.find(ExecutionFilter(), 1000, 0)
            refs = [ExecutionRef(row.workflow_id) for row in rows]
            loaded = await store.load(refs, closed_history=True)
            indexed = await store.search_workflows(SearchQuery(start=0, size=1000))
            open_tasks = await store.search_tasks(
                SearchQuery(condition=Compare("status", "=", "IN_PROGRESS"), start=0, size=1000)
            )
        finally:
            await store.close()
        views: dict[str, Json] = {}
        for row, stored in zip(rows, loaded, strict=True):
            assert stored is not None
            ids = [event.event_id for event in stored.graph_events]
            assert ids == list(range(1, len(ids) + 1))
            graph = restore(stored)
            assert graph.state.closed, f"{row.workflow_id} has not ended"
            assert row.status is not ExecutionStatus.RUNNING
            assert row.wake_at is None
            views[row.workflow_id] = decode_json(encode_json(workflow_view(graph)))
        assert {row.workflow_id: row.status for row in indexed.rows} == {
            id: view["status"] for id, view in views.items()
        }
        assert open_tasks.total == 0
        completed = {
            task["taskId"] for view in views.values() for task in view["tasks"] if task["status"] != "CANCELED"
        }
        assert {task_id for task_id, _ in self.ran.items()} <= completed | self.acknowledged
        return views["main"]


def render(taken: GraphTaken) -> bytes:
    return taken.view


async def _ended(graphs: Graphs) -> None:
    while True:
        try:
            view = await graphs.look("main", lambda graph: graph.state.closed)
        except StoreError:
            continue
        if view:
            return
        await asyncio.sleep(0.002)


async def insist(request: Callable[[], Any]) -> Any:
    """Repeat an idempotent request until the store takes it."""
    while True:
        try:
            return await request()
        except StoreError:
            await asyncio.sleep(0)
        except RPCError as error:
            if error.status is not RPCStatusCode.UNAVAILABLE:
                raise
            raise ProcessDiedError(str(error)) from None
