"""Operations on many executions at once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.conductor import Conductor, simple, task_def, workflow

NOBODY = "01234567-89ab-cdef-0123-456789abcdef"
ONE = workflow("one", simple("work"))


async def test_each_id_has_its_own_result(conductor: Conductor) -> None:
    ids = [await conductor.run(ONE) for _ in range(3)]
    answer = await conductor.call("PUT", "/workflow/bulk/pause", [*ids, NOBODY])
    assert answer["bulkSuccessfulResults"] == ids
    assert list(answer["bulkErrorResults"]) == [NOBODY]
    assert NOBODY in answer["bulkErrorResults"][NOBODY]
    assert answer["message"] == "Bulk Request has been processed."
    assert [await conductor.status(id) for id in ids] == ["PAUSED"] * 3


async def test_one_that_can_not_be_done_stops_no_other(conductor: Conductor) -> None:
    paused, running = await conductor.run(ONE), await conductor.start("one")
    await conductor.call("PUT", "/workflow/bulk/pause", [paused])
    answer = await conductor.call("PUT", "/workflow/bulk/resume", [running, paused])
    assert answer["bulkSuccessfulResults"] == [paused]
    assert list(answer["bulkErrorResults"]) == [running]


async def test_the_life_of_many(conductor: Conductor) -> None:
    await conductor.register(ONE, task_def("work"))
    ids = [await conductor.start("one") for _ in range(3)]

    async def all_are(status: str) -> None:
        assert [await conductor.status(id) for id in ids] == [status] * 3

    answer = await conductor.post("/workflow/bulk/terminate", ids, reason="enough")
    assert answer["bulkErrorResults"] == {}
    await all_are("TERMINATED")
    assert (await conductor.workflow(ids[0]))["reasonForIncompletion"] == "enough"
    await conductor.post("/workflow/bulk/retry", ids)
    await all_are("RUNNING")
    for id in ids:
        await conductor.update_by_reference(id, "work")
    await all_are("COMPLETED")
    await conductor.register(workflow("one", simple("other"), version=2))
    await conductor.post("/workflow/bulk/restart", ids, useLatestDefinitions="True")
    await all_are("RUNNING")
    assert await conductor.references(ids[0]) == ["other"]
    answer = await conductor.post("/workflow/bulk/search", ids, includeTasks=False)
    assert [each["workflowId"] for each in answer["bulkSuccessfulResults"]] == ids
    assert answer["bulkSuccessfulResults"][0]["tasks"] == []
    answer = await conductor.call("DELETE", "/workflow/bulk/remove", ids[:1], archiveWorkflow="False")
    assert answer["bulkSuccessfulResults"] == ids[:1]
    answer = await conductor.call("DELETE", "/workflow/bulk/terminate-remove", ids[1:2], reason="gone")
    assert answer["bulkSuccessfulResults"] == ids[1:2]
    answer = await conductor.post("/workflow/bulk/delete", ids[2:])
    assert answer["bulkSuccessfulResults"] == ids[2:]
    for id in ids:
        await conductor.get(f"/workflow/{id}", expect=404)


async def test_nothing_to_do_is_fine(conductor: Conductor) -> None:
    answer = await conductor.call("PUT", "/workflow/bulk/pause", [])
    assert (answer["bulkSuccessfulResults"], answer["bulkErrorResults"]) == ([], {})


@pytest.mark.parametrize(
    ("method", "operation"),
    [("PUT", "pause"), ("PUT", "resume"), ("POST", "restart"), ("POST", "retry"), ("POST", "terminate"),
     ("DELETE", "remove"), ("DELETE", "terminate-remove"), ("POST", "search"), ("POST", "delete")],
)  # fmt: skip
async def test_too_many_ids_are_refused(conductor: Conductor, method: str, operation: str) -> None:
    id = await conductor.run(ONE)
    await conductor.call(method, f"/workflow/bulk/{operation}", [id] * 1001, expect=400)
    assert await conductor.status(id) == "RUNNING"
    wrong: list[Any] = [{"ids": [id]}, "text", [1], None, [None]]
    for body in wrong:
        await conductor.call(method, f"/workflow/bulk/{operation}", body, expect=400)
    answer = await conductor.call(method, f"/workflow/bulk/{operation}", [NOBODY] * 1000)
    assert list(answer["bulkErrorResults"]) == [NOBODY]


async def test_the_wrong_method_is_405(conductor: Conductor) -> None:
    await conductor.call("GET", "/workflow/bulk/pause", expect=405)
    await conductor.call("POST", "/workflow/bulk/pause", [], expect=405)
