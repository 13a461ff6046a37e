"""SWITCH: goes on with one of several branches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.definitions import WorkflowTask
from tenuto.graph.kinds.kind import Kind
from tenuto.model.graph import Task
from tenuto.model.json_values import Json, encode_json

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision

SCRIPTS = ("javascript", "graaljs")


class Switch(Kind):
    retriable = False

    def schedule(self, decision: Decision, node: WorkflowTask, scope: tuple[int, ...]) -> None:
        decision.create(node, scope, def_name=node.type)

    def begin(self, decision: Decision, task: Task) -> None:
        node = decision.execution.node(task)
        evaluator = (node.evaluator_type or "value-param").lower()
        decision.start(task)
        if evaluator == "value-param":
            self._choose(decision, task, node, task.input.get(node.expression or ""))
        elif evaluator in SCRIPTS:
            decision.evaluate(task, node.expression or "", task.input)
        else:
            decision.end(task, "FAILED", reason=f"evaluatorType {node.evaluator_type!r} is not known; use javascript")

    def advance(self, decision: Decision, task: Task) -> None:
        decision.evaluate(task, decision.execution.node(task).expression or "", task.input)

    def evaluated(self, decision: Decision, task: Task, value: Json, error: str, fatal: bool) -> None:
        if error:
            decision.end(task, "FAILED", reason=f"the expression of {task.reference} failed: {error}")
        else:
            self._choose(decision, task, decision.execution.node(task), value)

    def _choose(self, decision: Decision, task: Task, node: WorkflowTask, value: Json) -> None:
        case = case_name(value)
        output: dict[str, Json] = {"evaluationResult": [case], "selectedCase": case}
        input = task.input | {"case": case}
        branch = node.decision_cases.get(case, node.default_case)
        if branch:
            input["hasChildren"] = "true"
        decision.end(task, "COMPLETED", output, input=input, memory={"branch": case})

    def ended(self, decision: Decision, task: Task) -> None:
        node = decision.execution.node(task)
        case = task.memory.get("branch", "")
        branch = node.decision_cases.get(case, node.default_case)
        if branch and task.status == "COMPLETED":
            decision.schedule(branch[0], task.scope)
        else:
            decision.schedule_after(task)


def case_name(value: Json) -> str:
    """The text under which a value is looked up among the cases."""
    if isinstance(value, str):
        return value
    return encode_json(value).decode()
