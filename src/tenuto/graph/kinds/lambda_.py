"""LAMBDA, the older INLINE: the script is the body of a function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.kinds.script import Script
from tenuto.model.graph import Task
from tenuto.model.json_values import Json

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision


class Lambda(Script):
    def ask(self, decision: Decision, task: Task) -> None:
        script = task.input.get("scriptExpression")
        if not isinstance(script, str) or not script.strip():
            reason = "the input has no `scriptExpression`, or an empty one"
            decision.end(task, "FAILED", {"error": reason}, reason=reason)
        else:
            decision.evaluate(task, script, task.input, body=True)

    def evaluated(self, decision: Decision, task: Task, value: Json, error: str, fatal: bool) -> None:
        if error:
            decision.end(task, "FAILED", {"error": error}, reason=error)
        else:
            decision.end(task, "COMPLETED", {"result": value})
