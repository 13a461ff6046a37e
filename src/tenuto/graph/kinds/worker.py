"""A task for a worker: SIMPLE, and every type that the engine does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.execution import GraphExecution
from tenuto.graph.kinds.kind import Kind
from tenuto.model.graph import Task

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision


class Worker(Kind):
    quiet = True

    def begin(self, decision: Decision, task: Task) -> None:
        decision.offer(task)

    def answers(self, execution: GraphExecution, task: Task) -> bool:
        return True
