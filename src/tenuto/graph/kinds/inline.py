"""INLINE: a script over the task's input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.kinds.script import Script
from tenuto.model.graph import Task
from tenuto.model.json_values import Json

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision

SCRIPTS = ("javascript", "graaljs")


class Inline(Script):
    def ask(self, decision: Decision, task: Task) -> None:
        evaluator = str(task.input.get("evaluatorType") or "javascript").lower()
        expression = task.input.get("expression")
        if not isinstance(expression, str) or not expression.strip():
            self._fail(decision, task, "the input has no `expression`, or an empty one")
        elif evaluator == "value-param":
            decision.end(task, "COMPLETED", {"result": task.input.get(expression)})
        elif evaluator in SCRIPTS:
            decision.evaluate(task, expression, task.input)
        else:
            self._fail(decision, task, f"evaluatorType {evaluator!r} is not known; use javascript or value-param")

    def evaluated(self, decision: Decision, task: Task, value: Json, error: str, fatal: bool) -> None:
        if not error:
            decision.end(task, "COMPLETED", {"result": value})
        elif fatal:
            self._fail(decision, task, error)
        else:
            decision.end(task, "FAILED", {"error": error}, reason=error)

    def _fail(self, decision: Decision, task: Task, error: str) -> None:
        decision.end(task, "FAILED_WITH_TERMINAL_ERROR", {"error": error}, reason=error)
