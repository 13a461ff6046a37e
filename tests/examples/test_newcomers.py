"""What a newcomer gets wrong is said at once, where it was done, and harms neither the store nor the engine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tenuto import activity, workflow
from tenuto.client import Client, WorkflowFailureError, WorkflowQueryFailedError
from tenuto.worker import Worker


@activity.defn
async def double(number: int) -> int:
    return 2 * number


@workflow.defn
class Child:
    @workflow.run
    async def run(self) -> None:
        return None


def _calls() -> dict[str, Any]:
    """What workflow code can do with a value of a wrong type, or a time that never comes."""
    five: Any = 5
    nan, never = float("nan"), float("inf")
    return {
        "activity id": lambda: workflow.execute_activity(double, 1, activity_id=five),
        "task queue": lambda: workflow.execute_activity(double, 1, task_queue=five),
        "summary": lambda: workflow.execute_activity(double, 1, summary=five),
        "time limit": lambda: workflow.execute_activity(double, 1, start_to_close_timeout=nan),
        "child id": lambda: workflow.execute_child_workflow(Child.run, id=five),
        "child task queue": lambda: workflow.execute_child_workflow(Child.run, task_queue=five),
        "child memo": lambda: workflow.execute_child_workflow(Child.run, memo={five: 1}),
        "timer summary": lambda: workflow.sleep(1, summary=five),
        "sleep": lambda: workflow.sleep(nan),
        "asyncio.sleep": lambda: asyncio.sleep(never),
        "wait_condition": lambda: workflow.wait_condition(lambda: False, timeout=never),
        "external": lambda: workflow.get_external_workflow_handle(five).signal("x"),
        "next run": lambda: _continue_as_new(five),
    }


async def _continue_as_new(task_queue: Any) -> None:
    workflow.continue_as_new(task_queue=task_queue)


CALLS = list(_calls())


@workflow.defn(failure_exception_types=[TypeError, ValueError])
class Mistaken:
    def __init__(self) -> None:
        self.done = False

    @workflow.run
    async def run(self, call: str) -> str:
        if call:
            await _calls()[call]()
        return "well"

    @workflow.query
    def starts_a_task(self) -> None:
        asyncio.create_task(asyncio.sleep(1))  # noqa: RUF006 - must be refused


def worker(client: Client) -> Worker:
    return Worker(client, workflows=[Mistaken, Child], activities=[double])


@pytest.mark.parametrize("call", CALLS)
async def test_a_wrong_value_in_a_workflow_fails_that_workflow_only(call: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'wrong.db'}"
    async with await Client.connect(url) as client, worker(client):
        with pytest.raises(WorkflowFailureError) as caught:
            await client.execute_workflow(Mistaken.run, call, id="mistaken")
        assert str(caught.value.cause).startswith(("TypeError", "ValueError"))
    async with await Client.connect(url) as client, worker(client):
        assert await client.execute_workflow(Mistaken.run, "", id="another") == "well"


async def test_a_query_can_start_no_task(url: str) -> None:
    async with await Client.connect(url) as client, worker(client):
        handle = await client.start_workflow(Mistaken.run, "", id="asked")
        await handle.result()
        with pytest.raises(WorkflowQueryFailedError, match="queries and validators can't use tasks"):
            await handle.query(Mistaken.starts_a_task)


async def test_a_wrong_value_in_a_request_is_refused_by_the_client(url: str) -> None:
    five: Any = 5
    async with await Client.connect(url) as client:
        open_one = client.get_workflow_handle("open")
        for wrong in (
            lambda: client.start_workflow(Mistaken.run, "", id=five),
            lambda: client.start_workflow(Mistaken.run, "", id="x", task_queue=five),
            lambda: client.start_workflow(Mistaken.run, "", id="x", request_id=five),
            lambda: client.start_workflow(Mistaken.run, "", id="x", memo={five: 1}),
            lambda: client.start_workflow(Mistaken.run, "", id="x", id_reuse_policy=five),
            lambda: open_one.signal("go", request_id=five),
            lambda: open_one.cancel(reason=five),
            lambda: open_one.terminate(reason=five),
            lambda: open_one.execute_update("go", id=five),
        ):
            with pytest.raises(TypeError):
                await wrong()
        with pytest.raises(ValueError, match="200 years"):
            await client.start_workflow(Mistaken.run, "", id="x", run_timeout=float("nan"))
        async with worker(client):
            assert await client.execute_workflow(Mistaken.run, "", id="x") == "well"
