"""NOOP: a task that is over at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.kinds.kind import Kind
from tenuto.model.graph import Task

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision


class Noop(Kind):
    def begin(self, decision: Decision, task: Task) -> None:
        decision.end(task, "COMPLETED")
