"""Break a server at every write while events, schedules and webhooks are at work: each starts what it should, once."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

import pytest

from tenuto.engine.gateway import Gateway
from tenuto.engine.ids import id_source
from tenuto.graph.definitions import decode_workflow_def
from tenuto.model.errors import RPCError, StoreError
from tenuto.model.json_values import Json
from tenuto.model.limits import Limits
from tenuto.model.search import Compare, SearchQuery
from tenuto.server.decoding import converted
from tenuto.server.errors import ApiError
from tenuto.server.event_handlers import EventHandler
from tenuto.server.event_records import PENDING as PENDING_EVENTS
from tenuto.server.schedules import WorkflowSchedule
from tenuto.server.services import Services
from tenuto.server.settings import Settings
from tenuto.server.starts import StartWorkflowRequest, start
from tenuto.server.webhook_configs import WebhookConfig
from tenuto.server.webhook_deliveries import PENDING as PENDING_DELIVERIES
from tenuto.store.urls import open_store
from tenuto.testing.clock import ManualClock
from tenuto.testing.faults import FaultyStore, ProcessDiedError

Life = Callable[[Services], "asyncio.Future[None]"]

MOST_WRITES = 60
FAULTS: dict[str, Callable[[FaultyStore, str, int], None]] = {
    "fail-before": lambda store, verb, n: store.fail(verb, n),
    "fail-after": lambda store, verb, n: store.fail(verb, n, after=True),
    "die-before": lambda store, verb, n: store.die(verb, n),
    "die-after": lambda store, verb, n: store.die(verb, n, after=True),
}

#: What may be tried again: nothing was acknowledged.
REFUSED = (StoreError, RPCError, ApiError)


def definition(name: str, type: str, reference: str, **more: Json) -> Json:
    task = {"name": reference, "taskReferenceName": reference, "type": type, "inputParameters": {}, **more}
    return {"name": name, "version": 1, "tasks": [task]}


DEFINITIONS = [
    definition("by_event", "NOOP", "n"),
    definition("by_schedule", "NOOP", "n"),
    definition("by_webhook", "NOOP", "n"),
    definition("publisher", "EVENT", "tell", sink="conductor:news"),
    definition("receiver", "WAIT_FOR_WEBHOOK", "hook", inputParameters={"matches": {"a": 1}}),
]
HANDLER = {
    "name": "h",
    "event": "conductor:publisher:news",
    "active": True,
    "actions": [{"action": "start_workflow", "start_workflow": {"name": "by_event"}}],
}
SCHEDULE = {"name": "s", "cronExpression": "0 * * * * *", "startWorkflowRequest": {"name": "by_schedule"}}
WEBHOOK = {
    "id": "w",
    "name": "w",
    "verifier": "HEADER_BASED",
    "headers": {"X": "x"},
    "receiverWorkflowNamesToVersions": {"receiver": 1},
    "workflowsToStart": {"by_webhook": 1},
}


class World:
    """A store that outlives its servers, and the clock that they share."""

    def __init__(self) -> None:
        self.url = f"memory://{uuid4()}"
        self.clock = ManualClock()
        self.delivered = False
        self._anchor = open_store(self.url)
        key = base64.urlsafe_b64encode(bytes(32)).decode()
        self._settings = Settings(db=self.url, secrets_key=key)

    async def live(
        self, scenario: Callable[[Services], object], inject: Callable[[FaultyStore], None] = lambda store: None
    ) -> FaultyStore:
        """One life of a server: until `scenario` is through, or its process dies."""
        store = FaultyStore(open_store(self.url))
        inject(store)
        await store.open()
        gateway = Gateway(store, self.clock, Limits(), id_source(self.clock), retention=1e9)
        services = Services(gateway, self._settings)
        try:
            async with asyncio.timeout(20):
                await services.start(1.0)
                await self._until_dead(store, scenario, services)
        except (ProcessDiedError, *REFUSED):
            assert store.dead
        finally:
            with suppress(Exception):
                await services.stop()
            await store.close()
        return store

    async def _until_dead(self, store: FaultyStore, scenario: Callable[[Services], object], services: Services) -> None:
        task = asyncio.ensure_future(scenario(services))  # type: ignore[arg-type]
        try:
            while not task.done() and not store.dead:
                await asyncio.wait({task}, timeout=0.01)
        finally:
            task.cancel()
        if task.done() and not task.cancelled():
            task.result()

    async def configure(self, services: Services) -> None:
        for each in DEFINITIONS:
            await services.graphs.catalog.put_workflow(decode_workflow_def(each), overwrite=True)
        configuration = services.configuration
        await configuration.event_handlers.put("h", converted(HANDLER, EventHandler))
        await configuration.webhooks.save(converted(WEBHOOK, WebhookConfig))
        await configuration.schedules.save(converted(SCHEDULE, WorkflowSchedule), "", services.now_ms())
        await start(services, StartWorkflowRequest(name="receiver"))

    async def work(self, services: Services) -> None:
        """Publish, let a minute pass, deliver; and wait until all that follows from it has happened."""
        request = StartWorkflowRequest(name="publisher", idempotency_key="once", idempotency_strategy="RETURN_EXISTING")
        await _insist(lambda: start(services, request))
        self.clock.advance(60)
        while not self.delivered:
            webhook = services.configuration.webhooks.get("w")
            assert webhook is not None
            with suppress(*REFUSED):
                await services.deliveries.take(webhook, {"a": 1})
                self.delivered = True
        while not await self._quiet(services):
            self.clock.advance(1)  # for what is tried again after a while
            await asyncio.sleep(0.002)

    async def _quiet(self, services: Services) -> bool:
        try:
            pending = [await services.store.documents(name) for name in (PENDING_EVENTS, PENDING_DELIVERIES)]
            open_ones = await services.store.search_workflows(
                SearchQuery(condition=Compare("status", "=", "RUNNING"), size=10)
            )
        except StoreError:
            return False
        schedule = services.configuration.schedules.get("s")
        assert schedule is not None
        is_due = (schedule.next_run_time or 0) <= services.now_ms()
        return not any(pending) and not open_ones.rows and not is_due

    async def started(self, services: Services, name: str) -> int:
        query = SearchQuery(condition=Compare("workflow_type", "=", name), size=10)
        return (await services.store.search_workflows(query)).total


async def _insist(work: Callable[[], object]) -> None:
    while True:
        with suppress(*REFUSED):
            await work()  # type: ignore[misc]
            return
        await asyncio.sleep(0)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("verb", ["commit", "put_document"])
async def test_every_write(verb: str, fault: str) -> None:
    for number in range(1, MOST_WRITES):
        world = World()
        await world.live(world.configure)
        begun = world.clock.now()
        store = await world.live(
            world.work,
            lambda store, number=number: FAULTS[fault](store, verb, number),  # type: ignore[misc]
        )

        async def check(services: Services, world: World = world, begun: int = begun) -> None:
            await world.work(services)
            minutes = (services.clock.now() - begun) // 60_000_000_000
            records = await services.scheduler.runs.records.all()
            assert await world.started(services, "by_event") == 1
            deliveries = await services.deliveries.records.all()
            assert 1 <= await world.started(services, "by_webhook") == len(deliveries)
            assert 1 <= await world.started(services, "by_schedule") <= minutes
            assert await world.started(services, "by_schedule") == len({each.scheduled_time for each in records})
            assert [each.status for each in await services.events.records.executions.all()] == ["COMPLETED"]

        await world.live(check)
        if not store.happened:
            assert number > 1
            return
    raise AssertionError(f"there are more than {MOST_WRITES} writes")
