"""What the handlers of one server process share."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable

from tenuto.cage.cage import Cage
from tenuto.engine.clock import Clock
from tenuto.engine.engine import Engine
from tenuto.engine.gateway import Gateway
from tenuto.engine.graphs import Graphs
from tenuto.model.errors import StoreError
from tenuto.model.json_values import Json
from tenuto.server.bodies import Bodies
from tenuto.server.configuration import Configuration
from tenuto.server.event_queues import EventQueues
from tenuto.server.execution_log import ExecutionLog
from tenuto.server.execution_metrics import ExecutionMetrics
from tenuto.server.gauges import Gauges
from tenuto.server.graph_host import ServerGraphHost
from tenuto.server.metrics import Metrics
from tenuto.server.polled_tasks import PolledTasks
from tenuto.server.scheduler import Scheduler
from tenuto.server.settings import Settings, system_task_settings
from tenuto.server.status_listener import StatusListener
from tenuto.server.tracing_setup import tracing_for
from tenuto.server.webhook_deliveries import Deliveries
from tenuto.server.workflow_tasks import WorkflowTasks
from tenuto.store.protocol import Rank, Store
from tenuto.system_tasks.registry import SystemTasks


class Services:
    """Made by `run.opened`; handlers find it in `Call.services`. `stopping` is set when the server is asked to stop:
    whatever waits for something answers at once then."""

    engine: Engine

    def __init__(self, gateway: Gateway, settings: Settings) -> None:
        self.gateway = gateway
        self.settings = settings
        self.metrics = Metrics()
        self.tracing = tracing_for(settings, os.environ)
        self.stopping = asyncio.Event()
        self.bodies = Bodies(settings.body_limit)
        self.configuration = Configuration(gateway.store, gateway.clock, settings)
        self.gate = self.configuration.gate
        self.cage = Cage()
        self.events = EventQueues(self)
        self.scheduler = Scheduler(self)
        self.status_listener = StatusListener(self)
        self.deliveries = Deliveries(self)
        self.system_tasks = SystemTasks(system_task_settings(settings), self.cage, self.events.publish)
        self.render_task = PolledTasks(self)
        self._log_number = 0

    @property
    def store(self) -> Store:
        return self.gateway.store

    @property
    def clock(self) -> Clock:
        return self.gateway.clock

    @property
    def new_id(self) -> Callable[[], str]:
        return self.gateway.new_id

    @property
    def graphs(self) -> Graphs:
        """The graph executions of this process' engine."""
        return self.engine.graphs

    @property
    def failed(self) -> asyncio.Future[None]:
        """Done, with the reason, when the engine can't go on."""
        return self.engine.failed

    @property
    def is_open(self) -> bool:
        """Whether everybody may do everything, because there is no access key."""
        return self.configuration.directory.is_open

    def unready(self) -> str | None:
        """Why the server takes no work now; None if it does."""
        if self.stopping.is_set():
            return "the server is stopping"
        if self.failed.done():
            return "the engine has failed"
        return None

    def now_ms(self) -> int:
        """The time in milliseconds since the epoch, as the wire has it."""
        return self.clock.now() // 1_000_000

    def next_log_number(self) -> int:
        """Numbers that grow, also over restarts: lines of logs keep their order by them."""
        self._log_number = max(self._log_number + 1, self.clock.now())
        return self._log_number

    async def fresh(self) -> None:
        """See all definitions and configuration that were acknowledged before the call, by whichever server."""
        if self.engine.ownership.peers:
            await asyncio.gather(self.graphs.catalog.fresh(), self.configuration.fresh())

    async def workflow_of(self, task_id: str) -> str | None:
        """The id of the workflow that a task is of; None if there is no such task."""
        await self.graphs.recorded()
        found = (await self.store.find_tasks([task_id]))[0]
        return None if found is None else found.workflow_id

    async def start(self, patience: float) -> None:
        """Start the engine; waits at most `patience` seconds for a process that is about to give the store up."""
        self.engine = await self.gateway.acquire(patience, Rank.SERVER)
        self._observe()
        try:
            await self.configuration.open()
            await self._serve_graphs()
        except BaseException:
            await self.gateway.release()
            raise
        self.engine.spawn(self.configuration.watch(), "configuration")
        self.engine.spawn(self.bodies.watch(), "slow bodies")
        self.engine.spawn(self.events.run(), "event queues")
        self.engine.observers.append(self.status_listener)
        self.engine.spawn(self.status_listener.run(), "status listener")
        self.engine.spawn(self.scheduler.run(), "scheduler")
        self.engine.spawn(self.deliveries.run(), "webhook deliveries")

    def _observe(self) -> None:
        executions = ExecutionMetrics()
        self.engine.observers += [executions, ExecutionLog()]
        if self.tracing is not None:
            self.engine.observers.append(self.tracing)
        self.metrics.registry.register(executions)
        self.metrics.registry.register(Gauges(self))

    async def _serve_graphs(self) -> None:
        catalog = self.graphs.catalog
        await catalog.load()
        catalog.environment = self.configuration.environment.lookup
        catalog.schema = self._schema
        catalog.rate_limit = self.configuration.tags.rate_limit
        secret = self.configuration.secrets.lookup
        host = ServerGraphHost(self.cage, self.system_tasks, WorkflowTasks(self), secret, self.tracing)
        self.engine.serve_graphs(host, self.settings.cached_workflows)

    def _schema(self, name: str, version: int) -> Json:
        schema = self.configuration.schemas.find(name, version)
        return None if schema is None else schema.data

    async def stop(self) -> None:
        """Stop the engine. Polls that wait should have been released before (`release_pollers`)."""
        self.stopping.set()
        if not self.failed.done():
            await self.graphs.queues.seeker.settle()
        with contextlib.suppress(StoreError):
            await self.graphs.queues.peers.farewell()
        await self.gateway.release()
        await self.system_tasks.aclose()
        await self.cage.__aexit__(None, None, None)
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)

    def release_pollers(self) -> None:
        """Answer all polls that wait, now."""
        self.stopping.set()
        self.graphs.queues.release_pollers()
