"""A graph, and a worker for its tasks that needs nothing but HTTP.

You learn:
- a graph is JSON (order.json): the server decides what comes next, and computes what needs no code of yours;
- a worker asks for tasks of a type, does them, and sends what came of them. It can be written in any language, run
  anywhere, and die at any moment: a task that it took is handed out again after its response time-out;
- what was answered 2xx is on disk. Stop the server or the worker in the middle, start it again, and the order goes on.

    tenuto server                                 in one terminal
    python -m examples.conductor.order            in another one
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import httpx

SERVER = "http://127.0.0.1:8080"
STOCK = {"book": 250, "pen": 120}


def reserve(task: dict[str, Any]) -> dict[str, Any]:
    item = task["inputData"]["item"]
    return {"reserved": item in STOCK, "price": STOCK.get(item, 0)}


def charge(task: dict[str, Any]) -> dict[str, Any]:
    # An attempt may be repeated; the task's id is the same for each hand-out, so the bank can tell.
    return {"receipt": f"{task['inputData']['cents']} cents, key {task['taskId'][:8]}"}


async def work(server: httpx.AsyncClient, type: str, do: Any) -> None:
    """Take tasks of one type and do them, for ever."""
    while True:
        # Waits up to a second for a task, and answers the moment there is one.
        answer = await server.get(f"/tasks/poll/batch/{type}", params={"count": 10, "timeout": 1000, "workerid": "me"})
        for task in answer.raise_for_status().json():
            result = {
                "taskId": task["taskId"],
                "workflowInstanceId": task["workflowInstanceId"],
                "status": "COMPLETED",
                "outputData": do(task),
            }
            (await server.post("/tasks", json=result)).raise_for_status()


async def order(server: httpx.AsyncClient, item: str, pieces: int) -> dict[str, Any]:
    """Order something and wait until the order is closed."""
    started = await server.post("/workflow/order", json={"item": item, "pieces": pieces})
    id = started.raise_for_status().text
    while True:
        workflow: dict[str, Any] = (await server.get(f"/workflow/{id}", params={"includeTasks": False})).json()
        if workflow["status"] != "RUNNING":
            return workflow
        await asyncio.sleep(0.05)


async def main(url: str = SERVER) -> None:
    definition = json.loads(Path(__file__).with_name("order.json").read_text())
    async with httpx.AsyncClient(base_url=f"{url}/api", timeout=30) as server:
        (await server.put("/metadata/workflow", json=[definition])).raise_for_status()
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(work(server, "reserve", reserve))]
            workers += [group.create_task(work(server, "charge", charge))]
            for item in ("book", "unicorn"):
                closed = await order(server, item, 2)
                print(item, closed["status"], closed["output"] or closed["reasonForIncompletion"])
            for worker in workers:
                worker.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
