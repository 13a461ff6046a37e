"""A worker or client that has the file to itself leaves graphs to the next server."""

from __future__ import annotations

from pathlib import Path

from tenuto.client import Client
from tenuto.model.policies import ExecutionStatus
from tenuto.server.settings import Settings
from tenuto.worker import Worker
from tests.integration.notations.flows import ACTIVITIES, WORKFLOWS
from tests.integration.server.conftest import served
from tests.support.conductor import Conductor, node, simple, workflow

SCRIPT = node("INLINE", "add", {"a": "${workflow.input.a}", "expression": "$.a + 1"})


async def test_what_is_recorded_without_a_server_goes_on_with_one(tmp_path: Path) -> None:
    db = f"sqlite:///{tmp_path}/tenuto.db"
    async with served(Settings(db=db, port=0)) as running:
        conductor = Conductor(running.services, running.client)
        await conductor.register(workflow("sum", SCRIPT), workflow("by_hand", simple("hand")))
        await conductor.start("by_hand", correlationId="first")

    async with await Client.connect(db) as client, Worker(client, workflows=WORKFLOWS, activities=ACTIVITIES):
        await client.start_workflow("Calls", args=["sum", {"a": 41}], id="parent")
        await client.start_workflow("by_hand", id="stopped")
        await client.get_workflow_handle("stopped").terminate(reason="enough")
        described = await client.get_workflow_handle("stopped").describe()
        assert described.status is ExecutionStatus.TERMINATED
        assert (await client.get_workflow_handle("parent").describe()).status is ExecutionStatus.RUNNING

    async with served(Settings(db=db, port=0)) as running:
        conductor = Conductor(running.services, running.client)
        async with Worker(Client(running.services.gateway), workflows=WORKFLOWS, activities=ACTIVITIES) as _:
            handle = Client(running.services.gateway).get_workflow_handle("parent")
            assert await handle.result() == {"result": 42}
        task = await conductor.poll("hand")
        assert (await conductor.workflow(task["workflowInstanceId"]))["correlationId"] == "first"
        assert await conductor.status("stopped") == "TERMINATED"
