"""An execution that has ended goes on: by a retry or rerun of its own, or because one of its children does."""

from __future__ import annotations

from tenuto.graph.context import Context
from tenuto.graph.decision import Decision
from tenuto.graph.execution import GraphExecution
from tenuto.model.events import ParentRef
from tenuto.model.graph import Task
from tenuto.model.graph_messages import ChildRevived, GraphRetry

#: These wait for others; they go on where they were instead of being done again.
WAITING_KINDS = frozenset(("JOIN", "EXCLUSIVE_JOIN", "DO_WHILE"))


def reopen(decision: Decision, cause: str) -> None:
    """The execution is RUNNING again; its timeout counts anew, and its parents are open again too."""
    state = decision.state
    decision.execution.change(
        cause,
        status="RUNNING",
        reason="",
        end_time=0,
        output={},
        last_retried_time=decision.now,
        failed_references=[],
        failed_tasks=[],
    )
    parent = state.started.parent
    if parent is not None:
        revived = ChildRevived(parent.initiated_event_id, decision.execution.workflow_id, cause)
        decision.send(parent.workflow_id, revived, parent.run_id)


def resume_task(decision: Decision, task: Task, cause: str, **changes: object) -> None:
    """The task is IN_PROGRESS again, as if it had not ended."""
    decision.execution.change_task(task, cause, status="IN_PROGRESS", executed=False, end_time=0, reason="", **changes)


def has_graph_child(task: Task) -> bool:
    """Does the task wait for another graph? Durable code, which it may wait for too, can't be revived."""
    return task.kind == "SUB_WORKFLOW" and task.sub_workflow_id != "" and not task.memory.get("code")


def resume_child(decision: Decision, task: Task) -> None:
    """The sub-workflow of the task is retried, and the task waits for it again."""
    resume_task(decision, task, "resumed", sub_workflow_changed=True)
    parent = ParentRef(decision.execution.workflow_id, decision.state.started.run_id, task.number)
    decision.send(task.sub_workflow_id, GraphRetry(resume_sub_workflows=True, parent=parent))


def reschedule_task(decision: Decision, task: Task, cause: str, **changes: object) -> None:
    """The task, with its id, is to be done again from the beginning."""
    decision.execution.change_task(
        task,
        cause,
        status="SCHEDULED",
        executed=False,
        retried=False,
        output={},
        memory={},
        reason="",
        scheduled_time=decision.now,
        first_scheduled=decision.now,
        start_time=0,
        end_time=0,
        available_at=0,
        callback_after=0.0,
        start_delay=0.0,
        poll_count=0,
        worker_id="",
        sub_workflow_id="",
        **changes,
    )


def child_revived(execution: GraphExecution, context: Context, request: ChildRevived) -> None:
    """A child goes on, so the task that waits for it does, and this execution with it. Nothing happens if the task has
    been given up for a newer attempt, or was optional."""
    decision = Decision(execution, context)
    task = execution.state.tasks.get(request.number)
    if task is None or task.retried or task.sub_workflow_id != request.child_id:
        return
    if task.status in ("COMPLETED_WITH_ERRORS", "SKIPPED"):
        return
    resume_task(decision, task, request.cause, sub_workflow_changed=True)
    if not execution.state.closed:
        return
    reopen(decision, request.cause)
    for other in list(execution.state.by_reference.values()):
        if other is not task and other.status == "CANCELED":
            _take_up(decision, other)
        elif other is not task and has_graph_child(other) and other.status in ("FAILED", "TIMED_OUT"):
            resume_child(decision, other)


def _take_up(decision: Decision, task: Task) -> None:
    """A task that was cancelled together with its workflow."""
    if task.kind in WAITING_KINDS:
        resume_task(decision, task, "revived")
    elif has_graph_child(task):
        resume_child(decision, task)
    else:
        reschedule_task(decision, task, "revived", retry_count=task.retry_count + 1)
