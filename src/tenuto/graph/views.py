"""Executions and tasks in the form that Conductor's API shows them."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from tenuto.graph.definitions import TaskDef, to_json
from tenuto.graph.execution import GraphExecution
from tenuto.graph.plan import plan_of
from tenuto.model.graph import Task
from tenuto.model.json_values import Json, encode_json

MILLISECOND = 1_000_000


def workflow_view(execution: GraphExecution, *, tasks: bool = True) -> dict[str, Json]:
    """The execution as `GET /workflow/{id}` shows it."""
    state = execution.state
    started = state.started
    view: dict[str, Json] = {
        "workflowId": started.workflow_id,
        "workflowName": started.workflow_type,
        "workflowVersion": state.version,
        "workflowType": started.workflow_type,
        "version": state.version,
        "status": state.status,
        "startTime": state.start_time // MILLISECOND,
        "createTime": state.start_time // MILLISECOND,
        "updateTime": state.update_time // MILLISECOND,
        "endTime": state.end_time // MILLISECOND,
        "lastRetriedTime": state.last_retried_time // MILLISECOND,
        "input": state.input,
        "output": state.output,
        "variables": state.variables,
        "priority": started.priority,
        "taskToDomain": started.task_to_domain,
        "failedReferenceTaskNames": state.failed_references,
        "failedTaskNames": state.failed_tasks,
        "workflowDefinition": _definition_view(state.definition),
        "rateLimited": state.queued,
        "history": [],
        "tasks": [task_view(execution, task) for task in shown_tasks(execution)] if tasks else [],
    }
    _add(view, "correlationId", state.correlation_id)
    _add(view, "reasonForIncompletion", state.reason)
    _add(view, "createdBy", started.created_by)
    _add(view, "event", started.caused_by)
    _add(view, "idempotencyKey", started.idempotency_key)
    if started.parent is not None:
        view["parentWorkflowId"] = started.parent.workflow_id
        view["parentWorkflowTaskId"] = started.parent_task_id
    return view


def shown_tasks(execution: GraphExecution) -> list[Task]:
    """The tasks in the order in which people see them."""
    return sorted(execution.state.tasks.values(), key=lambda task: (task.seq, task.number))


def task_view(execution: GraphExecution, task: Task) -> dict[str, Json]:
    """The task as the API shows it."""
    started = execution.state.started
    definition = execution.task_def(task)
    begins = task.scheduled_time + int(task.start_delay * 1_000_000_000)
    view: dict[str, Json] = {
        "taskId": task.task_id,
        "taskType": task.task_type,
        "taskDefName": task.def_name,
        "referenceTaskName": task.reference,
        "workflowInstanceId": started.workflow_id,
        "workflowType": started.workflow_type,
        "status": task.status,
        "inputData": task.input,
        "outputData": task.output,
        "retryCount": task.retry_count,
        "seq": task.seq,
        "pollCount": task.poll_count,
        "scheduledTime": task.scheduled_time // MILLISECOND,
        "startTime": task.start_time // MILLISECOND,
        "endTime": task.end_time // MILLISECOND,
        "updateTime": task.update_time // MILLISECOND,
        "firstStartTime": task.first_scheduled // MILLISECOND,
        "startDelayInSeconds": int(task.start_delay),
        "retried": task.retried,
        "executed": task.executed,
        "callbackFromWorker": True,
        "responseTimeoutSeconds": definition.response_timeout_seconds,
        "callbackAfterSeconds": int(task.callback_after),
        "rateLimitPerFrequency": definition.rate_limit_per_frequency or 0,
        "rateLimitFrequencyInSeconds": definition.rate_limit_frequency_in_seconds or 1,
        "workflowPriority": started.priority,
        "iteration": task.iteration,
        "loopOverTask": bool(task.scope),
        "subworkflowChanged": task.sub_workflow_changed,
        "queueWaitTime": max(0, (task.start_time - begins) // MILLISECOND) if task.start_time else 0,
        "workflowTask": node_view(execution, task),
        "taskDefinition": _task_def_view(definition),
    }
    _add(view, "correlationId", execution.state.correlation_id)
    _add(view, "retriedTaskId", task.retried_task_id)
    _add(view, "workerId", task.worker_id)
    _add(view, "reasonForIncompletion", task.reason)
    _add(view, "domain", task.domain)
    _add(view, "subWorkflowId", task.sub_workflow_id)
    _add(view, "parentTaskId", task.parent_task_id)
    _add(view, "executionNameSpace", definition.execution_name_space)
    _add(view, "isolationGroupId", definition.isolation_group_id)
    return view


def _add(view: dict[str, Json], name: str, value: Json) -> None:
    if value is not None and value != "":
        view[name] = value


def node_view(execution: GraphExecution, task: Task) -> msgspec.Raw:
    """The task's part of the definition, encoded."""
    if task.node is not None:
        return msgspec.Raw(encode_json(to_json(execution.node(task))))
    view = _nodes(execution.state.definition).get(task.base)
    return msgspec.Raw(encode_json(to_json(execution.node(task)))) if view is None else view


@lru_cache(maxsize=512)
def _nodes(definition: bytes) -> dict[str, msgspec.Raw]:
    places = plan_of(definition).places
    return {name: msgspec.Raw(encode_json(to_json(place.node))) for name, place in places.items()}


@lru_cache(maxsize=512)
def _definition_view(definition: bytes) -> msgspec.Raw:
    return msgspec.Raw(encode_json(to_json(plan_of(definition).snapshot.workflow)))


#: By the identity of the definition: those of a snapshot live as long as its plan.
_task_defs: dict[int, tuple[TaskDef, msgspec.Raw]] = {}


def _task_def_view(definition: TaskDef) -> msgspec.Raw:
    known = _task_defs.get(id(definition))
    if known is not None and known[0] is definition:
        return known[1]
    view = msgspec.Raw(encode_json(to_json(definition)))
    if len(_task_defs) > 4096:
        _task_defs.clear()
    _task_defs[id(definition)] = (definition, view)
    return view
