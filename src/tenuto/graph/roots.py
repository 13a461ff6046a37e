"""What `${...}` can name: `workflow` and every task that has run. Built only as far as it is asked for."""

from __future__ import annotations

from tenuto.graph.context import Context
from tenuto.graph.execution import GraphExecution
from tenuto.graph.expressions import MISSING
from tenuto.model.graph import Task
from tenuto.model.json_values import Json

MILLISECOND = 1_000_000


class Roots:
    """The names that expressions see while one task is being scheduled, or an output is being made."""

    def __init__(
        self, execution: GraphExecution, context: Context, task_id: str = "", task: Task | None = None
    ) -> None:
        self._execution = execution
        self._context = context
        self._task_id = task_id
        self._task = task

    def root(self, name: str) -> Json:
        """The object behind a name; MISSING if there is none."""
        if name == "workflow":
            return self._workflow()
        if name == "CPEWF_TASK_ID":
            return self._task_id or MISSING
        state = self._execution.state
        task = state.by_base.get(name) or state.by_reference.get(name)
        if task is None and name == "task":
            task = self._task
        return MISSING if task is None else task_root(self._execution, task)

    def _workflow(self) -> Json:
        state = self._execution.state
        started = state.started
        return {
            "input": state.input,
            "output": state.output,
            "variables": state.variables,
            "status": state.status,
            "workflowId": started.workflow_id,
            "parentWorkflowId": started.parent.workflow_id if started.parent else None,
            "parentWorkflowTaskId": started.parent_task_id or None,
            "workflowType": started.workflow_type,
            "version": state.version,
            "correlationId": state.correlation_id or None,
            "reasonForIncompletion": state.reason or None,
            "schemaVersion": 2,
            "env": Environment(self._context),
        }


class Environment(dict[str, Json]):
    """The environment that is kept on the server, looked up name by name."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context

    def __missing__(self, name: str) -> Json:
        value = self._context.definitions.environment(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._context.definitions.environment(name) is not None

    def get(self, name: str, default: Json = None) -> Json:
        value = self._context.definitions.environment(name)
        return default if value is None else value


def task_root(execution: GraphExecution, task: Task) -> dict[str, Json]:
    """What `${<reference>...}` sees of a task."""
    return {
        "input": task.input,
        # That of a loop still grows; what was taken from it must stay as it was.
        "output": dict(task.output) if task.kind == "DO_WHILE" else task.output,
        "status": task.status,
        "taskType": task.task_type,
        "taskDefName": task.def_name,
        "referenceTaskName": task.reference,
        "taskId": task.task_id,
        "workflowInstanceId": execution.workflow_id,
        "retryCount": task.retry_count,
        "pollCount": task.poll_count,
        "iteration": task.iteration,
        "scheduledTime": task.scheduled_time // MILLISECOND,
        "startTime": task.start_time // MILLISECOND,
        "endTime": task.end_time // MILLISECOND,
        "callbackAfterSeconds": int(task.callback_after),
        "workerId": task.worker_id or None,
        "correlationId": execution.state.correlation_id or None,
        "reasonForIncompletion": task.reason or None,
        "subWorkflowId": task.sub_workflow_id or None,
    }
