"""What a step with `sensitive="output"` returns is recorded but not shown."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from tenuto.client import Client
from tenuto.steps import Workflow, WorkflowEntrypoint, WorkflowStep
from tenuto.worker import Worker
from tests.integration.cli_processes import shop_with


class Signs(WorkflowEntrypoint):
    async def run(self, event: Any, step: WorkflowStep) -> Any:
        token = await step.do("log in", {"sensitive": "output"}, lambda: "a very secret token")
        return await step.do("sign", lambda: len(token))


async def test_a_sensitive_output_reaches_the_code_but_no_listing(tmp_path: Path) -> None:
    with shop_with(tmp_path, "") as shop:
        url = f"sqlite:///{shop.folder}/signs.db"
        async with (
            await Client.connect(url) as client,
            Worker(client, workflows=[Signs], max_cached_workflows=0),
        ):
            await Workflow(client, Signs).create(id="signs-1")
            assert await client.get_workflow_handle("signs-1").result() == 19
        exported = shop.do("history", "signs-1", "--json", "--db", url)
        shown = shop.do("show", "signs-1", "--db", url)
    secret = base64.b64encode(b'"a very secret token"').decode()
    redacted = base64.b64encode(b'"[redacted]"').decode()
    assert (secret in exported, redacted in exported) == (False, True)
    assert base64.b64encode(b"19").decode() in exported
    assert "secret" not in shown
