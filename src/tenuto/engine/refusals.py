"""What those are told who ask the code of an execution and can't get an answer."""

from __future__ import annotations

from tenuto.model import messages as msg
from tenuto.model.errors import RPCStatusCode
from tenuto.model.tasks import WorkflowTaskBroken
from tenuto.store.protocol import ExecutionRow


def unreplayable(broken: WorkflowTaskBroken) -> msg.Refused:
    """The answer of code that doesn't get as far as its history."""
    return msg.Refused(RPCStatusCode.FAILED_PRECONDITION, f"the workflow can't be replayed: {broken.failure.message}")


def is_stuck(row: ExecutionRow) -> msg.Refused:
    """The answer of code that can't decide."""
    return msg.Refused(
        RPCStatusCode.FAILED_PRECONDITION, f"workflow {row.workflow_id!r} is stuck and can't answer: {row.problem}"
    )


def no_worker(row: ExecutionRow) -> msg.Refused:
    """The answer to whoever needs code that nobody has."""
    return msg.Refused(
        RPCStatusCode.UNAVAILABLE,
        f"no worker serves task queue {row.task_queue!r}, so the code of workflow {row.workflow_id!r} can't be asked; "
        "start one",
        reason="no_worker",
    )


def no_run() -> msg.Refused:
    """The answer of a run that is not (any more)."""
    return msg.Refused(RPCStatusCode.NOT_FOUND, "there is no such workflow run (any more)")
