"""Payloads that are put aside and named."""

from __future__ import annotations

from typing import Any

from tests.support.conductor import Conductor, simple, workflow

ONE = workflow("one", simple("work"))


async def located(conductor: Conductor, route: str, type: str, path: str = "any", operation: str = "WRITE") -> Any:
    query = {"path": path, "operation": operation, "payloadType": type}
    answer = await conductor.client.get(route, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def put(conductor: Conductor, location: dict[str, str], content: object) -> None:
    answer = await conductor.client.put(location["uri"], json=content)
    assert answer.status_code == 200, answer.text


async def test_an_input_that_was_put_aside(conductor: Conductor) -> None:
    await conductor.register(ONE)
    for route in ("/workflow/externalstoragelocation", "/workflow/external-storage-location"):
        location = await located(conductor, route, "WORKFLOW_INPUT")
        await put(conductor, location, {"big": "x" * 100_000})
        id = await conductor.start("one", externalInputPayloadStoragePath=location["path"])
        assert (await conductor.workflow(id))["input"] == {"big": "x" * 100_000}
        read = await located(conductor, route, "WORKFLOW_INPUT", location["path"], "READ")
        assert read == location
        assert (await conductor.client.get(read["uri"])).json() == {"big": "x" * 100_000}


async def test_an_output_that_was_put_aside(conductor: Conductor) -> None:
    id = await conductor.run(ONE)
    location = await located(conductor, "/tasks/externalstoragelocation", "TASK_OUTPUT")
    await put(conductor, location, {"a": 1})
    task = await conductor.poll("work")
    await conductor.update(task, "COMPLETED", externalOutputPayloadStoragePath=location["path"])
    assert (await conductor.workflow(id))["output"] == {"a": 1}


async def test_what_is_not_there_is_refused(conductor: Conductor) -> None:
    await conductor.register(ONE)
    await conductor.start("one", externalInputPayloadStoragePath="nowhere", expect=400)
    assert (await conductor.get("/workflow/search"))["totalHits"] == 0
    await conductor.get("/payloads/nowhere", expect=404)
    for content in ("[]", "{", ""):
        answer = await conductor.client.put("/payloads/some", content=content)
        assert answer.status_code == 400


async def test_payloads_are_kept_for_a_day(timed: Conductor) -> None:
    first = await located(timed, "/workflow/externalstoragelocation", "WORKFLOW_INPUT")
    await put(timed, first, {})
    await timed.advance(86_401)
    second = await located(timed, "/workflow/externalstoragelocation", "WORKFLOW_INPUT")
    await put(timed, second, {})
    await timed.get(f"/payloads/{first['path']}", expect=404)
    await timed.get(f"/payloads/{second['path']}")
