"""HUMAN tasks over REST: found, claimed, worked on and completed by people."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.conductor import Conductor, node, workflow

ASSIGNEE = {"userType": "EXTERNAL_USER", "user": "ada@example.com"}


def review(**definition: Any) -> dict[str, Any]:
    shown = {"displayName": "Review order", **definition}
    human = node("HUMAN", "review", {"__humanTaskDefinition": shown, "order": "${workflow.input.order}"})
    return workflow("reviewed", human, outputParameters={"result": "${review.output}"})


async def search(conductor: Conductor, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await conductor.post("/human/tasks/search", query))["results"]
    return found


async def waiting(conductor: Conductor, *, expect: int = 1, **definition: Any) -> tuple[str, str]:
    """A workflow and the human task that it waits at."""
    workflow_id = await conductor.run(review(**definition), input={"order": "o-1"})
    return workflow_id, (await conductor.task(workflow_id, "review"))["taskId"]


async def test_from_search_to_completion(conductor: Conductor) -> None:
    workflow_id, task_id = await waiting(conductor, assignee=ASSIGNEE)
    [entry] = await search(conductor, states=["PENDING", "ASSIGNED"], taskRefNames=["review"])
    assert (entry["taskId"], entry["workflowId"], entry["state"]) == (task_id, workflow_id, "ASSIGNED")
    assert (entry["assignee"], entry["displayName"], entry["input"]["order"]) == (ASSIGNEE, "Review order", "o-1")
    path = f"/human/tasks/{task_id}"
    claimed = await conductor.post(f"{path}/externalUser/ada@example.com")
    assert (claimed["state"], claimed["claimant"]["user"]) == ("IN_PROGRESS", "ada@example.com")
    await conductor.post(f"{path}/update", {"notes": "fine", "draft": 1}, complete="false")
    assert (await conductor.get(path))["output"] == {"notes": "fine", "draft": 1}
    assert await conductor.status(workflow_id) == "RUNNING"
    await conductor.post(f"{path}/update", {"approved": True}, complete="true")
    view = await conductor.workflow(workflow_id)
    assert view["status"] == "COMPLETED"
    assert view["output"]["result"] == {"notes": "fine", "draft": 1, "approved": True}
    assert (await conductor.get(path))["state"] == "COMPLETED"
    await conductor.post(f"{path}/update", {}, expect=409)
    await conductor.post(f"{path}/claim", expect=409)


async def test_who_may_claim(conductor: Conductor) -> None:
    _, task_id = await waiting(conductor, assignments=[{"assignee": ASSIGNEE}])
    path = f"/human/tasks/{task_id}"
    await conductor.post(f"{path}/externalUser/bob", expect=409)
    await conductor.post(f"{path}/externalUser/bob", overrideAssignment="true")
    await conductor.post(f"{path}/externalUser/ada@example.com", expect=409)
    await conductor.post(f"{path}/release")
    assert (await conductor.get(path))["state"] == "ASSIGNED"
    await conductor.post(f"{path}/reassign", [{"assignee": {"user": "staff", "userType": "EXTERNAL_GROUP"}}])
    assert (await conductor.get(path))["assignee"]["user"] == "staff"
    await conductor.post(f"{path}/externalUser/carl")
    await conductor.post(f"{path}/externalUser/carl")
    assert len(await search(conductor, claimants=[{"user": "carl", "userType": "EXTERNAL_USER"}])) == 1
    assert await search(conductor, claimants=[{"user": "bob"}]) == []


async def test_skip(conductor: Conductor) -> None:
    workflow_id, task_id = await waiting(conductor)
    await conductor.post(f"/human/tasks/{task_id}/skip", reason="not needed")
    assert await conductor.status(workflow_id) == "COMPLETED"
    assert (await conductor.task(workflow_id, "review"))["reasonForIncompletion"] == "not needed"


async def test_update_by_reference(conductor: Conductor) -> None:
    workflow_id, _ = await waiting(conductor)
    by = {"workflowId": workflow_id, "taskRefName": "review", "complete": "true"}
    await conductor.post("/human/tasks/update/taskRef", {"a": 1}, **by | {"taskRefName": "nothing"}, expect=404)
    await conductor.post("/human/tasks/update/taskRef", {"a": 1}, **by)
    assert (await conductor.workflow(workflow_id))["output"] == {"result": {"a": 1}}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, True),
        ({"states": ["PENDING"]}, True),
        ({"states": ["COMPLETED"]}, False),
        ({"displayNames": ["Review order"]}, True),
        ({"displayNames": ["Something else"]}, False),
        ({"workflowNames": ["reviewed"], "definitionNames": ["review"]}, True),
        ({"taskInputQuery": "o-1"}, True),
        ({"taskInputQuery": "o-2"}, False),
        ({"fullTextQuery": "o-1"}, True),
        ({"assignees": [{"user": "nobody"}]}, False),
        ({"start": 1}, False),
    ],
)
async def test_search(conductor: Conductor, query: dict[str, Any], found: bool) -> None:
    await waiting(conductor)
    assert bool(await search(conductor, **query)) == found


async def test_unknown_and_malformed(conductor: Conductor) -> None:
    workflow_id = await conductor.run(workflow("waits", node("WAIT", "w")))
    task_id = (await conductor.task(workflow_id, "w"))["taskId"]
    for path in ("nothing", task_id):
        await conductor.get(f"/human/tasks/{path}", expect=404)
        await conductor.post(f"/human/tasks/{path}/claim", expect=404)
    await conductor.post("/human/tasks/search", {"size": 5001}, expect=400)
    assert await conductor.get("/human/tasks/getTaskDisplayNames", searchType="ADMIN") == []


async def test_templates(conductor: Conductor) -> None:
    template = {"name": "form", "version": 1, "jsonSchema": {"type": "object"}, "templateUI": {"a": 1}}
    assert (await conductor.post("/human/template", template))["version"] == 1
    assert (await conductor.post("/human/template", template, newVersion="true"))["version"] == 2
    assert [each["version"] for each in await conductor.get("/human/template", name="form")] == [1, 2]
    assert (await conductor.get("/human/template/form/1"))["templateUI"] == {"a": 1}
    assert (await conductor.get("/human/template/form/0"))["version"] == 2
    await conductor.get("/human/template/form/x", expect=400)
    _, task_id = await waiting(conductor, userFormTemplate={"name": "form", "version": 1})
    entry = await conductor.get(f"/human/tasks/{task_id}", withTemplate="true")
    assert entry["humanTaskDef"]["fullTemplate"]["version"] == 1
    assert (await conductor.get(f"/human/template/{task_id}"))["version"] == 1
    await conductor.call("PUT", "/human/template/form/tags", [{"key": "k", "value": "v"}])
    await conductor.call("DELETE", "/human/template/form/1")
    await conductor.get("/human/template/form/1", expect=404)
    await conductor.call("DELETE", "/human/template/form")
    assert await conductor.get("/human/template") == []
    assert [each["name"] for each in await conductor.post("/human/template/bulk", [template])] == ["form"]
