"""SET_VARIABLE: every input becomes a variable of the workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.kinds.kind import Kind
from tenuto.model.graph import Task
from tenuto.model.json_values import encode_json

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision

#: Bytes that all variables of a workflow may take, as JSON.
LIMIT = 256 * 1024


class SetVariable(Kind):
    def begin(self, decision: Decision, task: Task) -> None:
        problem = decision.weight_problem("the workflow's variables", decision.state.variables | task.input)
        if problem:
            decision.end(task, "FAILED_WITH_TERMINAL_ERROR", reason=problem)
            return
        size = len(encode_json(decision.state.variables | task.input))
        if size > LIMIT:
            reason = f"the workflow's variables would take {size:,} bytes; the limit is {LIMIT:,}. None was changed"
            decision.end(task, "FAILED_WITH_TERMINAL_ERROR", reason=reason)
            return
        decision.execution.change("set_variable", variables=task.input)
        decision.end(task, "COMPLETED")
