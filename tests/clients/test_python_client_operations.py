"""What the published Python client's workflow client does to executions."""

import pytest
from conductor.client.http.models.correlation_ids_search_request import CorrelationIdsSearchRequest
from conductor.client.http.models.rerun_workflow_request import RerunWorkflowRequest
from conductor.client.http.models.skip_task_request import SkipTaskRequest
from conductor.client.http.models.start_workflow_request import IdempotencyStrategy, StartWorkflowRequest
from conductor.client.http.models.task_result import TaskResult
from conductor.client.http.models.workflow_state_update import WorkflowStateUpdate
from conductor.client.http.models.workflow_test_request import WorkflowTestRequest
from conductor.client.http.rest import ApiException
from conductor.client.orkes_clients import OrkesClients

from tests.clients.definitions import finish, register, start, status, take, task, work_off

# The client calls its own deprecated properties.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")


@pytest.fixture
def two_steps(clients: OrkesClients, unique: str) -> str:
    """A workflow of two worker tasks, `<name>_a` and `<name>_b`."""
    register(
        clients,
        unique,
        task(f"{unique}_a", inputs={"x": "${workflow.input.x}"}),
        task(f"{unique}_b", inputs={"y": f"${{{unique}_a_ref.output.y}}"}),
        output_parameters={"z": f"${{{unique}_b_ref.output.z}}"},
    )
    return unique


def test_from_start_to_end(clients: OrkesClients, two_steps: str) -> None:
    workflows = clients.get_workflow_client()
    workflow_id = workflows.start_workflow_by_name(two_steps, {"x": 1}, version=1, correlationId="c", priority=3)
    first = work_off(clients, f"{two_steps}_a", y=[1, {"n": None}])
    assert (first.input_data, first.workflow_priority, first.correlation_id) == ({"x": 1}, 3, "c")
    second = work_off(clients, f"{two_steps}_b", z="end")
    assert second.input_data == {"y": [1, {"n": None}]}

    execution = workflows.get_workflow(workflow_id)
    assert (execution.status, execution.output) == ("COMPLETED", {"z": "end"})
    assert [each.status for each in execution.tasks] == ["COMPLETED", "COMPLETED"]
    assert execution.workflow_definition.name == execution.workflow_name == two_steps
    assert execution.end_time >= execution.start_time > 0
    short = workflows.get_workflow_status(workflow_id, include_output=True, include_variables=True)
    assert (short.workflow_id, short.status, short.output, short.variables) == (
        workflow_id,
        "COMPLETED",
        {"z": "end"},
        {},
    )


def test_pause_and_resume(clients: OrkesClients, two_steps: str) -> None:
    workflows, workflow_id = clients.get_workflow_client(), start(clients, two_steps)
    workflows.pause_workflow(workflow_id)
    assert status(clients, workflow_id) == "PAUSED"
    work_off(clients, f"{two_steps}_a")
    assert len(workflows.get_workflow(workflow_id).tasks) == 1
    workflows.resume_workflow(workflow_id)
    work_off(clients, f"{two_steps}_b")
    assert status(clients, workflow_id) == "COMPLETED"


def test_terminate_with_a_reason(clients: OrkesClients, two_steps: str) -> None:
    workflows, workflow_id = clients.get_workflow_client(), start(clients, two_steps)
    workflows.terminate_workflow(workflow_id, reason="not wanted & gone")
    execution = workflows.get_workflow(workflow_id)
    assert (execution.status, execution.reason_for_incompletion) == ("TERMINATED", "not wanted & gone")
    assert [each.status for each in execution.tasks] == ["CANCELED"]


def test_terminate_and_run_the_failure_workflow(clients: OrkesClients, unique: str) -> None:
    register(clients, f"{unique}_cleanup", task(f"{unique}_clean"))
    register(clients, unique, task(f"{unique}_a"), failure_workflow=f"{unique}_cleanup")
    workflow_id = start(clients, unique)
    clients.get_workflow_client().terminate_workflow(workflow_id, "no", trigger_failure_workflow=True)
    cleaning = take(clients, f"{unique}_clean")
    execution = clients.get_workflow_client().get_workflow(cleaning.workflow_instance_id)
    assert (execution.input["workflowId"], execution.input["reason"]) == (workflow_id, "no")


def test_retry(clients: OrkesClients, two_steps: str) -> None:
    workflows, workflow_id = clients.get_workflow_client(), start(clients, two_steps)
    work_off(clients, f"{two_steps}_a")
    finish(clients, take(clients, f"{two_steps}_b"), "FAILED", reason_for_incompletion="broke")
    assert status(clients, workflow_id) == "FAILED"
    workflows.retry_workflow(workflow_id)
    assert work_off(clients, f"{two_steps}_b").retry_count == 1
    assert status(clients, workflow_id) == "COMPLETED"


def test_retry_in_the_failed_sub_workflow(clients: OrkesClients, two_steps: str) -> None:
    sub = {"name": two_steps, "version": 1}
    register(clients, f"{two_steps}_parent", task(f"{two_steps}_sub", "SUB_WORKFLOW", sub_workflow_param=sub))
    workflow_id = start(clients, f"{two_steps}_parent")
    work_off(clients, f"{two_steps}_a")
    failed = take(clients, f"{two_steps}_b")
    finish(clients, failed, "FAILED")
    assert status(clients, workflow_id) == "FAILED"
    clients.get_workflow_client().retry_workflow(workflow_id, resume_subworkflow_tasks=True)
    again = work_off(clients, f"{two_steps}_b")
    assert again.workflow_instance_id == failed.workflow_instance_id
    assert status(clients, workflow_id) == "COMPLETED"


def test_restart(clients: OrkesClients, two_steps: str) -> None:
    workflows, workflow_id = clients.get_workflow_client(), start(clients, two_steps)
    workflows.terminate_workflow(workflow_id)
    register(clients, two_steps, task(f"{two_steps}_c"))
    workflows.restart_workflow(workflow_id)
    take(clients, f"{two_steps}_a")
    workflows.terminate_workflow(workflow_id)
    workflows.restart_workflow(workflow_id, use_latest_def=True)
    work_off(clients, f"{two_steps}_c")
    assert status(clients, workflow_id) == "COMPLETED"


def test_rerun_from_a_task(clients: OrkesClients, two_steps: str) -> None:
    workflows, workflow_id = clients.get_workflow_client(), start(clients, two_steps, input={"x": 1})
    work_off(clients, f"{two_steps}_a", y=1)
    second = work_off(clients, f"{two_steps}_b", z=1)
    request = RerunWorkflowRequest(re_run_from_task_id=second.task_id, task_input={"y": 2})
    assert workflows.rerun_workflow(workflow_id, request) == workflow_id
    again = work_off(clients, f"{two_steps}_b", z=2)
    assert (again.task_id, again.input_data) == (second.task_id, {"y": 2})
    assert workflows.get_workflow(workflow_id).output == {"z": 2}


def test_rerun_from_the_beginning(clients: OrkesClients, two_steps: str) -> None:
    workflows, workflow_id = clients.get_workflow_client(), start(clients, two_steps, input={"x": 1})
    workflows.terminate_workflow(workflow_id)
    workflows.rerun_workflow(workflow_id, RerunWorkflowRequest(workflow_input={"x": 5}, correlation_id="again"))
    assert take(clients, f"{two_steps}_a").input_data == {"x": 5}
    assert workflows.get_workflow(workflow_id).correlation_id == "again"


def test_skip_a_task(clients: OrkesClients, two_steps: str) -> None:
    workflows, workflow_id = clients.get_workflow_client(), start(clients, two_steps)
    request = SkipTaskRequest(task_input={"i": 1}, task_output={"z": "skipped"})
    workflows.skip_task_from_workflow(workflow_id, f"{two_steps}_b_ref", request)
    work_off(clients, f"{two_steps}_a")
    execution = workflows.get_workflow(workflow_id)
    assert (execution.status, execution.output) == ("COMPLETED", {"z": "skipped"})
    skipped = next(each for each in execution.tasks if each.status == "SKIPPED")
    assert (skipped.input_data, skipped.reference_task_name) == ({"i": 1}, f"{two_steps}_b_ref")


@pytest.mark.parametrize("archive", [True, False])
def test_delete(clients: OrkesClients, two_steps: str, archive: bool) -> None:
    workflows, workflow_id = clients.get_workflow_client(), start(clients, two_steps)
    workflows.terminate_workflow(workflow_id)
    workflows.delete_workflow(workflow_id, archive_workflow=archive)
    with pytest.raises(ApiException) as gone:
        workflows.get_workflow(workflow_id)
    assert gone.value.is_not_found()
    assert workflow_id in gone.value.message


def test_remove(clients: OrkesClients, two_steps: str) -> None:
    workflows, workflow_id = clients.get_workflow_client(), start(clients, two_steps)
    workflows.remove_workflow(workflow_id)
    with pytest.raises(ApiException) as gone:
        workflows.get_workflow_status(workflow_id)
    assert gone.value.status == 404


def test_variables(clients: OrkesClients, two_steps: str) -> None:
    workflows, workflow_id = clients.get_workflow_client(), start(clients, two_steps)
    workflows.update_variables(workflow_id, {"a": 1, "b": {"c": [True]}})
    workflows.update_variables(workflow_id, {"a": 2})
    workflows.update_variables(workflow_id)
    assert workflows.get_workflow_status(workflow_id, False, True).variables == {"a": 2, "b": {"c": [True]}}


def test_update_of_the_state(clients: OrkesClients, unique: str) -> None:
    register(
        clients,
        unique,
        task(f"{unique}_first", "WAIT"),
        task(f"{unique}_second", "WAIT"),
        output_parameters={"v": "${workflow.variables.v}", "o": f"${{{unique}_second_ref.output.o}}"},
    )
    workflows = clients.get_workflow_client()
    workflow_id = start(clients, unique)
    update = WorkflowStateUpdate(
        task_reference_name=f"{unique}_first_ref", task_result=TaskResult(status="COMPLETED"), variables={"v": 7}
    )
    run = workflows.update_state(workflow_id, update, [f"{unique}_second_ref"], 5)
    assert (run.status, run.variables, len(run.tasks)) == ("RUNNING", {"v": 7}, 2)
    result = TaskResult(status="COMPLETED", output_data={"o": 1})
    run = workflows.update_state(
        workflow_id, WorkflowStateUpdate(task_reference_name=f"{unique}_second_ref", task_result=result)
    )
    assert (run.status, run.output) == ("COMPLETED", {"v": 7, "o": 1})


def test_execute(clients: OrkesClients, unique: str) -> None:
    register(clients, unique, task(f"{unique}_set", "SET_VARIABLE", {"v": "${workflow.input.v}"}))
    request = StartWorkflowRequest(name=unique, version=1, input={"v": 3})
    run = clients.get_workflow_client().execute_workflow(request, request_id="r1", wait_for_seconds=5)
    assert (run.status, run.request_id, run.variables, run.input) == ("COMPLETED", "r1", {"v": 3}, {"v": 3})
    assert [each.task_type for each in run.tasks] == ["SET_VARIABLE"]


def test_execute_until_a_task(clients: OrkesClients, unique: str) -> None:
    register(clients, unique, task(f"{unique}_go", "NOOP"), task(f"{unique}_work"))
    request = StartWorkflowRequest(name=unique, version=1)
    run = clients.get_workflow_client().execute_workflow(request, "r", f"{unique}_go_ref", 5)
    assert run.status == "RUNNING"
    assert run.tasks[0].status == "COMPLETED"


@pytest.mark.parametrize(
    ("strategy", "asks"),
    [
        ("TARGET_WORKFLOW", "is_target_workflow"),
        ("BLOCKING_WORKFLOW", "is_blocking_workflow"),
        ("BLOCKING_TASK", "is_blocking_task"),
        ("BLOCKING_TASK_INPUT", "is_blocking_task_input"),
    ],
)
def test_return_strategies_and_signals(clients: OrkesClients, unique: str, strategy: str, asks: str) -> None:
    register(clients, f"{unique}_child", task(f"{unique}_wait", "WAIT", {"for": "${workflow.input.who}"}))
    sub = {"name": f"{unique}_child", "version": 1}
    register(clients, unique, task(f"{unique}_sub", "SUB_WORKFLOW", {"who": "you"}, sub_workflow_param=sub))
    executor = clients.get_workflow_executor()
    request = StartWorkflowRequest(name=unique, version=1)
    reached = executor.execute_workflow_with_return_strategy(request, return_strategy=strategy, wait_for_seconds=5)

    assert getattr(reached, asks)() is True
    assert (reached.response_type, reached.target_workflow_status) == (strategy, "RUNNING")
    target = reached.target_workflow_id
    child = executor.get_workflow(target, True).tasks[0].sub_workflow_id
    assert reached.workflow_id == (target if strategy == "TARGET_WORKFLOW" else child)
    if "TASK" in strategy:
        task_run = reached.get_blocking_task()
        assert (task_run["referenceTaskName"], task_run["status"]) == (f"{unique}_wait_ref", "IN_PROGRESS")
        assert reached.input == {"for": "you"}
    else:
        assert reached.get_workflow()["workflowId"] == reached.workflow_id

    ended = executor.signal(target, "COMPLETED", {"answer": 42})
    assert (ended.target_workflow_status, ended.output["answer"]) == ("COMPLETED", 42)


def test_signal_without_waiting(clients: OrkesClients, unique: str) -> None:
    register(clients, unique, task(f"{unique}_wait", "WAIT"))
    workflow_id = start(clients, unique)
    clients.get_workflow_executor().signal_async(workflow_id, "FAILED", {"why": "no"})
    execution = clients.get_workflow_client().get_workflow(workflow_id)
    assert (execution.status, execution.tasks[0].output_data) == ("FAILED", {"why": "no"})


def test_messages(clients: OrkesClients, unique: str) -> None:
    register(clients, unique, task(f"{unique}_pull", "PULL_WORKFLOW_MESSAGES", {"batchSize": 2}))
    workflow_id = start(clients, unique)
    message_id = clients.get_workflow_client().send_message(workflow_id, {"hello": ["world"]})
    (message,) = clients.get_workflow_client().get_workflow(workflow_id).output["messages"]
    assert (message["id"], message["payload"]) == (message_id, {"hello": ["world"]})


def test_correlation(clients: OrkesClients, two_steps: str) -> None:
    register(clients, f"{two_steps}_other", task(f"{two_steps}_a"))
    workflows, key = clients.get_workflow_client(), f"{two_steps} ä/ö"
    ids = {start(clients, two_steps, correlation_id=key) for _ in range(2)}
    other = start(clients, f"{two_steps}_other", correlation_id=key)
    found = workflows.get_by_correlation_ids(two_steps, [key, "none"])
    assert {each.workflow_id for each in found[key]} == ids
    assert found["none"] == []
    closed = ids.pop()
    workflows.terminate_workflow(closed)
    batch = CorrelationIdsSearchRequest([key], [two_steps, f"{two_steps}_other"])
    assert {each.workflow_id for each in workflows.get_by_correlation_ids_in_batch(batch)[key]} == ids | {other}
    every = workflows.get_by_correlation_ids_in_batch(batch, include_completed=True, include_tasks=True)[key]
    assert {each.workflow_id for each in every} == ids | {other, closed}
    assert all(len(each.tasks) == 1 for each in every)


def test_search_sees_what_was_acknowledged(clients: OrkesClients, two_steps: str) -> None:
    workflows, workflow_id = clients.get_workflow_client(), start(clients, two_steps, correlation_id="c")
    found = workflows.search(query=f"workflowType = '{two_steps}' AND status = RUNNING")
    assert [each.workflow_id for each in found.results] == [workflow_id]
    (summary,) = found.results
    assert (summary.workflow_type, summary.status, summary.correlation_id) == (two_steps, "RUNNING", "c")
    workflows.terminate_workflow(workflow_id)
    assert workflows.search(query=f"workflowType = '{two_steps}' AND status = RUNNING").results == []
    assert [each.workflow_id for each in workflows.search(0, 5, two_steps).results] == [workflow_id]
    with pytest.raises(ApiException) as bad:
        workflows.search(query="this is (no query")
    assert bad.value.status == 400


def test_running_workflows(clients: OrkesClients, two_steps: str) -> None:
    workflow_id = start(clients, two_steps)
    api = clients.get_workflow_client().workflowResourceApi
    assert api.get_running_workflow(two_steps) == [workflow_id]
    assert api.get_running_workflow(two_steps, version=2) == []


def test_test_of_a_workflow(clients: OrkesClients, two_steps: str) -> None:
    mocks = {
        f"{two_steps}_a_ref": [{"status": "COMPLETED", "output": {"y": 5}}],
        f"{two_steps}_b_ref": [{"status": "COMPLETED", "output": {"z": 6}}],
    }
    request = WorkflowTestRequest(name=two_steps, version=1, task_ref_to_mock_output=mocks, input={"x": 4})
    tested = clients.get_workflow_client().test_workflow(request)
    assert (tested.status, tested.output) == ("COMPLETED", {"z": 6})
    assert [each.input_data for each in tested.tasks] == [{"x": 4}, {"y": 5}]


def test_idempotency(clients: OrkesClients, two_steps: str) -> None:
    first = start(clients, two_steps, idempotency_key="k")
    again = {"idempotency_key": "k", "idempotency_strategy": IdempotencyStrategy.RETURN_EXISTING}
    assert start(clients, two_steps, **again) == first
    with pytest.raises(ApiException) as refused:
        start(clients, two_steps, idempotency_key="k", idempotency_strategy=IdempotencyStrategy.FAIL)
    assert refused.value.status == 409


def test_errors_say_what_is_wrong(clients: OrkesClients, two_steps: str) -> None:
    workflows = clients.get_workflow_client()
    with pytest.raises(ApiException) as unknown:
        start(clients, f"{two_steps}_none")
    assert (unknown.value.status, f"{two_steps}_none" in unknown.value.message) == (404, True)
    with pytest.raises(ApiException) as not_paused:
        workflows.resume_workflow(start(clients, two_steps))
    assert not_paused.value.status == 409
    with pytest.raises(ApiException) as priority:
        start(clients, two_steps, priority=100)
    assert priority.value.status == 400


def test_bulk_operations(clients: OrkesClients, two_steps: str) -> None:
    from conductor.client.http.api.workflow_bulk_resource_api import WorkflowBulkResourceApi

    bulk = WorkflowBulkResourceApi(clients.get_workflow_client().api_client)
    ids = [start(clients, two_steps) for _ in range(3)]
    paused = bulk.pause_workflow([*ids, "none"])
    assert sorted(paused.bulk_successful_results) == sorted(ids)
    assert list(paused.bulk_error_results) == ["none"]
    bulk.resume_workflow(ids)
    bulk.terminate(ids, reason="enough")
    bulk.restart(ids)
    assert [status(clients, each) for each in ids] == ["RUNNING"] * 3
    bulk.terminate(ids)
    bulk.retry(ids)
    assert [status(clients, each) for each in ids] == ["RUNNING"] * 3
