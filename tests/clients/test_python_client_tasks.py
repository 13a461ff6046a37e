"""The published Python client's task client against a real server."""

import time

import pytest
from conductor.client.http.models.task_def import TaskDef
from conductor.client.http.models.task_exec_log import TaskExecLog
from conductor.client.http.models.task_result import TaskResult
from conductor.client.http.rest import ApiException
from conductor.client.orkes_clients import OrkesClients

from tests.clients.definitions import finish, register, start, status, take, task

# The client calls its own deprecated properties.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")


def test_polls(clients: OrkesClients, unique: str) -> None:
    tasks = clients.get_task_client()
    register(clients, unique, task(unique, inputs={"n": "${workflow.input.n}"}))
    assert tasks.poll_task(unique).task_id is None
    assert tasks.batch_poll_tasks(unique) == []
    for n in range(3):
        start(clients, unique, input={"n": n}, priority=n)
    assert tasks.get_queue_size_for_task(unique) == 3
    one = tasks.poll_task(unique, worker_id="w1")
    assert (one.input_data, one.worker_id, one.status, one.poll_count) == ({"n": 2}, "w1", "IN_PROGRESS", 1)
    two = tasks.batch_poll_tasks(unique, "w2", 5, 100)
    assert [each.input_data["n"] for each in two] == [1, 0]
    assert (one.task_def_name, one.reference_task_name, one.workflow_type) == (unique, f"{unique}_ref", unique)
    assert tasks.get_queue_size_for_task(unique) == 0
    assert {each.worker_id for each in tasks.get_task_poll_data(unique)} >= {"w2"}
    assert tasks.get_task(one.task_id).worker_id == "w1"
    with pytest.raises(ApiException) as unknown:
        tasks.get_task("none")
    assert unknown.value.status == 404


def test_updates(clients: OrkesClients, unique: str) -> None:
    tasks = clients.get_task_client()
    register(clients, unique, task(f"{unique}_a"), task(f"{unique}_b"), task(f"{unique}_c"))
    workflow_id = start(clients, unique)
    first = take(clients, f"{unique}_a")
    finish(clients, first, "IN_PROGRESS", output_data={"half": 1}, callback_after_seconds=0)
    again = take(clients, f"{unique}_a")
    assert (again.task_id, again.poll_count, again.output_data) == (first.task_id, 2, {"half": 1})
    finish(clients, again, output_data={"done": [1]}, logs=[TaskExecLog("one"), TaskExecLog("two")])
    assert [each.log for each in tasks.get_task_logs(first.task_id)] == ["one", "two"]
    second = tasks.update_task_by_ref_name(workflow_id, f"{unique}_b_ref", "COMPLETED", {"r": 1})
    assert tasks.get_task(second).output_data == {"result": {"r": 1}}
    after = tasks.update_task_sync(workflow_id, f"{unique}_c_ref", "COMPLETED", {"last": True})
    assert (after.status, after.output) == ("COMPLETED", {"last": True})


def test_logs(clients: OrkesClients, unique: str) -> None:
    tasks = clients.get_task_client()
    register(clients, unique, task(unique))
    start(clients, unique)
    task_id = take(clients, unique).task_id
    assert not tasks.get_task_logs(task_id)
    for line in ("plain", "{not json}", "12"):
        tasks.add_task_log(task_id, line)
    logs = tasks.get_task_logs(task_id)
    assert [each.log for each in logs] == ["plain", "{not json}", "12"]
    assert all(each.task_id == task_id and each.created_time > 0 for each in logs)


def test_a_lease_that_is_extended_holds(clients: OrkesClients, unique: str) -> None:
    register(clients, unique, task(unique))
    clients.get_metadata_client().register_task_def(
        TaskDef(name=unique, response_timeout_seconds=2, retry_count=0, timeout_seconds=30)
    )
    workflow_id = start(clients, unique)
    taken = take(clients, unique)
    for _ in range(6):
        time.sleep(0.5)
        finish(clients, taken, "IN_PROGRESS", extend_lease=True)
    finish(clients, taken)
    assert status(clients, workflow_id) == "COMPLETED"


def test_the_next_task_comes_with_the_answer_to_an_update(clients: OrkesClients, unique: str) -> None:
    api = clients.get_task_client().taskResourceApi
    register(clients, unique, task(unique))
    for _ in range(2):
        start(clients, unique)
    first = take(clients, unique)
    result = {"task_id": first.task_id, "workflow_instance_id": first.workflow_instance_id}
    second = api.update_task_v2(TaskResult(**result, status="COMPLETED"))
    assert second.task_id != first.task_id
    assert api.update_task_v2(TaskResult(**result, status="COMPLETED")) is None


def test_requeue_and_queues(clients: OrkesClients, unique: str) -> None:
    api = clients.get_task_client().taskResourceApi
    register(clients, unique, task(unique))
    start(clients, unique)
    assert api.all()[unique] == 1
    assert api.size(task_type=[unique, f"{unique}_none"]) == {unique: 1, f"{unique}_none": 0}
    assert api.requeue_pending_task(unique) is not None
    assert api.get_all_poll_data() is not None
    assert api.all_verbose() is not None
