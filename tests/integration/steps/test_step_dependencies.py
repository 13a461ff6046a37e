"""Steps as decorated functions that depend on each other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tenuto.exceptions import ApplicationError
from tenuto.steps import WorkflowEntrypoint, WorkflowStep
from tests.support.durable import an_id, failure_of, serving


def diamond(concurrent: bool, ran: list[str]) -> type[WorkflowEntrypoint]:
    """top and, of it, left and right, and of these bottom."""

    class Diamond(WorkflowEntrypoint):
        async def run(self, event: Any, step: WorkflowStep) -> Any:
            @step.do("top")
            async def top() -> int:
                ran.append("top")
                return 1

            @step.do("left", depends=[top])
            async def left(n: int) -> int:
                ran.append("left")
                await both.wait() if concurrent else None
                return n + 10

            @step.do("right", depends=[top], config={"retries": {"limit": 1, "delay": 0}})
            async def right(n: int, ctx: Any) -> int:
                if ctx.attempt == 1:
                    raise ValueError("try again")
                ran.append("right")
                both.set()
                return n + 100

            @step.do("bottom", depends=[left, right], concurrent=concurrent)
            def bottom(a: int, b: int) -> list[int]:
                ran.append("bottom")
                return [a, b]

            both = asyncio.Event()
            await step.do("declared", lambda: ran.append("declared"))
            return [await bottom(), await top()]

    return Diamond


@pytest.mark.parametrize("cached", [1000, 0])
async def test_each_dependency_runs_once_and_hands_its_result_on(cached: int) -> None:
    ran: list[str] = []
    workflow = diamond(False, ran)
    async with serving(workflow, max_cached_workflows=cached) as client:
        assert await client.execute_workflow(workflow, id=an_id()) == [[11, 101], 1]
    assert ran == ["declared", "top", "left", "right", "bottom", "top"]


async def test_concurrent_dependencies_run_at_the_same_time() -> None:
    workflow = diamond(True, [])
    async with serving(workflow) as client:
        assert await client.execute_workflow(workflow, id=an_id()) == [[11, 101], 1]


async def test_a_dependency_must_be_a_decorated_step() -> None:
    class Wrong(WorkflowEntrypoint):
        async def run(self, event: Any, step: WorkflowStep) -> Any:
            @step.do("top", depends=[print])  # type: ignore[list-item]
            def top() -> None: ...

    async with serving(Wrong) as client:
        error = await failure_of(client.execute_workflow(Wrong, id=an_id()))
    assert isinstance(error, ApplicationError)
    assert "can only depend on other decorated steps" in error.message
