"""PULL_WORKFLOW_MESSAGES: takes messages that were sent to the workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.kinds.kind import Kind
from tenuto.model.graph import Task

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision

LARGEST_BATCH = 100


class PullWorkflowMessages(Kind):
    def begin(self, decision: Decision, task: Task) -> None:
        size = task.input.get("batchSize", 1)
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            decision.end(task, "FAILED", reason=f"batchSize must be a number from 1, not {size!r}")
            return
        decision.start(task)
        self.advance(decision, task)

    def advance(self, decision: Decision, task: Task) -> None:
        waiting = decision.state.messages
        if not waiting and task.input.get("blocking", True):
            return
        size = min(int(task.input.get("batchSize", 1)), LARGEST_BATCH)
        taken = waiting[:size]
        if taken:
            decision.execution.change("messages_pulled", messages=waiting[size:])
        decision.end(task, "COMPLETED", {"messages": taken, "count": len(taken)})
