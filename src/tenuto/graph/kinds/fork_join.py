"""FORK_JOIN: several branches at once, up to the JOIN that follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.definitions import WorkflowTask
from tenuto.graph.kinds.kind import Kind
from tenuto.model.graph import Task

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision


class ForkJoin(Kind):
    retriable = False

    def schedule(self, decision: Decision, node: WorkflowTask, scope: tuple[int, ...]) -> None:
        decision.create(node, scope, task_type="FORK", def_name="FORK", status="COMPLETED")

    def ended(self, decision: Decision, task: Task) -> None:
        for branch in decision.execution.node(task).fork_tasks:
            if branch:
                decision.schedule(branch[0], task.scope)
        decision.schedule_after(task)
