"""What every client counts on: statuses, bodies, tolerance; and what malformed or hostile requests get."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.server.conftest import ServerMaker
from tests.support.conductor import Conductor, node, simple, workflow

ONE = workflow("one", simple("work"))
JSON = {"Content-Type": "application/json"}


async def nothing_stored(conductor: Conductor) -> None:
    assert (await conductor.get("/workflow/search"))["totalHits"] == 0
    assert (await conductor.get("/tasks/search"))["totalHits"] == 0


# -- what is malformed -------------------------------------------------------------------------------------------------

MALFORMED = {
    "cut off": b'{"name": "one", "input": {',
    "no JSON": b"name=one",
    "NaN": b'{"name": "one", "input": {"n": NaN}}',
    "Infinity": b'{"name": "one", "input": {"n": Infinity}}',
    "two values": b'{"name": "one"} {"name": "one"}',
    "no UTF-8": b'{"name": "one", "correlationId": "\xff\xfe"}',
    "half a surrogate": b'{"name": "one", "correlationId": "\\ud800"}',
    "deep": b'{"name": "one", "input": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    "an array": b"[]",
    "a string": b'"one"',
    "a number": b"1",
    "null": b"null",
    "empty": b"",
}


async def test_a_malformed_start_is_400(conductor: Conductor) -> None:
    await conductor.register(ONE)
    for what, content in MALFORMED.items():
        answer = await conductor.client.post("/workflow", content=content, headers=JSON)
        assert answer.status_code == 400, (what, answer.text)
        error = answer.json()
        assert (error["status"], error["retryable"]) == (400, False)
        assert error["message"]
        assert error["instance"]
    await nothing_stored(conductor)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/workflow/one"),
        ("POST", "/workflow/execute/one"),
        ("POST", "/workflow/execute/one/1"),
        ("POST", "/workflow/{id}/rerun"),
        ("POST", "/workflow/{id}/variables"),
        ("POST", "/workflow/{id}/state"),
        ("POST", "/workflow/{id}/messages"),
        ("POST", "/workflow/{id}/jump/work"),
        ("POST", "/workflow/{id}/upgrade"),
        ("PUT", "/workflow/{id}/skiptask/work"),
        ("POST", "/tasks"),
        ("POST", "/tasks/update-v2"),
        ("POST", "/tasks/{id}/work/COMPLETED"),
        ("POST", "/tasks/{id}/work/COMPLETED/sync"),
        ("POST", "/tasks/{id}/COMPLETED/signal"),
        ("POST", "/metadata/workflow"),
        ("POST", "/metadata/workflow/validate"),
        ("PUT", "/metadata/taskdefs"),
        ("POST", "/workflow/test"),
        ("POST", "/workflow/correlated/batch"),
    ],
)
async def test_a_malformed_body_is_400_everywhere(make_server: ServerMaker, method: str, path: str) -> None:
    async with make_server() as server:
        conductor = Conductor(server.services, server.client)
        id = await conductor.run(ONE)
        before = await conductor.workflow(id)
        for content in (b"{", b"[1]", b'"text"', b"7", b'{"a": NaN}', b"\xff"):
            answer = await conductor.client.request(method, path.format(id=id), content=content, headers=JSON)
            assert answer.status_code == 400, (content, answer.text)
            assert answer.json()["message"]
        assert await conductor.workflow(id) == before
        assert (await conductor.get("/workflow/search"))["totalHits"] == 1


MALFORMED_QUERIES = [
    "/workflow/{id}?includeTasks=perhaps",
    "/workflow/{id}/status?includeOutput=2",
    "/workflow/{id}/tasks?count=x",
    "/workflow/{id}/tasks?start=1.5",
    "/workflow/one/correlated/c?includeClosed=x",
    "/workflow/running/one?version=x",
    "/workflow/search?size=5001",
    "/workflow/search?size=NaN",
    "/workflow/search?query=status%3D",
    "/tasks/search?start=-1",
    "/tasks/poll/work?count=x",
    "/tasks/poll/batch/work?count=0",
    "/tasks/poll/batch/work?count=-1",
    "/tasks/poll/batch/work?count=many",
    "/tasks/poll/batch/work?timeout=-1",
    "/tasks/poll/batch/work?timeout=soon",
    "/metadata/workflow/one?version=first",
    "/workflow/externalstoragelocation?path=p&operation=COPY&payloadType=WORKFLOW_INPUT",
    "/workflow/externalstoragelocation?path=p&operation=READ&payloadType=TASK",
    "/tasks/externalstoragelocation?path=p&operation=read&payloadType=TASK_INPUT",
    "/workflow/external-storage-location?path=p&payloadType=TASK_INPUT",
]


async def test_a_malformed_query_is_400(conductor: Conductor) -> None:
    id = await conductor.run(ONE)
    for path in MALFORMED_QUERIES:
        await conductor.get(path.format(id=id), expect=400)
    assert (await conductor.task(id, "work"))["status"] == "SCHEDULED"


async def test_wrong_methods_are_405(conductor: Conductor) -> None:
    id = await conductor.run(ONE)
    for method, path in (
        ("DELETE", "/workflow"),
        ("PATCH", f"/workflow/{id}"),
        ("GET", f"/workflow/{id}/pause"),
        ("GET", "/tasks/update-v2/x"),
        ("DELETE", "/tasks"),
        ("GET", "/workflow/bulk/retry"),
        ("PUT", "/metadata/workflow/validate"),
    ):
        answer = await conductor.client.request(method, path)
        assert answer.status_code == (404 if path.endswith("/x") else 405), (method, path, answer.text)
        if answer.status_code == 405:
            assert answer.headers["Allow"]


async def test_an_unknown_route_is_404(conductor: Conductor) -> None:
    for path in ("/nowhere", "/workflow/a/b/c/d", "/tasks/x/y/z/a/b", "/"):
        error = await conductor.get(path, expect=404)
        assert error["status"] == 404
    assert (await conductor.client.post("/token", json={"keyId": "a", "keySecret": "b"})).status_code == 404


async def test_a_body_above_the_limit_is_413(make_server: ServerMaker) -> None:
    async with make_server(body_limit=10_000) as server:
        conductor = Conductor(server.services, server.client)
        await conductor.register(ONE)
        large = json.dumps({"name": "one", "input": {"x": "y" * 20_000}}).encode()

        async def chunks() -> Any:
            for start in range(0, len(large), 1000):
                yield large[start : start + 1000]

        for content in (large, chunks()):
            answer = await conductor.client.post("/workflow", content=content, headers=JSON)
            assert answer.status_code == 413, answer.text
        await nothing_stored(conductor)
        await conductor.start("one", {"x": "y" * 9_000})


async def test_hostile_names(conductor: Conductor) -> None:
    await conductor.register(ONE)
    for name in ("../../etc/passwd", "'; DROP TABLE executions; --", "\u202e", "a" * 5_000, "%00", "${workflow}"):
        await conductor.start(name, expect=404)
    for id in ("..%2F..", "%00", "' OR 1=1", "a" * 5_000):
        await conductor.get(f"/workflow/{id}", expect=404)
        await conductor.get(f"/tasks/{id}", expect=404)
    await conductor.start("one", {"${a}": "'; --", "\u0000": "\u0000"}, correlationId="'\"\u0000;")
    found = await conductor.get("/workflow/search", query='correlationId="\'\\"\u0000;"')
    assert found["totalHits"] in (0, 1)


# -- what is tolerated -------------------------------------------------------------------------------------------------


async def test_booleans_in_any_case(conductor: Conductor) -> None:
    id = await conductor.run(ONE)
    for text in ("false", "False", "FALSE"):
        assert (await conductor.get(f"/workflow/{id}", includeTasks=text))["tasks"] == []
    for text in ("true", "True", "TRUE", ""):
        assert len((await conductor.get(f"/workflow/{id}", includeTasks=text))["tasks"]) == 1


async def test_empty_queries_mean_the_defaults(conductor: Conductor) -> None:
    id = await conductor.run(ONE)
    for path in (
        "/workflow/{id}?includeTasks=&summarize=",
        "/workflow/{id}/tasks?start=&count=&status=",
        "/workflow/running/one?version=&startTime=&endTime=",
        "/workflow/one/correlated/c?includeClosed=&includeTasks=",
        "/tasks/poll/batch/work?count=&timeout=&workerid=&domain=",
        "/metadata/workflow/one?version=",
    ):
        await conductor.get(path.format(id=id))


async def test_bodies_where_none_is_needed(conductor: Conductor) -> None:
    id = await conductor.run(ONE)
    for method, path in (
        ("PUT", f"/workflow/{id}/pause"),
        ("PUT", f"/workflow/{id}/resume"),
        ("PUT", f"/workflow/decide/{id}"),
        ("DELETE", f"/workflow/{id}"),
        ("POST", f"/workflow/{id}/retry"),
        ("DELETE", f"/workflow/{id}/terminate-remove"),
    ):
        answer = await conductor.client.request(method, path, json={})
        assert answer.status_code in (200, 204), answer.text
        assert answer.content == b""


async def test_accept_is_not_negotiated(conductor: Conductor) -> None:
    id = await conductor.run(ONE)
    for accept in ("text/plain", "text/html", "image/png", "*/*"):
        answer = await conductor.client.get(f"/workflow/{id}", headers={"Accept": accept})
        assert (answer.status_code, answer.json()["workflowId"]) == (200, id)


async def test_void_operations_have_no_body(conductor: Conductor) -> None:
    id = await conductor.run(ONE)
    assert (await conductor.client.put(f"/workflow/{id}/pause")).content == b""
    await conductor.client.put(f"/workflow/{id}/resume")
    assert (await conductor.client.post(f"/workflow/{id}/resetcallbacks")).status_code == 204
    assert (await conductor.client.delete(f"/workflow/{id}")).status_code == 200
    assert (await conductor.client.post(f"/workflow/{id}/retry")).status_code == 204
    await conductor.client.delete(f"/workflow/{id}")
    assert (await conductor.client.post(f"/workflow/{id}/restart")).status_code == 204


async def test_polls_without_tasks(conductor: Conductor) -> None:
    answer = await conductor.client.get("/tasks/poll/nobody")
    assert (answer.status_code, answer.content) == (204, b"")
    answer = await conductor.client.get("/tasks/poll/batch/nobody?timeout=0")
    assert (answer.status_code, answer.json()) == (200, [])


async def test_what_is_null_is_left_out_and_what_is_data_stays(conductor: Conductor) -> None:
    id = await conductor.run(workflow("w", node("NOOP", "n", {"a": None})), input={"x": None, "y": {"z": None}})
    view = await conductor.workflow(id)
    assert view["input"] == {"x": None, "y": {"z": None}}
    assert view["tasks"][0]["inputData"] == {"a": None}

    def nulls(value: Any, path: str) -> list[str]:
        if isinstance(value, dict):
            data = {"input", "inputData", "inputParameters", "output", "outputData", "variables"}
            return [each for key, item in value.items() if key not in data for each in nulls(item, f"{path}.{key}")]
        if isinstance(value, list):
            return [each for item in value for each in nulls(item, f"{path}[]")]
        return [path] if value is None else []

    assert nulls(view, "") == []


async def test_the_views_have_what_clients_read(conductor: Conductor) -> None:
    id = await conductor.run(ONE)
    view = await conductor.workflow(id)
    for name in (
        "workflowId", "workflowName", "workflowVersion", "status", "startTime", "createTime", "updateTime", "endTime",
        "tasks", "input", "output", "variables", "priority", "taskToDomain", "failedReferenceTaskNames",
        "failedTaskNames", "workflowDefinition", "lastRetriedTime", "history", "rateLimited",
    ):  # fmt: skip
        assert name in view, name
    for name in (
        "taskId", "taskType", "taskDefName", "referenceTaskName", "workflowInstanceId", "workflowType", "status",
        "inputData", "outputData", "retryCount", "seq", "pollCount", "scheduledTime", "startTime", "endTime",
        "updateTime", "startDelayInSeconds", "retried", "executed", "callbackFromWorker", "responseTimeoutSeconds",
        "callbackAfterSeconds", "workflowTask", "rateLimitPerFrequency", "rateLimitFrequencyInSeconds",
        "workflowPriority", "iteration", "subworkflowChanged", "loopOverTask", "queueWaitTime", "taskDefinition",
    ):  # fmt: skip
        assert name in view["tasks"][0], name
    assert isinstance(view["startTime"], int)
    assert view["startTime"] == view["createTime"]
    task = view["tasks"][0]
    assert (task["taskType"], task["workflowTask"]["type"]) == ("work", "SIMPLE")
    assert await conductor.get(f"/tasks/{task['taskId']}") == task
