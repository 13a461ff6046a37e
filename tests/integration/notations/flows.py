"""Durable code that graphs call, and that calls graphs."""

from __future__ import annotations

import asyncio
from typing import Any

from tenuto import activity, workflow
from tenuto.exceptions import ApplicationError
from tenuto.workflow import ParentClosePolicy


@activity.defn
async def double(number: int) -> int:
    return number * 2


@workflow.defn
class Double:
    @workflow.run
    async def run(self, order: dict[str, int]) -> int:
        return await double(order["number"])


@workflow.defn
class Describe:
    @workflow.run
    async def run(self, order: dict[str, Any]) -> dict[str, Any]:
        return {"got": order}


@workflow.defn
class Nothing:
    @workflow.run
    async def run(self, order: dict[str, Any]) -> None:
        return None


@workflow.defn
class Fails:
    @workflow.run
    async def run(self, order: dict[str, Any]) -> None:
        raise ApplicationError("no stock", type="NoStock")


@workflow.defn
class Waits:
    @workflow.run
    async def run(self, order: Any = None) -> None:
        await asyncio.Event().wait()


@workflow.defn
class Calls:
    """Runs a graph as its child and returns what it got."""

    @workflow.run
    async def run(self, graph: str, input: Any) -> Any:
        return await workflow.execute_child_workflow(graph, input, id=f"{workflow.info().workflow_id}-child")


@workflow.defn
class CallsAndGivesUp:
    """Cancels the graph that it started."""

    @workflow.run
    async def run(self, graph: str) -> str:
        child = await workflow.start_child_workflow(graph, {}, id=f"{workflow.info().workflow_id}-child")
        child.cancel()
        try:
            await child
        except asyncio.CancelledError:
            return "given up"
        return "done"


@workflow.defn
class Leaves:
    """Ends before the graph that it started does."""

    @workflow.run
    async def run(self, graph: str, policy: str) -> None:
        await workflow.start_child_workflow(
            graph,
            {},
            id=f"{workflow.info().workflow_id}-child",
            parent_close_policy=ParentClosePolicy[policy],
        )


@workflow.defn
class SignalsChild:
    """Sends a graph a signal, which it can't take."""

    @workflow.run
    async def run(self, graph: str) -> str:
        child = await workflow.start_child_workflow(graph, {}, id=f"{workflow.info().workflow_id}-child")
        try:
            await child.signal("go")
        except ApplicationError as error:
            return f"refused: {error}"
        return "sent"


@workflow.defn
class Demands:
    """Wants of a graph what only durable code can do."""

    @workflow.run
    async def run(self, graph: str) -> str:
        try:
            await workflow.start_child_workflow(graph, {}, memo={"a": 1})
        except ApplicationError as error:
            return f"refused: {error}"
        return "started"


WORKFLOWS = [Demands, Double, Describe, Nothing, Fails, Waits, Calls, CallsAndGivesUp, Leaves, SignalsChild]
ACTIVITIES = [double]
