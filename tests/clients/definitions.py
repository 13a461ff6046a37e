"""Small workflow definitions, and tasks worked off by hand, through the published Python client."""

from collections.abc import Mapping
from typing import Any

from conductor.client.http.models.start_workflow_request import StartWorkflowRequest
from conductor.client.http.models.task import Task
from conductor.client.http.models.task_def import TaskDef
from conductor.client.http.models.task_result import TaskResult
from conductor.client.http.models.workflow_def import WorkflowDef
from conductor.client.http.models.workflow_task import WorkflowTask
from conductor.client.orkes_clients import OrkesClients

#: Milliseconds that a poll waits for a task that is due.
PATIENCE = 5_000


def task(name: str, kind: str = "SIMPLE", inputs: Mapping[str, Any] | None = None, **more: Any) -> WorkflowTask:
    """A task whose reference name is its name with `_ref` behind it."""
    return WorkflowTask(
        name=name, task_reference_name=f"{name}_ref", type=kind, input_parameters=dict(inputs or {}), **more
    )


def register(clients: OrkesClients, name: str, *tasks: WorkflowTask, **more: Any) -> None:
    """Register version 1 of a workflow; its worker tasks fail at once, without a second attempt."""
    metadata = clients.get_metadata_client()
    for each in tasks:
        if each.type == "SIMPLE":
            metadata.register_task_def(TaskDef(name=each.name, retry_count=0))
    definition = WorkflowDef(name=name, version=1, tasks=list(tasks), schema_version=2, timeout_seconds=0, **more)
    metadata.register_workflow_def(definition, True)


def start(clients: OrkesClients, name: str, **more: Any) -> str:
    request = StartWorkflowRequest(name=name, version=1, **more)
    return clients.get_workflow_client().start_workflow(request)


def take(clients: OrkesClients, name: str, **more: Any) -> Task:
    """Poll the one task of a type that is due."""
    tasks = clients.get_task_client().batch_poll_tasks(name, "by-hand", 1, PATIENCE, **more)
    assert len(tasks) == 1, f"no task {name} came"
    return tasks[0]


def finish(clients: OrkesClients, task: Task, status: str = "COMPLETED", **more: Any) -> None:
    result = TaskResult(task_id=task.task_id, workflow_instance_id=task.workflow_instance_id, status=status, **more)
    assert clients.get_task_client().update_task(result) == task.task_id


def work_off(clients: OrkesClients, name: str, **output: Any) -> Task:
    """Poll a task and complete it."""
    taken = take(clients, name)
    finish(clients, taken, output_data=output)
    return taken


def status(clients: OrkesClients, workflow_id: str) -> str:
    return clients.get_workflow_client().get_workflow_status(workflow_id, False, False).status
