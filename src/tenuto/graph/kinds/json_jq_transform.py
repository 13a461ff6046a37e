"""JSON_JQ_TRANSFORM: a jq program over the task's input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.kinds.script import Script
from tenuto.model.graph import Task
from tenuto.model.json_values import Json

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision


class JsonJqTransform(Script):
    def ask(self, decision: Decision, task: Task) -> None:
        program = task.input.get("queryExpression")
        if not isinstance(program, str) or not program.strip():
            reason = "the input has no `queryExpression`, or an empty one"
            decision.end(task, "FAILED", {"error": reason}, reason=reason)
        else:
            decision.evaluate(task, program, task.input, language="jq")

    def evaluated(self, decision: Decision, task: Task, value: Json, error: str, fatal: bool) -> None:
        if error:
            decision.end(task, "FAILED", {"error": error}, reason=error)
            return
        results: list[Json] = value if isinstance(value, list) else []
        output: dict[str, Json] = {"resultList": results}
        if results:
            output["result"] = results[0]
        decision.end(task, "COMPLETED", output)
