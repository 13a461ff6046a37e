"""Workers of the published Python client, run by its TaskHandler in a process of their own, poll a real server."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conductor.client.http.models.state_change_event import StateChangeConfig, StateChangeEvent, StateChangeEventType
from conductor.client.http.models.workflow import Workflow
from conductor.client.http.models.workflow_task import WorkflowTask
from conductor.client.orkes_clients import OrkesClients
from conductor.client.workflow.conductor_workflow import ConductorWorkflow
from conductor.client.workflow.task.http_task import HttpTask
from conductor.client.workflow.task.javascript_task import JavascriptTask
from conductor.client.workflow.task.json_jq_task import JsonJQTask
from conductor.client.workflow.task.set_variable_task import SetVariableTask
from conductor.client.workflow.task.simple_task import SimpleTask
from conductor.client.workflow.task.switch_task import SwitchTask
from conductor.client.workflow.task.terminate_task import TerminateTask, WorkflowStatus
from conductor.client.workflow.task.wait_task import WaitTask

from tests.clients.definitions import start, status, task
from tests.clients.server_process import ServerProcess, end, until

# The client calls its own deprecated properties.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")

PROGRAM = Path(__file__).with_name("python_workers.py")
IN_THREADS = (
    "double shout place_order whole_task with_context patient hopeless unlucky slow local audit listed".split()  # noqa: SIM905
)


class Workers:
    """A process with workers; its folder holds what it wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def events(self) -> list[dict[str, Any]]:
        file = self.folder / "events.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def metrics(self) -> str:
        file = self.folder / "canonical" / "metrics.log"
        return file.read_text() if file.exists() else ""


@contextmanager
def running_workers(server: ServerProcess, folder: Path, *names: str, **environment: str) -> Iterator[Workers]:
    with (folder / "workers.txt").open("ab") as log:
        settings = {"CONDUCTOR_SERVER_URL": server.api, **environment}
        process = subprocess.Popen(
            [sys.executable, PROGRAM, folder, *names], env=os.environ | settings, stdout=log, stderr=log
        )
    try:
        yield Workers(folder)
    finally:
        end(process)


@pytest.fixture(scope="module")
def workers(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """All workers, each in a thread, by HTTP/1.1."""
    folder = tmp_path_factory.mktemp("workers")
    settings = {"CONDUCTOR_WORKER_ISOLATION": "thread", "CONDUCTOR_HTTP2_ENABLED": "false"}
    with running_workers(server, folder, *IN_THREADS, **settings) as running:
        yield running


def run(clients: OrkesClients, name: str, *tasks: WorkflowTask, **more: Any) -> Workflow:
    """Run a workflow of these tasks to its end."""
    definition = {"name": name, "tasks": clients.get_workflow_client().api_client.sanitize_for_serialization(tasks)}
    workflow_id = start(clients, name, workflow_def=definition, **more)
    until(lambda: status(clients, workflow_id) != "RUNNING", 45)
    return clients.get_workflow_client().get_workflow(workflow_id)


def outputs(execution: Workflow) -> list[Any]:
    assert execution.status == "COMPLETED", execution.reason_for_incompletion
    return [each.output_data for each in execution.tasks]


def test_arguments_and_results(workers: Workers, clients: OrkesClients, unique: str) -> None:
    order = {"id": 7, "ship_to": {"street": "Main"}, "lines": ["a", "b"]}
    execution = run(
        clients,
        unique,
        task("double", inputs={"number": 21}),
        task("shout", inputs={"text": "höre ${double_ref.output.result}"}),
        task("place_order", inputs={"order": order, "note": "!"}),
        task("listed"),
    )
    assert outputs(execution) == [
        {"result": 42},
        {"text": "HÖRE 42"},
        {"order": 7, "where": "Main 1!", "total": 3.0},
        {"class": True},
    ]


def test_logs_and_context(workers: Workers, clients: OrkesClients, unique: str) -> None:
    execution = run(clients, unique, task("whole_task", inputs={"a": [1]}), task("with_context"))
    assert outputs(execution) == [{"seen": {"a": [1]}}, {"workflow": execution.workflow_id, "polls": 1}]
    first, second = (clients.get_task_client().get_task_logs(each.task_id) for each in execution.tasks)
    assert [each.log for each in first] == ["a line of a worker"]
    assert [(each.log, each.task_id) for each in second] == [("attempt 0", execution.tasks[1].task_id)]


def test_a_task_in_progress_comes_again(workers: Workers, clients: OrkesClients, unique: str) -> None:
    execution = run(clients, unique, task("patient"))
    assert outputs(execution) == [{"polls": 3}]
    assert execution.tasks[0].poll_count == 3


def test_an_exception_is_retried(workers: Workers, clients: OrkesClients, unique: str) -> None:
    first, second = run(clients, unique, task("unlucky")).tasks
    assert (first.status, first.reason_for_incompletion) == ("FAILED", "not this time")
    (log,) = clients.get_task_client().get_task_logs(first.task_id)
    assert "Traceback" in log.log
    assert (second.status, second.retry_count, second.output_data) == ("COMPLETED", 1, {"result": "luck"})


def test_a_hopeless_task_is_not(workers: Workers, clients: OrkesClients, unique: str) -> None:
    execution = run(clients, unique, task("hopeless"))
    assert execution.status == "FAILED"
    assert [each.status for each in execution.tasks] == ["FAILED_WITH_TERMINAL_ERROR"]
    assert "there is no way" in execution.reason_for_incompletion


def test_a_worker_of_a_domain(workers: Workers, clients: OrkesClients, unique: str) -> None:
    execution = run(clients, unique, task("local"), task_to_domain={"local": "berlin"})
    assert outputs(execution) == [{"result": "berlin"}]
    assert execution.tasks[0].domain == "berlin"


def test_the_lease_of_a_long_task_is_extended(workers: Workers, clients: OrkesClients, unique: str) -> None:
    assert outputs(run(clients, unique, task("slow"))) == [{"result": "at last"}]


def test_changes_of_a_task_reach_a_worker(workers: Workers, clients: OrkesClients, unique: str) -> None:
    seen = StateChangeEvent("audit", {"who": "${workflow.input.who}", "status": "${listed_ref.status}"})
    changes = StateChangeConfig([StateChangeEventType.onScheduled, StateChangeEventType.onSuccess], [seen])
    listed = task("listed")
    listed.on_state_change = changes
    execution = run(clients, unique, listed, input={"who": "ada"})
    audits = [each for each in execution.tasks if each.task_type == "audit"]
    assert [each.output_data["seen"] for each in audits] == ["ada SCHEDULED", "ada COMPLETED"]
    assert {each.parent_task_id for each in audits} == {execution.tasks[0].task_id}


def test_a_bit_of_everything(server: ServerProcess, workers: Workers, clients: OrkesClients, unique: str) -> None:
    """Scripts, HTTP, sub-workflows, forks, waits, variables and a worker."""
    executor = clients.get_workflow_executor()
    flow = ConductorWorkflow(executor, unique, version=1)
    script = """
    function greetings() { return {"text": "hello " + $.name, "url": $.url}; }
    greetings();
    """
    hello = JavascriptTask("hello", script, {"name": flow.input("name"), "url": f"{server.url}/health"})
    child = ConductorWorkflow(executor, f"{unique}_child") >> HttpTask("call", {"uri": "${workflow.input.uri}"})
    child.input_parameters({"uri": hello.output("url")})
    jq = JsonJQTask("jq", "{ all: (.a.list + .b.list) }").input(key="a", value={"list": [1]})
    jq.input(key="b", value={"list": [2]})
    switch = SwitchTask("decide", flow.input("country"))
    switch.switch_case("US", SimpleTask("double", "us").input(key="number", value=21))
    switch.default_case(TerminateTask("no", WorkflowStatus.TERMINATED, "unsupported country"))
    variables = SetVariableTask("set").input(key="v", value=jq.output("result.all"))
    flow >> hello >> [child, [WaitTask("short", wait_for_seconds=1)]] >> jq >> variables >> switch
    flow.output_parameters({"greeting": hello.output("text"), "number": "${us.output.result}"})

    done = flow.execute({"name": "Ada", "country": "US"}, wait_for_seconds=30)
    assert (done.status, done.output) == ("COMPLETED", {"greeting": "hello Ada", "number": 42})
    assert done.variables == {"v": [1, 2]}
    assert flow.execute({"name": "Bob", "country": "XX"}, wait_for_seconds=30).status == "TERMINATED"


def test_definitions_and_schemas_are_registered(workers: Workers, clients: OrkesClients) -> None:
    definition = until(lambda: clients.get_metadata_client().get_task_def("double"))
    assert definition.input_schema.name == "double_input"
    schema = clients.get_schema_client().get_schema("double_input", 1).data
    assert (schema["required"], schema["additionalProperties"]) == (["number"], False)
    assert clients.get_metadata_client().get_task_def("slow").response_timeout_seconds == 6


def test_events(workers: Workers, clients: OrkesClients, unique: str) -> None:
    run(clients, unique, task("double", inputs={"number": 1}), task("hopeless"))
    seen = {(each["event"], each["task"]) for each in workers.events()}
    assert {
        ("PollCompleted", "double"),
        ("TaskExecutionCompleted", "double"),
        ("TaskExecutionFailure", "hopeless"),
    } <= seen
    assert not any(event in ("PollFailure", "TaskUpdateFailure") for event, _ in seen)


def test_many_workflows(workers: Workers, clients: OrkesClients, unique: str) -> None:
    tasks = [task("shout", inputs={"text": "${workflow.input.n}"}), task("double", inputs={"number": 2})]
    definition = {"name": unique, "tasks": clients.get_workflow_client().api_client.sanitize_for_serialization(tasks)}
    ids = [start(clients, unique, workflow_def=definition, input={"n": f"n{n}"}) for n in range(25)]
    until(lambda: all(status(clients, each) == "COMPLETED" for each in ids), 45)


def test_workers_in_processes_as_they_come(
    server: ServerProcess, clients: OrkesClients, unique: str, tmp_path: Path
) -> None:
    settings = {"CONDUCTOR_WORKER_ALL_DOMAIN": unique, "WORKER_CANONICAL_METRICS": "true"}
    with running_workers(server, tmp_path, "double", "shout", "metrics", **settings) as workers:
        tasks = task("double", inputs={"number": 4}), task("shout", inputs={"text": "a"})
        execution = run(clients, unique, *tasks, task_to_domain={"*": unique})
        assert outputs(execution) == [{"result": 8}, {"text": "A"}]
        assert {each["task"] for each in workers.events()} == {"double", "shout"}
        until(lambda: 'task_update_time_seconds_count{status="SUCCESS",taskType="double"}' in workers.metrics())
        assert 'uri="/tasks/update-v2"' in workers.metrics()
