"""How a graph execution ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tenuto.graph import failure_workflow, kinds, schemas, state_changes
from tenuto.graph.effects import Closed
from tenuto.graph.parents import tell_parents
from tenuto.graph.templates import ExpressionError
from tenuto.model.graph import GraphStatus, Task
from tenuto.model.json_values import Json

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision

#: A list of names of failed tasks is not kept longer than this.
NAMES = 1_000


def reason_of(task: Task, status: GraphStatus) -> str:
    """Why the workflow ends, when it ends because of `task`."""
    return f"Task {task.task_id} failed with status: {status} and reason: '{task.reason}'"


def status_after(task: Task) -> GraphStatus:
    """The workflow's status when it ends because of `task`."""
    if task.status == "CANCELED":
        return "TERMINATED"
    return "TIMED_OUT" if task.status == "TIMED_OUT" else "FAILED"


def close(
    decision: Decision,
    status: GraphStatus,
    reason: str = "",
    task: Task | None = None,
    *,
    output: dict[str, Json] | None = None,
    failure_workflow_too: bool = True,
    cancelled: bool = False,
) -> None:
    """End the workflow: cancel what is open, make the output, tell whoever waits. `cancelled`: its parent wanted it."""
    failed = [] if status == "COMPLETED" else _failed(decision, task)
    decision.execution.change(
        "ended",
        status=status,
        reason=reason,
        end_time=decision.now,
        queued=False,
        failed_references=_names(other.reference for other in failed),
        failed_tasks=_names(other.def_name for other in failed),
    )
    _end_open_tasks(decision)
    output, problem = _result(decision, task, output)
    if problem and status == "COMPLETED":
        status = "FAILED"
        decision.execution.change("bad_output", status=status, reason=problem)
    decision.execution.change("output", output=output)
    if status != "COMPLETED" and failure_workflow_too:
        failure_workflow.start(decision, task)
    decision.execution.effects.append(Closed())
    tell_parents(decision, cancelled=cancelled)


def _failed(decision: Decision, task: Task | None) -> list[Task]:
    """The tasks that have failed, that which ends the workflow first."""
    failed = [] if task is None or task.successful else [task]
    return failed + [other for other in decision.state.tasks.values() if other.status in _FAILED and other is not task]


_FAILED = frozenset(("FAILED", "FAILED_WITH_TERMINAL_ERROR", "TIMED_OUT"))


def _names(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))[:NAMES]


def _end_open_tasks(decision: Decision) -> None:
    # What has ended well but was not gone on from stays so: the workflow may be revived.
    for task in list(decision.state.open.values()):
        if task.open and not task.parent_task_id:
            kinds.of(task).cancel(decision, task)
            decision.end(task, "CANCELED", executed=True)
    state_changes.carry_over(decision)


def _result(decision: Decision, task: Task | None, output: dict[str, Json] | None) -> tuple[dict[str, Json], str]:
    """The output, and what is wrong with it."""
    definition = decision.state.plan.snapshot.workflow
    try:
        output = _output(decision, task) if output is None else output
    except ExpressionError as error:
        return {}, f"the outputParameters can't be evaluated: {error}"
    problem = decision.weight_problem("the output of the workflow", output)
    if problem:
        return {}, problem
    if not definition.enforce_schema or definition.output_schema is None:
        return output, ""
    problem = schemas.problem(definition.output_schema, output, decision.context.definitions)
    return output, problem and f"the output is not what the outputSchema allows: {problem}"


def _output(decision: Decision, task: Task | None) -> dict[str, Json]:
    """The output by the definition; else that of the task that ended last, or that failed."""
    template = decision.state.plan.snapshot.workflow.output_parameters
    if template:
        value = decision.value(template)
        return value if isinstance(value, dict) else {}
    if task is not None:
        return task.output
    shown = [other for other in decision.state.tasks.values() if not other.retried and not other.parent_task_id]
    return max(shown, key=lambda other: other.seq).output if shown else {}
