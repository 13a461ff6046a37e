"""`tenuto server --code`: graphs and durable code with one command on one file; and what the other commands show."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.cli_processes import Shop, shop_with, until
from tests.support.conductor import node, simple, sub_workflow, workflow

FLOWS = """
    import asyncio
    from pathlib import Path

    from tenuto import activity, workflow


    @activity.defn
    async def double(number: int) -> int:
        return 2 * number


    @workflow.defn
    class Double:
        @workflow.run
        async def run(self, order: dict[str, int]) -> int:
            return await double(order["number"])


    @activity.defn(retry_policy=None)
    async def gate() -> str:
        Path("effects").open("a").write("at the gate\\n")
        while not Path("opened").exists():
            await asyncio.sleep(0.01)
        return "through"


    @workflow.defn
    class Gate:
        @workflow.run
        async def run(self, order: dict[str, int]) -> str:
            return await gate()


    @workflow.defn
    class Outer:
        @workflow.run
        async def run(self, number: int) -> int:
            answer = await workflow.execute_child_workflow("sum", {"number": number})
            return answer["total"]
"""
SUM = workflow(
    "sum",
    sub_workflow("call", "Double", {"number": "${workflow.input.number}"}),
    node("INLINE", "add", {"n": "${call.output.result}", "evaluatorType": "javascript", "expression": "$.n + 1"}),
    outputParameters={"total": "${add.output.result}"},
)
GATED = workflow("gated", sub_workflow("call", "Gate"))


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with shop_with(tmp_path, FLOWS) as made:
        yield made


def begin(shop: Shop) -> tuple[subprocess.Popen[str], httpx.Client]:
    said = len(shop.said()) if (shop.folder / "stderr").exists() else 0
    process = shop.begin("server", "--port", "0", "--code", "flows.py")
    until(lambda: "http://" in shop.said()[said:] or process.poll() is not None)
    found = re.search(r"(http://\S+)", shop.said()[said:])
    assert found, shop.said()
    return process, httpx.Client(base_url=f"{found[1]}/api", timeout=30)


def register(client: httpx.Client, *definitions: Any) -> None:
    client.put("/metadata/workflow", json=list(definitions)).raise_for_status()


def test_graphs_and_code_call_each_other(shop: Shop) -> None:
    process, client = begin(shop)
    with client:
        register(client, SUM, workflow("polled", simple("by_hand")))
        # Durable code that calls a graph that calls durable code, from another process.
        assert shop.do("start", "Outer", "--input", "20", "--id", "outer", "--wait") == "41\n"
        assert shop.do("start", "polled", "--input", '{"a": 1}', "--id", "waits").startswith("started polled waits")
        assert client.get("/workflow/waits").json()["input"] == {"a": 1}

    listed = shop.do("list")
    assert [line.split()[1] for line in listed.splitlines()] == ["polled", "Double", "sum", "Outer"]
    shown = shop.do("show", "waits")
    assert "graph, version 1" in shown
    assert "waits for task by_hand" in shown
    described = json.loads(shop.do("show", "waits", "--json"))
    assert described["pending_activities"][0]["activity_id"] == "by_hand"
    shop.do("signal", "waits", "go", code=1)
    assert "waits is a graph, which knows no signal" in shop.said()
    shop.do("history", "waits", code=1)
    assert "waits is a graph" in shop.said()
    shop.do("terminate", "waits", "--reason", "enough")
    assert "terminated: enough" in shop.do("show", "waits")

    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_a_finished_graph_is_shown_task_by_task(shop: Shop) -> None:
    process, client = begin(shop)
    with client:
        register(client, SUM)
        id = client.post("/workflow/sum", json={"number": 4}).text
        until(lambda: client.get(f"/workflow/{id}").json()["status"] == "COMPLETED")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    lines = shop.do("show", id).splitlines()
    assert "sum  COMPLETED" in lines[0]
    assert "call (SUB_WORKFLOW" in lines[1]
    assert "add (INLINE)" in lines[2]
    assert lines[-1] == 'result   {"total": 9}'


def test_a_kill_while_the_code_runs_loses_nothing(shop: Shop) -> None:
    process, client = begin(shop)
    with client:
        register(client, GATED)
        id = client.post("/workflow/gated", json={}).text
    until(lambda: shop.effects() == ["at the gate"])
    process.kill()
    process.wait(10)
    shop.open_gate()
    # Without a server the graph can be seen, and started; it goes on with the next server.
    assert "RUNNING" in shop.do("show", id)
    shop.do("start", "gated", "--id", "second")
    assert "waits for a server" in shop.do("show", "second")
    process, client = begin(shop)
    with client:
        for each in (id, "second"):
            until(lambda id=each: client.get(f"/workflow/{id}").json()["status"] == "COMPLETED")
            assert client.get(f"/workflow/{each}").json()["output"]["result"] == "through"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_code_that_can_not_be_loaded_is_one_clear_line(shop: Shop) -> None:
    shop.do("server", "--port", "0", "--code", "none.py", code=2)
    assert shop.said() == "tenuto: there is no file none.py\n"
