"""Kinds whose work is a script: they ask for it to be run, and end with what it came to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.kinds.kind import Kind
from tenuto.model.graph import Task

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision


class Script(Kind):
    def begin(self, decision: Decision, task: Task) -> None:
        decision.start(task)
        self.ask(decision, task)

    def advance(self, decision: Decision, task: Task) -> None:
        self.ask(decision, task)  # unless the script is running already

    def ask(self, decision: Decision, task: Task) -> None:
        """Ask for the script to be run, or end the task if it makes no sense."""
        raise NotImplementedError
