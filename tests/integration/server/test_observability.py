"""What operators see: metrics and log lines."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncIterator

import pytest

from tenuto.server.execution_metrics import MOST_NAMES, Names
from tenuto.server.logs import JsonLines
from tests.integration.server.conftest import Served, ServerMaker, one_server
from tests.support.conductor import Conductor, inline, node, simple, task_def, workflow


@pytest.fixture
async def server(make_server: ServerMaker) -> AsyncIterator[Served]:
    async with make_server() as running:
        yield running


@pytest.fixture
def conductor(server: Served) -> Conductor:
    return Conductor(server.services, server.client)


async def metrics(server: Served) -> dict[str, float]:
    """All samples, by name and labels as they are written."""
    text = (await server.client.get(f"{server.url}/metrics")).text
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def test_workflows_and_tasks_are_counted_by_type_and_status(server: Served, conductor: Conductor) -> None:
    await conductor.register(task_def("work"), workflow("good", inline("script", "1 + 1"), simple("work")))
    first = await conductor.start("good")
    second = await conductor.start("good")
    await conductor.work("work")
    await conductor.fail(await conductor.poll("work"), "no luck")
    await conductor.until(first)
    await conductor.until(second, "FAILED")
    seen = await metrics(server)
    assert seen['tenuto_workflows_started_total{type="good"}'] == 2
    assert seen['tenuto_workflows_ended_total{status="COMPLETED",type="good"}'] == 1
    assert seen['tenuto_workflows_ended_total{status="FAILED",type="good"}'] == 1
    assert seen['tenuto_workflow_seconds_count{type="good"}'] == 2
    assert seen['tenuto_tasks_scheduled_total{type="work"}'] == 2
    assert seen['tenuto_tasks_started_total{type="work"}'] == 2
    assert seen['tenuto_tasks_ended_total{status="COMPLETED",type="work"}'] == 1
    assert seen['tenuto_tasks_ended_total{status="FAILED",type="work"}'] == 1
    assert seen['tenuto_tasks_ended_total{status="COMPLETED",type="INLINE"}'] == 2
    assert seen['tenuto_task_seconds_count{type="work"}'] == 2
    assert 0 < seen['tenuto_task_wait_seconds_sum{type="work"}'] < 60
    assert seen["tenuto_commit_seconds_count"] == seen["tenuto_commit_executions_count"] > 0


@one_server
async def test_queues_as_they_are(timed: Conductor) -> None:
    root = str(timed.client.base_url).removesuffix("/").removesuffix("/api")
    await timed.register(workflow("w", simple("work")))
    ids = [await timed.start("w") for _ in range(3)]
    await timed.advance(10)
    text = (await timed.client.get(f"{root}/metrics")).text
    assert 'tenuto_queue_tasks{domain="",type="work"} 3.0' in text
    assert 9.9 < float(re.findall(r'tenuto_queue_age_seconds\{domain="",type="work"\} (\S+)', text)[0]) < 11
    await timed.poll("work")
    await timed.call("DELETE", f"/workflow/{ids[2]}")
    text = (await timed.client.get(f"{root}/metrics")).text
    assert 'tenuto_queue_tasks{domain="",type="work"} 1.0' in text
    assert "tenuto_executions_in_memory_open 2.0" in text


def test_labels_have_only_so_many_values() -> None:
    names = Names()
    for number in range(MOST_NAMES):
        assert names.of(f"workflow-{number}") == f"workflow-{number}"
    assert names.of("one more") == "other"
    assert names.of("workflow-7") == "workflow-7"


async def test_failures_are_logged_with_ids_and_without_secrets(
    server: Served, conductor: Conductor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tenuto")
    await conductor.client.put("/secrets/password", content="hunter2-hunter2")
    call = {"uri": "http://127.0.0.1:1/${workflow.secrets.password}", "method": "GET"}
    await conductor.register(
        task_def("work"),
        workflow("w", simple("work", {"key": "${workflow.secrets.password}"})),
        workflow("calls", node("HTTP", "call", {"http_request": call})),
    )
    failed = await conductor.start("w")
    task = await conductor.poll("work")
    assert task["inputData"]["key"] == "hunter2-hunter2"
    await conductor.fail(task, "no luck", terminal=True)
    await conductor.until(failed, "FAILED")
    called = await conductor.start("calls")
    await conductor.until(called, "FAILED")
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records]
    by_action = {(line.get("action"), line.get("workflow_id")): line for line in lines}
    line = by_action["task_failed", failed]
    assert (line["task_id"], line["task_type"], line["level"]) == (task["taskId"], "work", "INFO")
    assert "no luck" in line["message"]
    assert by_action["workflow_failed", failed]["workflow_type"] == "w"
    assert by_action["task_failed", called]["task_type"] == "HTTP"
    assert "hunter2" not in json.dumps(lines)


async def test_an_observer_that_fails_stops_nothing(
    server: Served, conductor: Conductor, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def committed(self, batch: object) -> None:
            raise RuntimeError("broken")

    server.services.engine.observers.insert(0, Broken())
    id = await conductor.run(workflow("w", inline("script", "1 + 1")))
    await conductor.until(id)
    assert (await metrics(server))['tenuto_workflows_ended_total{status="COMPLETED",type="w"}'] == 1
    assert any(getattr(record, "action", "") == "observer_failed" for record in caplog.records)
