"""The end of a workflow in which nothing is open any more."""

from __future__ import annotations

from tenuto.graph import closing
from tenuto.graph.decision import Decision


def complete(decision: Decision) -> None:
    """COMPLETED; or FAILED, if a permissive task has failed on the way."""
    execution = decision.execution
    failed = [
        task
        for task in decision.state.tasks.values()
        if not task.successful and not task.retried and execution.node(task).permissive
    ]
    if not failed:
        closing.close(decision, "COMPLETED")
        return
    status = closing.status_after(failed[0])
    reasons = "; ".join(closing.reason_of(task, status) for task in failed[:20])
    if len(failed) > 20:
        reasons += f"; and {len(failed) - 20} more"
    closing.close(decision, status, reasons, failed[0])
