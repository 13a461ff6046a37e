"""Searches over REST: the query language, the pages, and that they see what was just acknowledged."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support.conductor import Conductor, node, simple, sub_workflow, task_def, workflow

ORDER = workflow("Order", simple("pay", {"amount": "${workflow.input.amount}"}))


async def found(conductor: Conductor, query: str = "", **parameters: object) -> list[str]:
    """The ids that a search finds."""
    answer = await conductor.get("/workflow/search", query=query, **parameters)
    ids = [each["workflowId"] for each in answer["results"]]
    assert answer["totalHits"] >= len(ids)
    return ids


@pytest.fixture
async def orders(conductor: Conductor) -> list[str]:
    """One that runs, one that has completed, one that has failed, one of another type."""
    await conductor.register(ORDER, task_def("pay"), workflow("Refund", node("WAIT", "wait")))
    running = await conductor.start("Order", {"amount": 1}, correlationId="k-1", createdBy="ann", priority=5)
    completed = await conductor.start("Order", {"amount": 2}, correlationId="k-2", createdBy="bob")
    await conductor.update_by_reference(completed, "pay", output={"receipt": "Needle-77"})
    failed = await conductor.start("Order", {"amount": 3}, correlationId="k-3")
    await conductor.fail(await conductor.task(failed, "pay"), "card refused")
    other = await conductor.start("Refund", {}, correlationId="k-1")
    return [running, completed, failed, other]


QUERIES: list[tuple[str, set[int]]] = [
    ("", {0, 1, 2, 3}),
    ("*", {0, 1, 2, 3}),
    ("workflowType=Order", {0, 1, 2}),
    ("workflowType='Order' AND status=RUNNING", {0}),
    ('workflowType = "Order" and status IN (COMPLETED, FAILED)', {1, 2}),
    ("status IN ('COMPLETED','FAILED')", {1, 2}),
    ("workflowType=ord*", {0, 1, 2}),
    ("workflowType=*FUND", {3}),
    ("correlationId:k-1", {0, 3}),
    ("correlationId=k-1 OR createdBy=bob", {0, 1, 3}),
    ("(correlationId=k-1 OR createdBy=bob) AND workflowType=Order", {0, 1}),
    ("NOT status=RUNNING", {1, 2}),
    ("status != RUNNING", {1, 2}),
    ("priority>4", {0}),
    ("priority BETWEEN 1 AND 9", {0}),
    ("version=1 AND status=FAILED", {2}),
    ("endTime IS null", {0, 3}),
    ("endTime IS NOT null", {1, 2}),
    ("correlationId STARTS_WITH k-", {0, 1, 2, 3}),
    ("reasonForIncompletion=*refused*", {2}),
    ("startTime>0 AND startTime<9999999999999", {0, 1, 2, 3}),
    ("startTime>9999999999999", set()),
    ("someField=1", {0, 1, 2, 3}),
    ("someField=1 AND status=RUNNING", {0, 3}),
    ("status=running", set()),
]


async def test_queries(conductor: Conductor, orders: list[str]) -> None:
    for query, expected in QUERIES:
        assert set(await found(conductor, query)) == {orders[number] for number in expected}, query


async def test_times_are_milliseconds(conductor: Conductor, orders: list[str]) -> None:
    start = (await conductor.workflow(orders[1]))["startTime"]
    assert orders[1] in await found(conductor, f"startTime={start}")
    assert orders[1] not in await found(conductor, f"startTime>{start}")
    assert orders[1] not in await found(conductor, f"startTime<{start}")


FREE_TEXTS: list[tuple[str, set[int]]] = [
    ("*", {0, 1, 2, 3}),
    ("", {0, 1, 2, 3}),
    ("needle-77", {1}),
    ("CARD REFUSED", {2}),
    ("k-1", {0, 3}),
    ('correlationId:"k-2"', {1}),
    ("100%", set()),
]


async def test_free_text(conductor: Conductor, orders: list[str]) -> None:
    for text, expected in FREE_TEXTS:
        assert set(await found(conductor, freeText=text)) == {orders[number] for number in expected}, text


async def test_free_text_and_query_together(conductor: Conductor, orders: list[str]) -> None:
    assert await found(conductor, "workflowType=Order", freeText="k-1") == [orders[0]]


NO_QUERIES = [
    "status",
    "status=",
    "= RUNNING",
    "status=RUNNING AND",
    "(status=RUNNING",
    "status IN RUNNING",
    "priority=high",
    "status ? 1",
    "startTime=yesterday",
    "priority BETWEEN 1",
]


async def test_what_does_not_parse_is_400(conductor: Conductor) -> None:
    for query in NO_QUERIES:
        for path in ("/workflow/search", "/workflow/search-v2"):
            error = await conductor.get(path, query=query, expect=400)
            assert error["message"]


async def test_tasks_have_the_same_grammar(conductor: Conductor) -> None:
    for path in ("/tasks/search", "/tasks/search-v2", "/workflow/search-by-tasks", "/workflow/search-by-tasks-v2"):
        await conductor.get(path, query="status=", expect=400)
        await conductor.get(path, size=5001, expect=400)


async def test_pages(conductor: Conductor, orders: list[str]) -> None:
    pages = [await conductor.get("/workflow/search", start=start, size=3, sort="startTime:ASC") for start in (0, 3, 6)]
    assert [page["totalHits"] for page in pages] == [4, 4, 4]
    ids = [[each["workflowId"] for each in page["results"]] for page in pages]
    assert ids == [orders[:3], orders[3:], []]


async def test_sorting(conductor: Conductor, orders: list[str]) -> None:
    newest_first = list(reversed(orders))
    assert await found(conductor) == newest_first
    assert await found(conductor, sort="startTime:DESC") == newest_first
    assert await found(conductor, sort="workflowType:DESC|startTime:ASC") == [orders[3], *orders[:3]]
    assert await found(conductor, sort="noField:ASC|startTime:sideways") == newest_first


@pytest.mark.parametrize(
    "parameters",
    [{"size": 5001}, {"size": -1}, {"start": -1}, {"size": "many"}, {"start": "x"}, {"start": 10**30}],
    ids=str,
)
async def test_bad_numbers_are_400(conductor: Conductor, parameters: dict[str, Any]) -> None:
    await conductor.get("/workflow/search", **parameters, expect=400)


async def test_empty_parameters_mean_their_defaults(conductor: Conductor, orders: list[str]) -> None:
    answer = await conductor.client.get("/workflow/search?queryId=&start=&size=&freeText=&query=&sort=")
    assert answer.json()["totalHits"] == len(orders)
    assert (await conductor.get("/workflow/search", size=5000))["totalHits"] == len(orders)


async def test_a_summary(conductor: Conductor, orders: list[str]) -> None:
    summary = (await conductor.get("/workflow/search", query=f"workflowId={orders[1]}"))["results"][0]
    for name in ("startTime", "updateTime", "endTime"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", summary.pop(name))
    assert summary.pop("executionTime") >= 0
    assert (json.loads(summary.pop("input")), json.loads(summary.pop("output"))) == (
        {"amount": 2},
        {"receipt": "Needle-77"},
    )
    assert summary.pop("inputSize") > 0 < summary.pop("outputSize")
    assert summary == {
        "workflowType": "Order",
        "version": 1,
        "workflowId": orders[1],
        "correlationId": "k-2",
        "status": "COMPLETED",
        "failedReferenceTaskNames": "",
        "failedTaskNames": [],
        "priority": 0,
        "createdBy": "bob",
        "taskToDomain": {},
        "parentWorkflowId": "",
        "classifier": "workflow",
    }
    failed = (await conductor.get("/workflow/search", query="status=FAILED"))["results"][0]
    assert (failed["failedReferenceTaskNames"], failed["failedTaskNames"]) == ("pay", ["pay"])
    assert "card refused" in failed["reasonForIncompletion"]


async def test_whole_workflows(conductor: Conductor, orders: list[str]) -> None:
    answer = await conductor.get("/workflow/search-v2", query="workflowType=Order", sort="startTime:ASC")
    assert answer["totalHits"] == 3
    assert answer["results"] == [await conductor.workflow(id) for id in orders[:3]]


async def test_classifier_and_top_level(conductor: Conductor) -> None:
    id = await conductor.run(workflow("parent", sub_workflow("call", "child")), workflow("child", simple("work")))
    child = (await conductor.until_task(id, "call", "IN_PROGRESS"))["subWorkflowId"]
    await conductor.until(child, "RUNNING")
    assert set(await found(conductor)) == {id, child}
    for path in ("/workflow/search", "/workflow/search-v2"):
        answer = await conductor.get(path, topLevelOnly="True")
        assert [each["workflowId"] for each in answer["results"]] == [id]
        assert (await conductor.get(path, classifier="workflow"))["totalHits"] == 2
        assert (await conductor.get(path, classifier="agent"))["totalHits"] == 0
    assert await found(conductor, f"parentWorkflowId={id}") == [child]


async def test_tasks(conductor: Conductor, orders: list[str]) -> None:
    answer = await conductor.get("/tasks/search", query="taskType=pay AND status IN (COMPLETED, FAILED)")
    assert answer["totalHits"] == 2
    assert {each["workflowId"] for each in answer["results"]} == set(orders[1:3])
    summary = next(each for each in answer["results"] if each["status"] == "FAILED")
    assert (summary["taskType"], summary["taskDefName"], summary["workflowType"]) == ("pay", "pay", "Order")
    assert (summary["reasonForIncompletion"], summary["correlationId"]) == ("card refused", "k-3")
    assert json.loads(summary["input"]) == {"amount": 3}
    assert re.fullmatch(r"[-0-9]+T[:0-9]+\.\d{3}Z", summary["scheduledTime"])
    assert (summary["executionTime"], summary["queueWaitTime"]) >= (0, 0)
    assert summary["taskId"] == (await conductor.task(orders[2], "pay"))["taskId"]


async def test_whole_tasks(conductor: Conductor, orders: list[str]) -> None:
    answer = await conductor.get("/tasks/search-v2", query=f"workflowId={orders[0]}")
    assert (answer["totalHits"], answer["results"]) == (1, await conductor.tasks(orders[0]))


async def test_workflows_by_their_tasks(conductor: Conductor) -> None:
    id = await conductor.run(workflow("two", simple("a"), simple("b")))
    await conductor.work("a", {"mark": "needle"})
    other = await conductor.start("two")
    answer = await conductor.get("/workflow/search-by-tasks", query="workflowType=two")
    # Two tasks of one workflow are one result.
    assert (answer["totalHits"], {each["workflowId"] for each in answer["results"]}) == (2, {id, other})
    answer = await conductor.get("/workflow/search-by-tasks", query="status=COMPLETED")
    assert [each["workflowId"] for each in answer["results"]] == [id]
    answer = await conductor.get("/workflow/search-by-tasks-v2", freeText="needle")
    assert answer["results"] == [await conductor.workflow(id)]


async def test_a_search_sees_what_was_acknowledged(conductor: Conductor) -> None:
    await conductor.register(ORDER)
    for number in range(20):
        id = await conductor.start("Order")
        assert (await found(conductor, f"workflowId={id}")) == [id]
        assert (await conductor.get("/tasks/search", query=f"workflowId={id}"))["totalHits"] == 1
        await conductor.update_by_reference(id, "pay")
        assert len(await found(conductor, "status=COMPLETED")) == number + 1


# -- by what they have in common ---------------------------------------------------------------------------------------


async def test_correlated(conductor: Conductor, orders: list[str]) -> None:
    assert [each["workflowId"] for each in await conductor.get("/workflow/Order/correlated/k-1")] == [orders[0]]
    assert await conductor.get("/workflow/Order/correlated/k-2") == []
    closed = await conductor.get("/workflow/Order/correlated/k-2", includeClosed="True", includeTasks="True")
    assert closed == [await conductor.workflow(orders[1])]
    without = await conductor.get("/workflow/Order/correlated/k-2", includeClosed=True)
    assert without[0]["tasks"] == []
    assert await conductor.get("/workflow/Order/correlated/nobody", includeClosed=True) == []


async def test_correlated_by_several_ids(conductor: Conductor, orders: list[str]) -> None:
    answer = await conductor.post("/workflow/Order/correlated", ["k-1", "k-2", "x"], includeClosed="true")
    ids = {key: [each["workflowId"] for each in value] for key, value in answer.items()}
    assert ids == {"k-1": [orders[0]], "k-2": [orders[1]], "x": []}
    await conductor.post("/workflow/Order/correlated", {"k": 1}, expect=400)


async def test_correlated_over_several_names(conductor: Conductor, orders: list[str]) -> None:
    batch = {"correlationIds": ["k-1", "k-3"], "workflowNames": ["Order", "Refund"]}
    answer = await conductor.post("/workflow/correlated/batch", batch)
    ids = {key: {each["workflowId"] for each in value} for key, value in answer.items()}
    assert ids == {"k-1": {orders[0], orders[3]}, "k-3": set()}
    answer = await conductor.post("/workflow/correlated/batch", batch, includeClosed=True, includeTasks=True)
    assert [each["workflowId"] for each in answer["k-3"]] == [orders[2]]
    assert answer["k-3"][0]["tasks"][0]["status"] == "FAILED"


async def test_the_ids_of_what_runs(conductor: Conductor, orders: list[str]) -> None:
    assert await conductor.get("/workflow/running/Order") == [orders[0]]
    assert await conductor.get("/workflow/running/Order", version=2) == []
    start = (await conductor.workflow(orders[0]))["startTime"]
    assert await conductor.get("/workflow/running/Order", startTime=start, endTime=start) == [orders[0]]
    assert await conductor.get("/workflow/running/Order", startTime=start + 1) == []
    await conductor.get("/workflow/running/Order", startTime="now", expect=400)
