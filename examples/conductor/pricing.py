"""A graph that calls durable code, and durable code that calls a graph: one command, one file.

You learn:
- a SUB_WORKFLOW (quote.json) may name a workflow that is written in Python; what it returns is the task's output, under
  `result` if it isn't an object;
- durable code starts a graph by its name, like any other child, and gets the graph's output;
- `tenuto server --code FILE` serves both. A crash loses neither side: what was on record goes on.

    tenuto server --code examples/conductor/pricing.py       in one terminal
    python -m examples.conductor.pricing                     in another one
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import httpx

from tenuto import activity, workflow

SERVER = "http://127.0.0.1:8080"


@activity.defn
async def list_price(item: str) -> int:
    return {"book": 250, "pen": 120}.get(item, 1000)


@workflow.defn
class Price:
    """What a graph calls."""

    @workflow.run
    async def run(self, order: dict[str, Any]) -> int:
        price = await list_price(order["item"])
        return order["pieces"] * price * (9 if order["pieces"] >= 10 else 10) // 10


@workflow.defn
class Purchase:
    """Calls a graph, and is called by one itself: the two nest as deep as you like."""

    @workflow.run
    async def run(self, order: dict[str, Any]) -> str:
        quote = await workflow.execute_child_workflow("quote", order)
        return f"{order['pieces']} x {order['item']} for {quote['cents']} cents, approved by {quote['by']}"


PURCHASE = {
    "name": "purchase",
    "version": 1,
    "schemaVersion": 2,
    "tasks": [
        {
            "name": "buy",
            "taskReferenceName": "buy",
            "type": "SUB_WORKFLOW",
            "subWorkflowParam": {"name": "Purchase"},
            "inputParameters": {"item": "${workflow.input.item}", "pieces": "${workflow.input.pieces}"},
        }
    ],
    "outputParameters": {"said": "${buy.output.result}"},
}


async def main(url: str = SERVER) -> None:
    quote = json.loads(Path(__file__).with_name("quote.json").read_text())
    async with httpx.AsyncClient(base_url=f"{url}/api", timeout=30) as server:
        (await server.put("/metadata/workflow", json=[quote, PURCHASE])).raise_for_status()
        id = (await server.post("/workflow/purchase", json={"item": "book", "pieces": 12})).raise_for_status().text
        await approve(server)
        while True:
            closed = (await server.get(f"/workflow/{id}")).json()
            if closed["status"] != "RUNNING":
                break
            await asyncio.sleep(0.05)
        print(closed["status"], closed["output"]["said"])


async def approve(server: httpx.AsyncClient) -> None:
    """A person finds the task that waits for somebody, and completes it."""
    while True:
        query = {"query": "taskType = 'HUMAN' AND status = 'IN_PROGRESS'"}
        found = (await server.get("/tasks/search", params=query)).raise_for_status().json()["results"]
        if found:
            break
        await asyncio.sleep(0.05)
    for task in found:
        result = {"workflowInstanceId": task["workflowId"], "taskId": task["taskId"], "status": "COMPLETED"}
        (await server.post("/tasks", json=result | {"outputData": {"by": "Ada"}})).raise_for_status()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
