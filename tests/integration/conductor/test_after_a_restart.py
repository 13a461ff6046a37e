"""What operations did is there after the server has stopped and begun again, and executions go on from it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tenuto.server.settings import Settings
from tests.integration.server.conftest import served
from tests.support.conductor import Conductor, fork, loop, node, simple, sub_workflow, task_def, workflow


@asynccontextmanager
async def run(path: Path) -> AsyncIterator[Conductor]:
    async with served(Settings(db=f"sqlite:///{path}/tenuto.db", port=0)) as server:
        yield Conductor(server.services, server.client)


async def same_after_a_restart(path: Path, ids: list[str], views: list[Any]) -> None:
    async with run(path) as conductor:
        assert [await conductor.workflow(id) for id in ids] == views


DEFINITION = workflow(
    "w",
    simple("one"),
    *fork("f", [simple("a")], [loop("l", "$.l.iteration < 3", simple("step"))]),
    simple("after", {"v": "${workflow.variables.v}"}),
)


async def operated(conductor: Conductor) -> list[str]:
    """Executions with all sorts of pasts."""
    await conductor.register(DEFINITION, *(task_def(name) for name in ("one", "a", "step", "after")))
    ids = [await conductor.start("w", {"n": n}) for n in range(9)]
    paused, skipped, failed, retried, restarted, rerun, looped, upgraded, terminated = ids
    await conductor.call("PUT", f"/workflow/{paused}/pause")
    await conductor.call("PUT", f"/workflow/{skipped}/skiptask/after")
    await conductor.post(f"/workflow/{skipped}/variables", {"v": [1, None]})
    for id in (failed, retried, restarted, rerun):
        await conductor.update_by_reference(id, "one", output={"n": 1})
        await conductor.update_by_reference(id, "a", "FAILED")
    await conductor.post(f"/workflow/{retried}/retry", expect=204)
    await conductor.post(f"/workflow/{restarted}/restart", expect=204)
    first = await conductor.task(rerun, "one")
    await conductor.post(f"/workflow/{rerun}/rerun", {"reRunFromTaskId": first["taskId"], "taskInput": {"x": 1}})
    await conductor.update_by_reference(looped, "one")
    await conductor.update_by_reference(looped, "step")
    await conductor.until_task(looped, "step__2", "SCHEDULED")
    await conductor.register(DEFINITION | {"version": 2})
    await conductor.post(f"/workflow/{upgraded}/upgrade", {"name": "w", "version": 2, "workflowInput": {"m": 1}})
    await conductor.call("DELETE", f"/workflow/{terminated}", reason="enough")
    return ids


async def test_everything_is_as_it_was(tmp_path: Path) -> None:
    async with run(tmp_path) as conductor:
        ids = await operated(conductor)
        views = [await conductor.workflow(id) for id in ids]
        found = await conductor.get("/workflow/search", sort="startTime:ASC")
        tasks = await conductor.get("/tasks/search", sort="taskId:ASC", size=1000)
    await same_after_a_restart(tmp_path, ids, views)
    async with run(tmp_path) as conductor:
        assert await conductor.get("/workflow/search", sort="startTime:ASC") == found
        assert await conductor.get("/tasks/search", sort="taskId:ASC", size=1000) == tasks


async def test_everything_goes_on(tmp_path: Path) -> None:
    async with run(tmp_path) as conductor:
        ids = await operated(conductor)
    async with run(tmp_path) as conductor:
        await conductor.call("PUT", f"/workflow/{ids[0]}/resume")
        await conductor.post(f"/workflow/{ids[2]}/retry", expect=204)
        await conductor.post(f"/workflow/{ids[8]}/retry", expect=204)
        for _ in range(30):
            for type in ("one", "a", "step", "after"):
                for task in await conductor.poll_batch(type, 100, timeout=0):
                    await conductor.complete(task)
            if all([await conductor.status(id) == "COMPLETED" for id in ids]):
                break
        views = [await conductor.until(id) for id in ids]
    await same_after_a_restart(tmp_path, ids, views)


async def test_a_family_goes_on(tmp_path: Path) -> None:
    async with run(tmp_path) as conductor:
        await conductor.register(
            workflow("top", *fork("f", [sub_workflow("left", "child")], [sub_workflow("right", "child")])),
            workflow("child", simple("work"), node("WAIT", "wait")),
            task_def("work"),
        )
        id = await conductor.start("top")
        left = (await conductor.until_task(id, "left", "IN_PROGRESS"))["subWorkflowId"]
        right = (await conductor.until_task(id, "right", "IN_PROGRESS"))["subWorkflowId"]
        await conductor.until_task(left, "work", "SCHEDULED")
        await conductor.until_task(right, "work", "SCHEDULED")
        await conductor.update_by_reference(left, "work", "FAILED")
        await conductor.until(id, "FAILED")
        await conductor.until(right, "TERMINATED")
    async with run(tmp_path) as conductor:
        await conductor.post(f"/workflow/{left}/retry", expect=204)
        for each in (id, right):
            await conductor.until(each, "RUNNING")
    async with run(tmp_path) as conductor:
        for each in (left, right):
            await conductor.update_by_reference(each, "work")
            await conductor.until_task(each, "wait", "IN_PROGRESS")
    async with run(tmp_path) as conductor:
        for each in (left, right):
            await conductor.post(f"/tasks/{each}/COMPLETED/signal", {"done": True})
        view = await conductor.until(id)
        assert [task["status"] for task in view["tasks"]] == ["COMPLETED"] * 4


async def test_what_was_removed_stays_away(tmp_path: Path) -> None:
    async with run(tmp_path) as conductor:
        await conductor.register(DEFINITION)
        removed, archived = await conductor.start("w"), await conductor.start("w")
        await conductor.call("DELETE", f"/workflow/{removed}/remove", archiveWorkflow=False)
        await conductor.call("DELETE", f"/workflow/{archived}/remove")
    async with run(tmp_path) as conductor:
        for id in (removed, archived):
            await conductor.get(f"/workflow/{id}", expect=404)
            await conductor.post(f"/workflow/{id}/retry", expect=404)
        found = await conductor.get("/workflow/search")
        assert [each["workflowId"] for each in found["results"]] == [archived]
        await conductor.poll_nothing("one")


async def test_a_key_still_belongs_to_its_execution(tmp_path: Path) -> None:
    request = {"idempotencyKey": "k", "idempotencyStrategy": "RETURN_EXISTING"}
    async with run(tmp_path) as conductor:
        await conductor.register(DEFINITION)
        id = await conductor.start("w", **request)
        await conductor.call("DELETE", f"/workflow/{id}")
    async with run(tmp_path) as conductor:
        assert await conductor.start("w", **request) == id
        other = await conductor.start("w", idempotencyKey="k", idempotencyStrategy="FAIL_ON_RUNNING")
        assert other != id
    async with run(tmp_path) as conductor:
        assert await conductor.start("w", **request) == other
