"""How a graph execution ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tenuto.graph import failure_workflow, kinds
from tenuto.graph.effects import Closed
from tenuto.graph.parents import tell_parents
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
) -> None:
    """End the workflow: cancel what is open, make the output, tell whoever waits."""
    state = decision.state
    failed = [] if task is None or task.successful else [task]
    failed += [other for other in state.tasks.values() if other.status in _FAILED and other is not task]
    if status == "COMPLETED":
        failed = []
    decision.execution.change(
        "ended",
        status=status,
        reason=reason,
        end_time=decision.now,
        queued=False,
        failed_references=_names(other.reference for other in failed),
        failed_tasks=_names(other.def_name for other in failed),
    )
    _cancel_open_tasks(decision)
    if output is None:
        output = _output(decision, task)
    decision.execution.change("output", output=output)
    if status != "COMPLETED" and failure_workflow_too:
        failure_workflow.start(decision, task)
    decision.execution.effects.append(Closed())
    tell_parents(decision)


_FAILED = frozenset(("FAILED", "FAILED_WITH_TERMINAL_ERROR", "TIMED_OUT"))


def _names(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))[:NAMES]


def _cancel_open_tasks(decision: Decision) -> None:
    # What has ended well but was not gone on from stays so: the workflow may be revived.
    for task in list(decision.state.open.values()):
        if task.open:
            kinds.of(task).cancel(decision, task)
            decision.end(task, "CANCELED", executed=True)


def _output(decision: Decision, task: Task | None) -> dict[str, Json]:
    """The output by the definition; else that of the task that ended last, or that failed."""
    template = decision.state.plan.snapshot.workflow.output_parameters
    if template:
        value = decision.value(template)
        return value if isinstance(value, dict) else {}
    if task is not None:
        return task.output
    shown = [other for other in decision.state.tasks.values() if not other.retried]
    return max(shown, key=lambda other: other.seq).output if shown else {}
