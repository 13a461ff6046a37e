"""DECISION, the older SWITCH."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.definitions import WorkflowTask
from tenuto.graph.kinds.kind import Kind
from tenuto.graph.kinds.switch import case_name
from tenuto.model.graph import Task
from tenuto.model.json_values import Json

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision


class DecisionTask(Kind):
    retriable = False

    def schedule(self, decision: Decision, node: WorkflowTask, scope: tuple[int, ...]) -> None:
        decision.create(node, scope, def_name=node.type)

    def begin(self, decision: Decision, task: Task) -> None:
        node = decision.execution.node(task)
        decision.start(task)
        if node.case_expression:
            decision.evaluate(task, node.case_expression, task.input)
        else:
            self._choose(decision, task, node, task.input.get(node.case_value_param or ""))

    def advance(self, decision: Decision, task: Task) -> None:
        decision.evaluate(task, decision.execution.node(task).case_expression or "", task.input)

    def evaluated(self, decision: Decision, task: Task, value: Json, error: str, fatal: bool) -> None:
        if error:
            decision.end(task, "FAILED", reason=f"the caseExpression of {task.reference} failed: {error}")
        else:
            self._choose(decision, task, decision.execution.node(task), value)

    def _choose(self, decision: Decision, task: Task, node: WorkflowTask, value: Json) -> None:
        case = case_name(value)
        input = task.input | {"case": case}
        if node.decision_cases.get(case) or node.default_case:
            input["hasChildren"] = "true"
        decision.end(task, "COMPLETED", {"caseOutput": [case]}, input=input, memory={"branch": case})

    def ended(self, decision: Decision, task: Task) -> None:
        node = decision.execution.node(task)
        # Unlike SWITCH, an empty list of tasks leads to the default case too.
        branch = node.decision_cases.get(task.memory.get("branch") or "") or node.default_case
        if branch and task.status == "COMPLETED":
            decision.schedule(branch[0], task.scope)
        else:
            decision.schedule_after(task)
