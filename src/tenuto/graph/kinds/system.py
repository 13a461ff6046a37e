"""A task that the engine's process runs itself because it needs the world outside: HTTP, EVENT, KAFKA_PUBLISH ..."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.execution import GraphExecution
from tenuto.graph.kinds.kind import Kind
from tenuto.model.graph import Task

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision


class System(Kind):
    """Goes through a queue like a worker's task, so that the same limits hold."""

    def begin(self, decision: Decision, task: Task) -> None:
        decision.offer(task)

    def advance(self, decision: Decision, task: Task) -> None:
        if not self.waits(task):
            decision.run(task)

    def waits(self, task: Task) -> bool:
        return bool(task.memory.get("completes_from_outside"))

    def answers(self, execution: GraphExecution, task: Task) -> bool:
        return not execution.node(task).async_complete
