"""`onStateChange`: tasks that are scheduled because another task got a new status.

Such a task stands beside the workflow: its failure never affects it, nothing comes after it, and no loop or join waits
for it. The workflow completes when it has ended too. If the workflow ends otherwise, what is still open goes on in an
execution of its own, so that the news of a failure is not lost with the failure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph import kinds
from tenuto.graph.definitions import StateChangeEvent, WorkflowDef, WorkflowTask
from tenuto.graph.templates import ExpressionError, escaped
from tenuto.model.graph import Task, TaskStatus
from tenuto.model.graph_messages import GraphStart
from tenuto.model.json_values import Json

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision

EVENTS: dict[TaskStatus, str] = {
    "SCHEDULED": "onScheduled",
    "IN_PROGRESS": "onStart",
    "COMPLETED": "onSuccess",
    "COMPLETED_WITH_ERRORS": "onSuccess",
    "FAILED": "onFailed",
    "FAILED_WITH_TERMINAL_ERROR": "onFailed",
    "TIMED_OUT": "onFailed",
    "CANCELED": "onCancelled",
}
#: Other spellings that are understood.
_ALIASES = {"oncompleted": "onsuccess", "oncanceled": "oncancelled"}
#: These need more of a definition than a payload.
_OPERATORS = frozenset(
    (
        "DECISION",
        "DO_WHILE",
        "DYNAMIC",
        "EXCLUSIVE_JOIN",
        "FORK_JOIN",
        "FORK_JOIN_DYNAMIC",
        "JOIN",
        "SUB_WORKFLOW",
        "SWITCH",
        "TERMINATE",
    )
)


def react(decision: Decision, task: Task, status: TaskStatus) -> None:
    """Schedule what the definition wants when `task` becomes `status`, which it is already."""
    changes = decision.execution.node(task).on_state_change
    event = EVENTS.get(status)
    if not changes or event is None:
        return
    for names, wanted in changes.items():
        if event.lower() in {_name(name) for name in names.split(",")}:
            for change in wanted:
                _schedule(decision, task, event, change)


def _name(text: str) -> str:
    name = text.strip().lower()
    return _ALIASES.get(name, name)


def _schedule(decision: Decision, task: Task, event: str, change: StateChangeEvent) -> None:
    number = 1
    while (reference := f"{task.reference}_{event}_{number}") in decision.state.by_reference:
        number += 1
    node = WorkflowTask(name=change.type, task_reference_name=reference, type=change.type, optional=True)
    problem = f"a task of type {change.type} can't be made by a state change" if change.type in _OPERATORS else ""
    payload: dict[str, Json] = {}
    try:
        payload = decision.value(change.payload, task)
        weight = decision.weight_problem(f"the payload of {event}", payload)
        payload, problem = ({}, weight) if weight else (payload, problem)
    except ExpressionError as error:
        problem = f"the payload of {event}: {error}"
    kind = kinds.WORKER if problem else None
    beside = decision.create(node, (), kind=kind, input=payload, parent_task_id=task.task_id)
    if problem:
        decision.end(beside, "FAILED_WITH_TERMINAL_ERROR", reason=problem)


def carry_over(decision: Decision) -> None:
    """The workflow ends: let those that are still open go on elsewhere."""
    state = decision.state
    beside = [task for task in state.open.values() if task.open and task.parent_task_id]
    if not beside:
        return
    workflow_id = decision.context.new_workflow_id()
    nodes: list[WorkflowTask] = []
    for task in beside:
        node = decision.execution.node(task)
        nodes.append(
            WorkflowTask(
                name=node.name,
                task_reference_name=task.reference,
                type=node.type,
                optional=True,
                input_parameters=escaped(task.input),
            )
        )
        decision.end(task, "SKIPPED", reason=f"goes on in workflow {workflow_id}", executed=True)
    definition = WorkflowDef(name=f"{state.started.workflow_type}_state_changes", tasks=nodes)
    decision.send(
        workflow_id,
        GraphStart(
            definition.name,
            definition.version,
            decision.context.definitions.snapshot_of(definition),
            {"workflowId": decision.execution.workflow_id},
            correlation_id=state.correlation_id,
            task_to_domain=state.started.task_to_domain,
            created_by=state.started.created_by,
        ),
    )
