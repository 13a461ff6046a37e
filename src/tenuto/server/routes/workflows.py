"""Executions: looked at, operated on."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field
from starlette.responses import Response

from tenuto.graph.execution import GraphExecution
from tenuto.graph.views import shown_tasks, task_view, workflow_view
from tenuto.model import graph_messages as gm
from tenuto.model.graph import TaskStatus
from tenuto.model.json_values import Json
from tenuto.server.correlations import correlated, running_ids
from tenuto.server.decoding import converted
from tenuto.server.graph_calls import ask, look
from tenuto.server.http import Call, empty, json_response, no_content, text_response
from tenuto.server.operations import (
    RerunWorkflowRequest,
    SkipTaskRequest,
    UpgradeWorkflowRequest,
    rerun,
    restart,
    skip_request,
    upgrade,
)
from tenuto.server.routes.starting import ExecuteQuery, waited
from tenuto.server.routing import Family, Text
from tenuto.server.task_results import TaskResult, to_update

workflows = Family("Workflows", "WORKFLOW")


# -- looking -----------------------------------------------------------------------------------------------------------


class WorkflowQuery(Struct, rename="camel"):
    include_tasks: bool = True
    summarize: bool = False


@workflows.get("/workflow/{workflowId}", query=WorkflowQuery)
async def workflow(call: Call) -> Response:
    """One execution."""
    tasks = call.query(WorkflowQuery).include_tasks
    view = await look(call.services, call.path_params["workflowId"], lambda graph: workflow_view(graph, tasks=tasks))
    return json_response(view)


class StatusQuery(Struct, rename="camel"):
    include_output: bool = False
    include_variables: bool = False


@workflows.get("/workflow/{workflowId}/status", query=StatusQuery)
async def status(call: Call) -> Response:
    """How an execution is doing."""
    query = call.query(StatusQuery)

    def render(graph: GraphExecution) -> dict[str, Json]:
        state = graph.state
        view: dict[str, Json] = {"workflowId": graph.workflow_id, "status": state.status}
        if state.correlation_id:
            view["correlationId"] = state.correlation_id
        if query.include_output:
            view["output"] = state.output
        if query.include_variables:
            view["variables"] = state.variables
        return view

    return json_response(await look(call.services, call.path_params["workflowId"], render))


class TasksQuery(Struct):
    start: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    count: Annotated[int, Meta(ge=0, le=5000)] = 15
    status: list[TaskStatus] = field(default_factory=list)


@workflows.get("/workflow/{workflowId}/tasks", query=TasksQuery)
async def workflow_tasks(call: Call) -> Response:
    """The tasks of an execution, a page of them."""
    query = call.query(TasksQuery)

    def render(graph: GraphExecution) -> dict[str, Json]:
        tasks = [task for task in shown_tasks(graph) if not query.status or task.status in query.status]
        page = tasks[query.start : query.start + query.count]
        return {"totalHits": len(tasks), "results": [task_view(graph, task) for task in page]}

    return json_response(await look(call.services, call.path_params["workflowId"], render))


class CorrelatedQuery(Struct, rename="camel"):
    include_closed: bool = False
    include_tasks: bool = False


@workflows.get("/workflow/{name}/correlated/{correlationId}", query=CorrelatedQuery)
async def correlated_workflows(call: Call) -> Response:
    """The executions of a workflow with a correlation id."""
    query, name, key = call.query(CorrelatedQuery), call.path_params["name"], call.path_params["correlationId"]
    found = await correlated(call.services, [name], [key], query.include_closed, query.include_tasks)
    return json_response(found[key])


@workflows.post("/workflow/{name}/correlated", query=CorrelatedQuery, body=list[str], access="READ")
async def correlated_by_ids(call: Call) -> Response:
    """The executions of a workflow by correlation id."""
    query, keys = call.query(CorrelatedQuery), await call.decode(list[str])
    names = [call.path_params["name"]]
    return json_response(await correlated(call.services, names, keys, query.include_closed, query.include_tasks))


class CorrelationBatch(Struct, rename="camel"):
    correlation_ids: list[str] = []
    workflow_names: list[str] = []


@workflows.post("/workflow/correlated/batch", query=CorrelatedQuery, body=CorrelationBatch, access="READ")
async def correlated_batch(call: Call) -> Response:
    """The executions of several workflows by correlation id."""
    query, batch = call.query(CorrelatedQuery), await call.decode(CorrelationBatch)
    names, keys = batch.workflow_names, batch.correlation_ids
    return json_response(await correlated(call.services, names, keys, query.include_closed, query.include_tasks))


# -- operating ---------------------------------------------------------------------------------------------------------


@workflows.put("/workflow/decide/{workflowId}")
async def decide(call: Call) -> Response:
    """Let an execution decide; it does so by itself whenever something happens."""
    await ask(call.services, call.path_params["workflowId"], gm.GraphDecide())
    return empty()


@workflows.put("/workflow/{workflowId}/pause")
async def pause(call: Call) -> Response:
    """Schedule nothing new until the execution is resumed."""
    await ask(call.services, call.path_params["workflowId"], gm.GraphPause())
    return empty()


@workflows.put("/workflow/{workflowId}/resume")
async def resume(call: Call) -> Response:
    """Let a paused execution go on."""
    await ask(call.services, call.path_params["workflowId"], gm.GraphResume())
    return empty()


class SkipQuery(Struct, rename="camel"):
    skip_task_request: str = ""


@workflows.put("/workflow/{workflowId}/skiptask/{reference}", query=SkipQuery, body=SkipTaskRequest)
async def skip_task(call: Call) -> Response:
    """Step over a task that has not been scheduled yet."""
    request = skip_request(call.query(SkipQuery).skip_task_request, await call.json_object())
    body = gm.GraphSkip(call.path_params["reference"], request.task_input, request.task_output)
    await ask(call.services, call.path_params["workflowId"], body)
    return empty()


@workflows.post("/workflow/{workflowId}/rerun", body=RerunWorkflowRequest, answer=Text)
async def rerun_workflow(call: Call) -> Response:
    """Do an execution that has ended again, from its beginning or from one of its tasks."""
    request = await call.decode(RerunWorkflowRequest)
    return text_response(await rerun(call.services, call.path_params["workflowId"], request))


class RestartQuery(Struct, rename="camel"):
    use_latest_definitions: bool = False


@workflows.post("/workflow/{workflowId}/restart", query=RestartQuery, status=204)
async def restart_workflow(call: Call) -> Response:
    """Begin an execution that has ended anew."""
    await restart(call.services, call.path_params["workflowId"], call.query(RestartQuery).use_latest_definitions)
    return no_content()


class RetryQuery(Struct, rename="camel"):
    resume_subworkflow_tasks: bool = False
    retry_if_retried_by_parent: bool = False


@workflows.post("/workflow/{workflowId}/retry", query=RetryQuery, status=204)
async def retry_workflow(call: Call) -> Response:
    """Go on from the failed tasks of an execution."""
    body = gm.GraphRetry(call.query(RetryQuery).resume_subworkflow_tasks)
    await ask(call.services, call.path_params["workflowId"], body)
    return no_content()


@workflows.post("/workflow/{workflowId}/resetcallbacks", status=204)
async def reset_callbacks(call: Call) -> Response:
    """Make the delayed tasks of workers available now."""
    await ask(call.services, call.path_params["workflowId"], gm.GraphResetCallbacks())
    return no_content()


class TerminateQuery(Struct, rename="camel"):
    reason: str = ""
    trigger_failure_workflow: bool = False


@workflows.delete("/workflow/{workflowId}", query=TerminateQuery)
async def terminate(call: Call) -> Response:
    """End an execution now."""
    query = call.query(TerminateQuery)
    body = gm.GraphTerminate(query.reason, query.trigger_failure_workflow)
    await ask(call.services, call.path_params["workflowId"], body)
    return empty()


class RemoveQuery(Struct, rename="camel"):
    reason: str = ""
    archive_workflow: bool = True


@workflows.delete("/workflow/{workflowId}/remove", query=RemoveQuery)
async def remove(call: Call) -> Response:
    """Forget an execution."""
    query = call.query(RemoveQuery)
    await ask(call.services, call.path_params["workflowId"], gm.GraphRemove(archive=query.archive_workflow))
    return empty()


@workflows.delete("/workflow/{workflowId}/terminate-remove", query=RemoveQuery)
async def terminate_and_remove(call: Call) -> Response:
    """End an execution and forget it."""
    query = call.query(RemoveQuery)
    body = gm.GraphRemove(reason=query.reason, archive=query.archive_workflow)
    await ask(call.services, call.path_params["workflowId"], body)
    return empty()


@workflows.post("/workflow/{workflowId}/variables", body=dict[str, Json])
async def set_variables(call: Call) -> Response:
    """Merge into the variables of an execution; answers the workflow."""
    workflow_id = call.path_params["workflowId"]
    await ask(call.services, workflow_id, gm.GraphSetVariables(await call.json_object()))
    return json_response(await look(call.services, workflow_id, workflow_view))


class WorkflowStateUpdate(Struct, rename="camel"):
    task_reference_name: str | None = None
    task_result: dict[str, Json] | None = None
    variables: dict[str, Json] = {}


@workflows.post("/workflow/{workflowId}/state", query=ExecuteQuery, body=WorkflowStateUpdate)
async def update_state(call: Call) -> Response:
    """Set variables, finish a task, and wait as the execution does after its start."""
    query, update = call.query(ExecuteQuery), await call.decode(WorkflowStateUpdate)
    workflow_id = call.path_params["workflowId"]
    if update.task_reference_name and update.task_result is not None:
        result = await _state_result(call, update)
        result.variables = update.variables
        await ask(call.services, workflow_id, result)
    elif update.variables:
        await ask(call.services, workflow_id, gm.GraphSetVariables(update.variables))
    return await waited(call, workflow_id, query)


async def _state_result(call: Call, update: WorkflowStateUpdate) -> gm.TaskUpdate:
    result = converted({"taskId": "-", "status": "COMPLETED"} | _given(update.task_result), TaskResult)
    request = await to_update(call.services, result)
    request.task_id = "" if result.task_id == "-" or update.task_reference_name else result.task_id
    request.reference = update.task_reference_name or ""
    return request


def _given(result: dict[str, Json] | None) -> dict[str, Json]:
    return {name: value for name, value in (result or {}).items() if value not in (None, "")}


@workflows.post("/workflow/{workflowId}/upgrade", body=UpgradeWorkflowRequest, access="UPDATE")
async def upgrade_workflow(call: Call) -> Response:
    """Let an execution that runs go on by another version of its definition."""
    await upgrade(call.services, call.path_params["workflowId"], await call.decode(UpgradeWorkflowRequest))
    return empty()


class JumpQuery(Struct, rename="camel"):
    task_reference_name: str = ""
    """Counts before the one in the path, where a client leaves the name of the parameter."""


@workflows.post("/workflow/{workflowId}/jump/{reference}", query=JumpQuery, body=dict[str, Json])
async def jump(call: Call) -> Response:
    """Go on at a task that has not run yet; what is open is skipped."""
    reference = call.query(JumpQuery).task_reference_name or call.path_params["reference"]
    await ask(call.services, call.path_params["workflowId"], gm.GraphJump(reference, await call.json_object()))
    return empty()


@workflows.post("/workflow/{workflowId}/messages", body=dict[str, Json], answer=Text)
async def push_message(call: Call) -> Response:
    """Send a message that a PULL_WORKFLOW_MESSAGES task gets; answers its id."""
    message_id = call.services.new_id()
    body = gm.GraphPush(message_id, await call.json_object())
    await ask(call.services, call.path_params["workflowId"], body)
    return text_response(message_id)


#: Since the epoch; nanoseconds of it are a 64-bit number.
Milliseconds = Annotated[int, Meta(ge=0, le=2**63 // 1_000_000 - 1)]


class RunningQuery(Struct, rename="camel"):
    version: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    start_time: Milliseconds | None = None
    end_time: Milliseconds | None = None


@workflows.get("/workflow/running/{name}", query=RunningQuery, answer=list[str])
async def running(call: Call) -> Response:
    """The ids of the open executions of a workflow."""
    query = call.query(RunningQuery)
    found = await running_ids(call.services, call.path_params["name"], query.version, query.start_time, query.end_time)
    return json_response(found)
