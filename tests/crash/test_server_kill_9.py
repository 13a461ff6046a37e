"""A real server under load is killed with SIGKILL again and again, and restarted on the same file and port: everything
that was answered holds, and everything comes to its right end."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.server_load import RESPONSE_TIMEOUT, Load, expected, service

Json = Any

WORKFLOWS = 200
KILLS = 10
#: Seconds that a server works until it is killed; every third is killed while it starts.
SOONEST, LATEST = 0.02, 0.7
STARTING = 0.6
#: Seconds for what is left after the last kill.
REST = 120


class Server:
    """`tenuto server` on one file and port, in one process after the other."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "tenuto", "server", "--port", str(self.port), "--db", "sqlite:///load.db"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TENUTO_")}
        with (self._folder / "log").open("a") as log:
            self._process = subprocess.Popen(command, cwd=self._folder, env=environment, stdout=log, stderr=log)

    async def answers(self) -> None:
        """Return when it is healthy."""
        deadline = time.monotonic() + 30
        async with httpx.AsyncClient() as client:
            while True:
                assert self._process is not None
                assert self._process.poll() is None, self.said()
                try:
                    if (await client.get(f"{self.url}/health")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                assert time.monotonic() < deadline, self.said()
                await asyncio.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def said(self) -> str:
        return (self._folder / "log").read_text()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    try:
        yield server
    finally:
        server.kill()


@pytest.mark.timeout(300)
async def test_kill_9(server: Server) -> None:
    moments = random.Random(9)
    server.start()
    await server.answers()
    async with service() as service_url:
        load = Load(server.url, service_url, seed=9)
        async with load.at_work(WORKFLOWS):
            for kill in range(KILLS):
                for _ in range(WORKFLOWS // KILLS):
                    load.permits.release()
                if kill % 3 == 2:
                    await asyncio.sleep(moments.uniform(SOONEST, STARTING))
                else:
                    await server.answers()
                    await asyncio.sleep(moments.uniform(SOONEST, LATEST))
                server.kill()
                server.start()
            await server.answers()
            workflows = await all_completed(load)
            await check_searches(load, workflows)
    check_outputs(load, workflows)
    check_hand_outs(load, workflows)
    check_updates(load, workflows)
    assert "Traceback" not in server.said(), server.said()


async def all_completed(load: Load) -> dict[str, Json]:
    """All workflows by id, sub-workflows included, once those that were started have come to their ends."""
    deadline = time.monotonic() + REST
    workflows: dict[str, Json] = {}
    while len(load.started) < WORKFLOWS:
        assert time.monotonic() < deadline, f"only {len(load.started)} workflows were started"
        await asyncio.sleep(0.05)
    for name, number, workflow_id in load.started:
        while True:
            view = await load.call("GET", f"/workflow/{workflow_id}")
            if view["status"] != "RUNNING":
                break
            assert time.monotonic() < deadline, f"{name} {number} is stuck: {view}"
            await asyncio.sleep(0.1)
        workflows[workflow_id] = view
        for task in view["tasks"]:
            if task.get("subWorkflowId"):
                workflows[task["subWorkflowId"]] = await load.call("GET", f"/workflow/{task['subWorkflowId']}")
    return workflows


async def check_searches(load: Load, workflows: dict[str, Json]) -> None:
    """Searches and GET agree about every workflow and every task."""
    found = await load.call("GET", "/workflow/search", size=5000)
    assert {row["workflowId"]: row["status"] for row in found["results"]} == {
        workflow_id: view["status"] for workflow_id, view in workflows.items()
    }
    rows: dict[str, str] = {}
    total = 1
    while len(rows) < total:
        page = await load.call("GET", "/tasks/search", size=5000, start=len(rows), sort="taskId:ASC")
        rows |= {row["taskId"]: row["status"] for row in page["results"]}
        total = page["totalHits"]
    assert rows == {task["taskId"]: task["status"] for view in workflows.values() for task in view["tasks"]}


def check_outputs(load: Load, workflows: dict[str, Json]) -> None:
    for name, number, workflow_id in load.started:
        view = workflows[workflow_id]
        assert view["status"] == "COMPLETED", view
        assert view["output"] == {"value": expected(name, number)}, (name, number)
    assert len({workflow_id for _, _, workflow_id in load.started}) == WORKFLOWS


def check_hand_outs(load: Load, workflows: dict[str, Json]) -> None:
    """No task is handed out twice; the next attempt comes only when the one before has failed or timed out."""
    assert max(Counter(task["taskId"] for task in load.handed_out).values()) == 1
    attempts: dict[tuple[str, str], list[Json]] = defaultdict(list)
    for workflow_id, view in workflows.items():
        for task in view["tasks"]:
            if task["taskType"] in ("work", "flaky"):
                attempts[workflow_id, task["referenceTaskName"]].append(task)
    timed_out = 0
    for tasks in attempts.values():
        assert [task["status"] for task in tasks].count("COMPLETED") == 1
        assert tasks[-1]["status"] == "COMPLETED"
        for task in tasks[:-1]:
            if task["status"] == "FAILED":
                assert load.updates[task["taskId"]]["status"] == "FAILED"
            else:
                timed_out += 1
                assert task["status"] == "TIMED_OUT"
                assert task["endTime"] - task["startTime"] >= RESPONSE_TIMEOUT * 1000
    assert timed_out > 0, "some workers disappeared"


def check_updates(load: Load, workflows: dict[str, Json]) -> None:
    """Every update that was answered is in effect, unless it came after the time-out."""
    tasks = {task["taskId"]: task for view in workflows.values() for task in view["tasks"]}
    for task_id, update in load.updates.items():
        task = tasks[task_id]
        if task["status"] != "TIMED_OUT":
            assert (task["status"], task["outputData"]) == (update["status"], update["outputData"])
