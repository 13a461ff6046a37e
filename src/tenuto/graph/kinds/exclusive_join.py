"""EXCLUSIVE_JOIN: goes on with the first of several tasks that has run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.definitions import WorkflowTask
from tenuto.graph.kinds.kind import Kind
from tenuto.graph.naming import with_scope
from tenuto.model.graph import Task

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision


class ExclusiveJoin(Kind):
    retriable = False

    def schedule(self, decision: Decision, node: WorkflowTask, scope: tuple[int, ...]) -> None:
        input = {
            "joinOn": [with_scope(name, scope) for name in node.join_on],
            "defaultExclusiveJoinTask": [with_scope(name, scope) for name in node.default_exclusive_join_task],
        }
        decision.create(node, scope, input=input, status="IN_PROGRESS")

    def begin(self, decision: Decision, task: Task) -> None:
        decision.start(task)

    def advance(self, decision: Decision, task: Task) -> None:
        for name in [*task.input.get("joinOn", []), *task.input.get("defaultExclusiveJoinTask", [])]:
            joined = decision.state.by_reference.get(name)
            if joined is None or joined.status == "SKIPPED":
                continue
            if not joined.executed:
                return  # it runs: its end decides
            if joined.successful:
                decision.end(task, "COMPLETED", joined.output)
            else:
                decision.end(task, "FAILED", joined.output, reason=f"{joined.reference} is {joined.status}")
            return

    def stalled(self, decision: Decision, task: Task) -> None:
        decision.end(task, "FAILED", reason="none of the tasks in joinOn or defaultExclusiveJoinTask has run")
