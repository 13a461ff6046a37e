"""What becomes of a task that has failed: another attempt, tolerance, or the end of the workflow."""

from __future__ import annotations

import msgspec

from tenuto.graph import closing, kinds
from tenuto.graph.decision import SECOND, Decision
from tenuto.graph.definitions import TaskDef
from tenuto.model.graph import RETRIABLE_STATUSES, Task

LONGEST_DELAY = 2**31 - 1


def tolerate(decision: Decision, task: Task) -> bool:
    """Deal with a task that has ended badly. True if the workflow goes on behind it as if it had succeeded."""
    if _retry_if_allowed(decision, task):
        return False
    node = decision.execution.node(task)
    if node.optional:
        decision.execution.change_task(task, "optional", status="COMPLETED_WITH_ERRORS")
        return True
    if node.permissive:
        return True
    status = closing.status_after(task)
    decision.execution.change_task(task, "settled", executed=True)
    closing.close(decision, status, closing.reason_of(task, status), task)
    return False


def _retry_if_allowed(decision: Decision, task: Task) -> bool:
    definition = decision.execution.task_def(task)
    if task.status not in RETRIABLE_STATUSES or not kinds.of(task).retriable:
        return False
    node = decision.execution.node(task)
    limit = definition.retry_count if node.retry_count is None else node.retry_count
    if task.retry_count >= limit:
        return False
    delay = delay_after(definition, task.retry_count)
    jitter = decision.context.random() * definition.backoff_jitter_ms / 1000
    at = decision.now + int((delay + jitter) * SECOND)
    total = definition.total_timeout_seconds
    if total > 0 and at >= task.first_scheduled + int(total * SECOND):
        return False
    retry(decision, task, delay, at)
    return True


def delay_after(definition: TaskDef, retries: int) -> float:
    """Seconds to wait after the attempt number `retries` (from 0) has failed, without jitter."""
    delay = float(definition.retry_delay_seconds)
    match definition.retry_logic:
        case "LINEAR_BACKOFF":
            delay *= definition.backoff_scale_factor * (retries + 1)
        case "EXPONENTIAL_BACKOFF":
            delay *= 2.0 ** min(retries, 64)
    delay = min(delay, float(LONGEST_DELAY))
    longest = definition.max_retry_delay_seconds
    return min(delay, float(longest)) if longest > 0 else delay


def retry(decision: Decision, task: Task, delay: float, available_at: int) -> Task:
    """A new attempt, as a task of its own; the old one is marked and stays in the list."""
    node = decision.execution.node(task)
    attempt = msgspec.structs.replace(
        task,
        number=decision.state.last_number + 1,
        task_id=decision.context.new_id(),
        seq=decision.state.next_seq,
        status="SCHEDULED",
        retry_count=task.retry_count + 1,
        retried_task_id=task.task_id,
        retried=False,
        executed=False,
        output={},
        memory={},
        scheduled_time=decision.now,
        start_time=0,
        end_time=0,
        update_time=decision.now,
        available_at=available_at,
        start_delay=delay,
        callback_after=delay,
        poll_count=0,
        worker_id="",
        sub_workflow_id="",
    )
    decision.give_input(attempt, node, task.input)
    decision.execution.change_task(task, "retried", retried=True, executed=True)
    decision.record(attempt)
    return attempt
