"""DYNAMIC: a task whose name is known only when it is scheduled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tenuto.graph import kinds
from tenuto.graph.definitions import WorkflowTask
from tenuto.graph.kinds.kind import Kind
from tenuto.graph.templates import ExpressionError
from tenuto.model.graph import Task

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision


class Dynamic(Kind):
    retriable = False

    def schedule(self, decision: Decision, node: WorkflowTask, scope: tuple[int, ...]) -> None:
        try:
            probe = decision.value(node.input_parameters)
        except ExpressionError:
            decision.create(node, scope)  # which fails, and says why
            return
        name = probe.get(node.dynamic_task_name_param or "")
        if not isinstance(name, str) or not name:
            reason = f"the input {node.dynamic_task_name_param!r} names no task to run: it is {name!r}"
            task = decision.create(node, scope, status="FAILED_WITH_TERMINAL_ERROR", input=probe)
            decision.execution.change_task(task, "failed", reason=reason)
            return
        # It runs as that task; retries and timeouts are those of its definition.
        resolved = msgspec.structs.replace(node, name=name, type=_type_of(decision, name))
        kinds.kind_of(resolved.type, decision.context.system_types).schedule(decision, resolved, scope)

    def begin(self, decision: Decision, task: Task) -> None:
        raise AssertionError("a DYNAMIC task becomes what it names")


def _type_of(decision: Decision, name: str) -> str:
    """A task type that the engine knows can be named; anything else is a worker's task."""
    known = name in kinds.KINDS or name in decision.context.system_types
    return name if known and name != "DYNAMIC" else "SIMPLE"
