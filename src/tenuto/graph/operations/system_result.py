"""What a system task came to."""

from __future__ import annotations

from tenuto.graph.context import Context
from tenuto.graph.decision import SECOND, Decision
from tenuto.graph.execution import GraphExecution
from tenuto.model.system_tasks import SystemTaskResult


def take(execution: GraphExecution, context: Context, number: int, result: SystemTaskResult) -> None:
    """Take the result in. One for a task that has ended meanwhile changes nothing."""
    execution.running.discard(number)
    task = execution.state.tasks.get(number)
    if task is None or not task.open or execution.state.closed:
        return
    decision = Decision(execution, context)
    problem = decision.weight_problem(f"the output of {task.reference}", result.output)
    if problem:
        decision.end(task, "FAILED_WITH_TERMINAL_ERROR", {}, problem)
        return
    if result.status != "IN_PROGRESS":
        decision.end(task, result.status, result.output, result.reason or "")
        return
    waits = result.callback_after <= 0
    execution.change_task(
        task,
        "in_progress",
        output=result.output,
        poll_count=task.poll_count + 1,
        callback_after=result.callback_after,
        available_at=decision.now + int(result.callback_after * SECOND),
        memory={"completes_from_outside": True} if waits else task.memory,
    )
