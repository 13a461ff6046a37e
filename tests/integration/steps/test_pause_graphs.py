"""A handle pauses and deletes graphs, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenuto.client import Client
from tenuto.model.errors import RPCError, RPCStatusCode
from tenuto.server.settings import Settings
from tests.integration.server.conftest import served
from tests.support.conductor import Conductor, simple, workflow


async def test_a_graph_is_paused_and_goes_on(tmp_path: Path) -> None:
    async with served(Settings(db=f"sqlite:///{tmp_path}/tenuto.db", port=0)) as running:
        conductor = Conductor(running.services, running.client)
        await conductor.register(workflow("by_hand", simple("hand")))
        id = await conductor.start("by_hand")
        handle = Client(running.services.gateway).get_workflow_handle(id)
        await handle.pause("lunch")
        await handle.pause()
        assert await conductor.status(id) == "PAUSED"
        await handle.unpause()
        assert await conductor.status(id) == "RUNNING"
        with pytest.raises(RPCError, match="before it ends"):
            await handle.delete()
        await handle.terminate()
        await handle.delete()
        with pytest.raises(RPCError) as caught:
            await handle.describe()
        assert caught.value.status is RPCStatusCode.NOT_FOUND
