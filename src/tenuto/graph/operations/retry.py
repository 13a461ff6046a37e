"""Retry: an execution that has failed goes on from its failed tasks."""

from __future__ import annotations

from tenuto.graph import failing
from tenuto.graph.context import Context
from tenuto.graph.decision import Decision
from tenuto.graph.execution import GraphExecution
from tenuto.graph.operations.revive import WAITING_KINDS, has_graph_child, reopen, resume_child, resume_task
from tenuto.graph.parents import tell_parents
from tenuto.graph.refusal import Refusal
from tenuto.model.errors import RPCStatusCode
from tenuto.model.graph import Task
from tenuto.model.graph_messages import GraphRetry

FAILED = frozenset(("FAILED", "FAILED_WITH_TERMINAL_ERROR", "TIMED_OUT", "CANCELED"))


def retry(execution: GraphExecution, context: Context, request: GraphRetry) -> None:
    """Try all failed and cancelled tasks again. With `resume_sub_workflows`, a failed sub-workflow is retried itself
    instead of being started anew."""
    state = execution.state
    if request.parent is not None and _is_fine(execution, context):
        return
    if not state.closed:
        raise Refusal(
            f"workflow {execution.workflow_id} is {state.status}: only one that has ended can be retried",
            RPCStatusCode.NOT_FOUND,
        )
    if not state.tasks:
        raise Refusal(f"workflow {execution.workflow_id} has no tasks, so there is nothing to retry: restart it")
    failed = sorted((task for task in state.by_reference.values() if task.status in FAILED), key=lambda task: task.seq)
    if not failed and state.status != "TIMED_OUT":
        raise Refusal(f"workflow {execution.workflow_id} has no failed tasks: there is nothing to retry")
    decision = Decision(execution, context)
    reopen(decision, "retried")
    for task in failed:
        _retry(decision, task, request)


def _is_fine(execution: GraphExecution, context: Context) -> bool:
    """Does a parent that wants this execution to go on get what it wants without a retry?"""
    state = execution.state
    decision = Decision(execution, context)
    if state.status == "COMPLETED":
        tell_parents(decision)
    elif state.closed and not any(task.status in FAILED for task in state.by_reference.values()):
        reopen(decision, "retried")
    return not state.closed or state.status == "COMPLETED"


def _retry(decision: Decision, task: Task, request: GraphRetry) -> None:
    if task.kind in WAITING_KINDS:
        again = task.retry_count if task.status == "CANCELED" else task.retry_count + 1
        resume_task(decision, task, "retried", retry_count=again)
    elif task.kind == "FORK_JOIN" or (task.kind == "FORK_JOIN_DYNAMIC" and task.memory.get("branches")):
        decision.execution.change_task(
            task, "retried", status="COMPLETED", executed=False, retry_count=task.retry_count + 1
        )
    elif request.resume_sub_workflows and has_graph_child(task):
        resume_child(decision, task)
    else:
        failing.retry(decision, task, 0.0, decision.now)
