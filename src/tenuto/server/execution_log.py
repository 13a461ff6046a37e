"""Logs what goes wrong in executions: workflows that fail, time out or are terminated, tasks that fail or time out.

These are no faults of the server, so they are INFO. What goes well is counted (`execution_metrics`), not logged."""

from __future__ import annotations

import logging

from tenuto.engine.batch import Batch
from tenuto.engine.observer import Transition
from tenuto.model.graph import Task

logger = logging.getLogger("tenuto.executions")

#: Characters of a reason that are logged; all of it is in the execution.
LONGEST_REASON = 500

_TASK_ACTIONS = {
    "FAILED": "task_failed",
    "FAILED_WITH_TERMINAL_ERROR": "task_failed",
    "TIMED_OUT": "task_timed_out",
}
_WORKFLOW_ACTIONS = {
    "FAILED": "workflow_failed",
    "TIMED_OUT": "workflow_timed_out",
    "TERMINATED": "workflow_terminated",
}


class ExecutionLog:
    """An observer of the engine."""

    def committed(self, batch: Batch) -> None:
        """Log what a batch holds of what went wrong."""
        if not logger.isEnabledFor(logging.INFO):
            return
        for transition in batch.transitions:
            if transition.task is None:
                action = _WORKFLOW_ACTIONS.get(transition.status)
                if action is not None:
                    _log_workflow(action, transition)
            else:
                action = _TASK_ACTIONS.get(transition.status)
                if action is not None:
                    _log_task(action, transition, transition.task)


def _log_workflow(action: str, transition: Transition) -> None:
    state = transition.graph.state
    started = state.started
    logger.info(
        "workflow %s is %s%s",
        started.workflow_type,
        transition.status,
        _because(state.reason),
        extra={
            "action": action,
            "workflow_id": started.workflow_id,
            "workflow_type": started.workflow_type,
            "correlation_id": state.correlation_id,
        },
    )


def _log_task(action: str, transition: Transition, task: Task) -> None:
    started = transition.graph.state.started
    logger.info(
        "task %s of %s is %s%s",
        task.reference,
        started.workflow_type,
        transition.status,
        _because(task.reason),
        extra={
            "action": action,
            "workflow_id": started.workflow_id,
            "workflow_type": started.workflow_type,
            "task_id": task.task_id,
            "task_type": task.task_type,
            "retry_count": task.retry_count,
            "worker_id": task.worker_id,
        },
    )


def _because(reason: str) -> str:
    if len(reason) > LONGEST_REASON:
        reason = f"{reason[:LONGEST_REASON]}... ({len(reason)} characters)"
    return f": {reason}" if reason else ""
