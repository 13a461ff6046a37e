"""`tenuto server --code` stops while an activity is still at work: graphs lose nothing by it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from tenuto import activity, workflow
from tenuto.client import Client
from tenuto.server.app import build_app
from tenuto.server.run import opened
from tenuto.server.settings import Settings
from tenuto.worker import Worker
from tests.support.conductor import Conductor, inline, simple
from tests.support.conductor import workflow as graph
from tests.support.durable import serving

STARTED, GATE = asyncio.Event(), asyncio.Event()


@activity.defn
async def gate() -> str:
    STARTED.set()
    await GATE.wait()
    return "through"


@workflow.defn
class Gate:
    @workflow.run
    async def run(self) -> str:
        return await gate()


async def test_scripts_run_for_as_long_as_activities_may(tmp_path: Path) -> None:
    STARTED.clear()
    GATE.clear()
    settings = Settings(db=f"sqlite:///{tmp_path}/tenuto.db")
    clients: list[Client] = []

    def make_worker(client: Client) -> Worker:
        clients.append(client)
        return Worker(client, workflows=[Gate], activities=[gate], graceful_shutdown_timeout=30)

    shop = opened(settings, make_worker=make_worker)
    services = await shop.__aenter__()
    app = httpx.ASGITransport(build_app(services))
    async with httpx.AsyncClient(transport=app, base_url="http://server/api") as http:
        conductor = Conductor(services, http)
        id = await conductor.run(graph("w", simple("work"), inline("script", "1 + 1")))
        task = await conductor.poll("work")
        await clients[0].start_workflow(Gate.run, id="gate")
        await STARTED.wait()
        stopping = asyncio.create_task(shop.__aexit__(None, None, None))
        await asyncio.sleep(0)
        await conductor.complete(task)
        await conductor.until(id)
        assert not stopping.done()
        GATE.set()
        await stopping
    async with serving(Gate, url=settings.db) as client:
        assert await client.get_workflow_handle("gate").result() == "through"
