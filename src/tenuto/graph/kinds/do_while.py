"""DO_WHILE: a body of tasks, again and again; over a condition, over a list, or over both."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tenuto.graph.definitions import WorkflowTask
from tenuto.graph.kinds.kind import Kind
from tenuto.graph.naming import with_scope
from tenuto.model.graph import Task
from tenuto.model.json_values import Json

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision

_FOR_EACH = re.compile(r"if \( \$\.[^ ]+\.iteration < 0 \) \{ true; \} else \{ false; \}")


class DoWhile(Kind):
    """`memory` holds the current `iteration` and, for a list, its `items`."""

    retriable = False

    def begin(self, decision: Decision, task: Task) -> None:
        node = decision.execution.node(task)
        items = _items(decision, node, task)
        if not node.loop_over:
            decision.end(task, "FAILED_WITH_TERMINAL_ERROR", reason=f"{task.reference} has no tasks in loopOver")
        elif items is not None and not isinstance(items, list):
            reason = f"the items of {task.reference} must be a list, not {type(items).__name__}"
            decision.end(task, "FAILED_WITH_TERMINAL_ERROR", reason=reason)
        elif items == []:
            decision.end(task, "COMPLETED", {"iteration": 0})
        else:
            decision.start(task, output={}, memory={} if items is None else {"items": items})
            self._iterate(decision, task, node, 1)

    def advance(self, decision: Decision, task: Task) -> None:
        iteration = task.memory.get("iteration")
        if iteration is None:  # it was revived from its beginning
            self.begin(decision, task)
            return
        inside = (*task.scope, iteration)
        if any(other.scope[: len(inside)] == inside for other in decision.state.open.values()):
            return
        if not _ran(decision, task, inside):
            decision.schedule(decision.execution.node(task).loop_over[0], inside)
            return
        self._end_iteration(decision, task, inside)

    def _end_iteration(self, decision: Decision, task: Task, inside: tuple[int, ...]) -> None:
        node, state = decision.execution.node(task), decision.state
        finished: dict[str, Json] = {}
        for base in state.plan.inner_names(task.base):
            other = state.by_reference.get(with_scope(base, inside))
            if other is not None:
                finished[base] = other.output
        problem = decision.weight_problem(f"the output of an iteration of {task.reference}", finished)
        if problem:
            decision.end(task, "FAILED_WITH_TERMINAL_ERROR", reason=problem)
            return
        if task.output.get(str(inside[-1])) != finished:
            changes: dict[str, Json] = {"output+": {str(inside[-1]): finished}}
            dropped = _drop(decision, task, inside[-1])
            if dropped:
                changes["output-"] = dropped
            decision.execution.change_task(task, "iterated", **changes)
        items = task.memory.get("items")
        if items is not None and inside[-1] >= len(items):
            decision.end(task, "COMPLETED")
        elif node.loop_condition and not _only_lists(node):
            value = (
                decision.value(node.input_parameters, task)
                | finished
                | {task.base: task.output, task.reference: task.output}
            )
            decision.evaluate(task, node.loop_condition, value)
        else:
            self._next(decision, task, node)

    def evaluated(self, decision: Decision, task: Task, value: Json, error: str, fatal: bool) -> None:
        if error:
            reason = f"the loopCondition of {task.reference} failed: {error}"
            decision.end(task, "FAILED_WITH_TERMINAL_ERROR", reason=reason)
        elif goes_on(value):
            self._next(decision, task, decision.execution.node(task))
        else:
            decision.end(task, "COMPLETED")

    def _next(self, decision: Decision, task: Task, node: WorkflowTask) -> None:
        self._iterate(decision, task, node, int(task.memory["iteration"]) + 1)

    def _iterate(self, decision: Decision, task: Task, node: WorkflowTask, iteration: int) -> None:
        output: dict[str, Json] = {"iteration": iteration}
        items = task.memory.get("items")
        if items is not None:
            output |= {"loopIndex": iteration - 1, "loopItem": items[iteration - 1]}
        changes: dict[str, Json] = {"output+": output, "memory+": {"iteration": iteration}}
        decision.execution.change_task(task, "iterates", **changes)
        decision.schedule(node.loop_over[0], (*task.scope, iteration))


def _drop(decision: Decision, task: Task, iteration: int) -> list[str]:
    """Hide the tasks of the iterations that are not kept (`keepLastN`); returns their entries in the output."""
    keep = task.input.get("keepLastN")
    if not isinstance(keep, int) or isinstance(keep, bool) or keep < 1:
        return []
    oldest = iteration - keep + 1
    depth = len(task.scope)
    gone = [
        other
        for other in decision.state.tasks.values()
        if len(other.scope) > depth
        and other.scope[:depth] == task.scope
        and other.scope[depth] < oldest
        and decision.state.plan.inside(other.base, task.base)
    ]
    decision.execution.hide("keep_last", gone)
    return [name for name in task.output if name.isdigit() and int(name) < oldest]


def _items(decision: Decision, node: WorkflowTask, task: Task) -> Json:
    if node.items is not None:
        return decision.value(node.items, task)
    return task.input.get("items" if _only_lists(node) else "_items")


def _only_lists(node: WorkflowTask) -> bool:
    """Is it what the official Python client writes for a loop over a list? The list is then an input named `items`, and
    the condition one that never holds."""
    return _FOR_EACH.fullmatch(node.loop_condition or "") is not None


def _ran(decision: Decision, task: Task, inside: tuple[int, ...]) -> bool:
    return any(other.scope[: len(inside)] == inside for other in reversed(decision.state.tasks.values()))


def goes_on(value: Json) -> bool:
    """Does what a condition came to mean another iteration?"""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value > 0
    return isinstance(value, str) and value.strip().lower() == "true"
