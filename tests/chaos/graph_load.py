"""Graphs with their clients, which go to one server after the other, and what must hold of the graphs in the end."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import httpx

from tests.crash.server_load import RESPONSE_TIMEOUT, Load, expected

Json = Any

#: Seconds that a client waits for an answer until it asks another server.
TIMEOUT = 6.0
#: Kinds of tasks that workers poll.
POLLED = ("work", "flaky")


class GraphLoad(Load):
    """The clients of several servers: each request goes to the next one, until one answers."""

    def __init__(self, urls: Iterable[str], service: str, seed: int) -> None:
        super().__init__("http://nowhere", service, seed)
        self.repeated = 0
        """Requests that had to be repeated."""
        self._clients = [httpx.AsyncClient(base_url=f"{url}/api", timeout=TIMEOUT) for url in urls]
        self._turns = itertools.cycle(self._clients)

    async def call(self, method: str, path: str, body: Json = None, **query: Any) -> Json:
        while True:
            client = next(self._turns)
            try:
                response = await client.request(method, path, json=body, params=query or None)
            except httpx.TransportError:
                response = None
            if response is not None and response.status_code not in (503, 504):
                break
            self.repeated += 1
            await asyncio.sleep(0.05)
        said = f"{method} {client.base_url}{path}: {response.status_code} {response.text}"
        assert response.status_code in (200, 204), said
        return response.json() if response.content[:1] in (b"{", b"[") else response.text

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()


async def all_completed(load: GraphLoad, count: int, patience: float) -> dict[str, Json]:
    """All graphs by id, sub-workflows included, once those that were started have come to their ends."""
    deadline = time.monotonic() + patience
    while len(load.started) < count:
        assert time.monotonic() < deadline, f"only {len(load.started)} of {count} graphs were started"
        await asyncio.sleep(0.05)
    graphs: dict[str, Json] = {}
    for name, number, workflow_id in load.started:
        while (view := await load.call("GET", f"/workflow/{workflow_id}"))["status"] == "RUNNING":
            assert time.monotonic() < deadline, f"{name} {number} is stuck: {view}"
            await asyncio.sleep(0.2)
        graphs[workflow_id] = view
        for task in view["tasks"]:
            if task.get("subWorkflowId"):
                graphs[task["subWorkflowId"]] = await load.call("GET", f"/workflow/{task['subWorkflowId']}")
    return graphs


def outputs(load: GraphLoad, graphs: dict[str, Json]) -> list[str]:
    """Every graph has the right output, and was started once."""
    faults = []
    for name, number, workflow_id in load.started:
        view = graphs[workflow_id]
        if view["status"] != "COMPLETED" or view["output"] != {"value": expected(name, number)}:
            faults.append(f"graph {name} {number}: {view['status']} {view['output']} {view['reasonForIncompletion']}")
    if len({workflow_id for _, _, workflow_id in load.started}) != len(load.started):
        faults.append("two starts were answered with one graph")
    return faults


def hand_outs(load: GraphLoad, graphs: dict[str, Json]) -> list[str]:
    """No task is handed out twice; the next attempt comes only when the one before has failed or timed out."""
    handed_out = Counter(task["taskId"] for task in load.handed_out)
    faults = [f"task {task_id} was handed out {times} times" for task_id, times in handed_out.items() if times > 1]
    attempts: dict[tuple[str, str], list[Json]] = defaultdict(list)
    for workflow_id, view in graphs.items():
        for task in view["tasks"]:
            if task["taskType"] in POLLED:
                attempts[workflow_id, task["referenceTaskName"]].append(task)
    for (workflow_id, reference), tasks in attempts.items():
        statuses = [task["status"] for task in tasks]
        if statuses.count("COMPLETED") != 1 or statuses[-1] != "COMPLETED":
            faults.append(f"task {reference} of {workflow_id}: {statuses}")
        if [task["retryCount"] for task in tasks] != list(range(len(tasks))):
            faults.append(f"task {reference} of {workflow_id}: attempts {[task['retryCount'] for task in tasks]}")
        faults += [f"{reference} of {workflow_id}: {fault}" for task in tasks[:-1] for fault in _early_end(load, task)]
    return faults


def _early_end(load: GraphLoad, task: Json) -> list[str]:
    if task["status"] == "FAILED":
        update = load.updates.get(task["taskId"], {"status": "none that was answered"})
        return [] if update["status"] == "FAILED" else [f"FAILED, but the update was {update['status']}"]
    lasted = task["endTime"] - task["startTime"]
    if task["status"] != "TIMED_OUT" or lasted < RESPONSE_TIMEOUT * 1000:
        return [f"attempt {task['retryCount']} is {task['status']} after {lasted} ms"]
    return []


def updates(load: GraphLoad, graphs: dict[str, Json]) -> list[str]:
    """Every update that was answered is in effect, unless it came after the time-out."""
    tasks = {task["taskId"]: task for view in graphs.values() for task in view["tasks"]}
    faults = []
    for task_id, update in load.updates.items():
        task = tasks[task_id]
        kept = (task["status"], task["outputData"]) == (update["status"], update["outputData"])
        if task["status"] != "TIMED_OUT" and not kept:
            faults.append(f"the update of task {task_id} to {update['status']} was lost: it is {task['status']}")
    return faults


async def searches(load: GraphLoad, graphs: dict[str, Json]) -> list[str]:
    """Searches know the same graphs and tasks as GET: none is missing, and none was started twice."""
    found = await _all_rows(load, "/workflow/search", "workflowId")
    faults = _difference("workflow", found, {each: view["status"] for each, view in graphs.items()})
    tasks = await _all_rows(load, "/tasks/search", "taskId")
    known = {task["taskId"]: task["status"] for view in graphs.values() for task in view["tasks"]}
    return faults + _difference("task", tasks, known)


async def _all_rows(load: GraphLoad, path: str, key: str) -> dict[str, str]:
    rows: dict[str, str] = {}
    total = 1
    while len(rows) < total:
        page = await load.call("GET", path, size=5000, start=len(rows), sort=f"{key}:ASC")
        rows |= {row[key]: row["status"] for row in page["results"]}
        total = page["totalHits"]
    return rows


def _difference(what: str, found: dict[str, str], known: dict[str, str]) -> list[str]:
    differing = [key for key in found.keys() | known.keys() if found.get(key) != known.get(key)]
    return [f"{what} {key}: a search says {found.get(key)}, GET {known.get(key)}" for key in sorted(differing)[:10]]
