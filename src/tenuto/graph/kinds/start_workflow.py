"""START_WORKFLOW: starts another execution and does not wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.definitions import decode_snapshot
from tenuto.graph.idempotency import idempotent_id
from tenuto.graph.kinds.kind import Kind
from tenuto.graph.schemas import input_problem
from tenuto.graph.start_parameters import BadStart, domains_of, input_of, priority_of, text_of, version_of
from tenuto.model.graph import Task
from tenuto.model.graph_messages import GraphStart

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision


class NotThere(Exception):
    """There is no such definition."""

    def __init__(self, name: str, version: int | None) -> None:
        self.name = name
        super().__init__(f"there is no workflow definition {f'version {version} of ' if version else ''}{name!r}")


class StartWorkflow(Kind):
    def begin(self, decision: Decision, task: Task) -> None:
        try:
            workflow_id, start = _start_message(decision, task)
        except NotThere as error:
            if not decision.looks_up(error.name):
                decision.end(task, "FAILED", reason=f"startWorkflow: {error}")
            return
        except BadStart as error:
            decision.end(task, "FAILED", reason=f"startWorkflow: {error}")
            return
        decision.send(workflow_id, start)
        decision.end(task, "COMPLETED", {"workflowId": workflow_id})


def _start_message(decision: Decision, task: Task) -> tuple[str, GraphStart]:
    request = task.input.get("startWorkflow")
    if not isinstance(request, dict) or not request.get("name"):
        raise BadStart("it must be an object with the name of a workflow")
    name, version = text_of(request["name"]), version_of(request.get("version"))
    definitions, started = decision.context.definitions, decision.state.started
    version = version or definitions.latest_version(name)
    snapshot = definitions.snapshot(name, version)
    if snapshot is None:
        raise NotThere(name, version)
    input = input_of(request.get("input"))
    problem = input_problem(decode_snapshot(snapshot).workflow, input, definitions)
    if problem:
        raise BadStart(problem)
    key = text_of(request.get("idempotencyKey"))
    return idempotent_id(name, key, 0) if key else decision.context.new_workflow_id(), GraphStart(
        name,
        version or 1,
        snapshot,
        input,
        correlation_id=text_of(request.get("correlationId")) or decision.state.correlation_id,
        priority=priority_of(request.get("priority")),
        task_to_domain=domains_of(request.get("taskToDomain")) or started.task_to_domain,
        created_by=text_of(request.get("createdBy")) or started.created_by,
        idempotency_key=key,
    )
