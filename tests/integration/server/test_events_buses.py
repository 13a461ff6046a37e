"""Events of a message bus: handlers get what comes over a real NATS server, and only while they are active."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tenuto.server.settings import Settings
from tenuto.system_tasks.buses.bus import Message
from tenuto.system_tasks.settings import NatsSettings
from tests.integration.server.conftest import served
from tests.integration.system_tasks.brokers import free_port, nats_server
from tests.support.conductor import PATIENCE, Conductor, node, workflow

EVENT = "nats:orders.new"
HANDLER: dict[str, Any] = {
    "name": "h",
    "event": EVENT,
    "active": True,
    "actions": [{"action": "start_workflow", "start_workflow": {"name": "target", "input": {"x": "${x}"}}}],
}


async def executions(conductor: Conductor, number: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(PATIENCE):
        while True:
            found: list[dict[str, Any]] = await conductor.get("/event/execution/h")
            if len(found) >= number:
                return found
            await asyncio.sleep(0.01)


async def subscribed(conductor: Conductor, wanted: bool) -> None:
    """Wait until messages of the bus come, or come no more."""
    sources = conductor.services.events.sources
    async with asyncio.timeout(PATIENCE):
        while True:
            if (EVENT in sources.subscribed()) == wanted and sources.problem(EVENT) is None:
                return
            await asyncio.sleep(0.01)


async def test_handlers_follow_a_bus(tmp_path: Path) -> None:
    port = free_port()
    settings = Settings(db="memory://", port=0, nats=NatsSettings(servers=(f"nats://127.0.0.1:{port}",)))
    async with nats_server(tmp_path, port), served(settings) as running:
        conductor = Conductor(running.services, running.client)
        buses = running.services.system_tasks.buses
        await conductor.register(workflow("target", node("NOOP", "nothing")))
        await conductor.post("/event", HANDLER)
        await subscribed(conductor, True)
        for payload in (b'{"x": 1}', b"[2]", b"no json"):
            await buses.publish(EVENT, Message(f"m-{payload.decode()}", payload))
        await buses.publish(EVENT, Message('m-{"x": 1}', b'{"x": 1}'))
        found = await executions(conductor, 3)
        assert {each["messageId"]: each["payload"] for each in found} == {
            'm-{"x": 1}': {"x": 1},
            "m-[2]": {"payload": [2]},
            "m-no json": {"payload": "no json"},
        }
        await conductor.call("PUT", "/event", HANDLER | {"active": False})
        await subscribed(conductor, False)


async def test_a_bus_that_is_not_there(tmp_path: Path) -> None:
    settings = Settings(db="memory://", port=0, nats=NatsSettings(servers=(f"nats://127.0.0.1:{free_port()}",)))
    async with served(settings) as running:
        conductor = Conductor(running.services, running.client)
        await conductor.post("/event", HANDLER)
        async with asyncio.timeout(PATIENCE):
            while True:
                [stats] = (await conductor.get("/event/execution"))["results"]
                if "orders.new" in stats.get("problem", ""):
                    break
                await asyncio.sleep(0.01)
