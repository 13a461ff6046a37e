"""HUMAN and WAIT_FOR_WEBHOOK: in progress until they are updated from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.kinds.kind import Kind
from tenuto.model.graph import Task

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision


class Human(Kind):
    quiet = True

    def begin(self, decision: Decision, task: Task) -> None:
        decision.start(task)
