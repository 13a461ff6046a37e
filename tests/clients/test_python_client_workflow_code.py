"""Workflows as code: every task class of the published Python client, run by a real server."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conductor.client.http.models.start_workflow_request import StartWorkflowRequest
from conductor.client.http.models.workflow_run import WorkflowRun
from conductor.client.http.rest import ApiException
from conductor.client.orkes_clients import OrkesClients
from conductor.client.workflow.conductor_workflow import ConductorWorkflow
from conductor.client.workflow.executor.workflow_executor import WorkflowExecutor
from conductor.client.workflow.task.do_while_task import DoWhileTask, ForEachTask, LoopTask
from conductor.client.workflow.task.dynamic_fork_task import DynamicForkTask
from conductor.client.workflow.task.dynamic_task import DynamicTask
from conductor.client.workflow.task.event_task import ConductorEventTask
from conductor.client.workflow.task.fork_task import ForkTask
from conductor.client.workflow.task.get_document import GetDocument
from conductor.client.workflow.task.http_poll_task import HttpPollInput, HttpPollTask
from conductor.client.workflow.task.http_task import HttpInput, HttpMethod, HttpTask
from conductor.client.workflow.task.human_task import HumanTask
from conductor.client.workflow.task.inline import InlineTask
from conductor.client.workflow.task.javascript_task import JavascriptTask
from conductor.client.workflow.task.join_task import JoinTask
from conductor.client.workflow.task.json_jq_task import JsonJQTask
from conductor.client.workflow.task.kafka_publish import KafkaPublishTask
from conductor.client.workflow.task.kafka_publish_input import KafkaPublishInput
from conductor.client.workflow.task.llm_tasks.llm_chat_complete import ChatMessage, LlmChatComplete
from conductor.client.workflow.task.set_variable_task import SetVariableTask
from conductor.client.workflow.task.simple_task import SimpleTask
from conductor.client.workflow.task.start_workflow_task import StartWorkflowTask
from conductor.client.workflow.task.sub_workflow_task import InlineSubWorkflowTask, SubWorkflowTask
from conductor.client.workflow.task.switch_task import SwitchTask
from conductor.client.workflow.task.task import TaskInterface
from conductor.client.workflow.task.terminate_task import TerminateTask, WorkflowStatus
from conductor.client.workflow.task.timeout_policy import TimeoutPolicy
from conductor.client.workflow.task.wait_for_webhook_task import wait_for_webhook
from conductor.client.workflow.task.wait_task import WaitForDurationTask, WaitTask, WaitUntilTask

from tests.clients.definitions import take, work_off
from tests.clients.server_process import ServerProcess, until

# The client calls its own deprecated properties.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")


@pytest.fixture
def executor(clients: OrkesClients) -> WorkflowExecutor:
    return clients.get_workflow_executor()


@pytest.fixture
def workflow(executor: WorkflowExecutor, unique: str) -> ConductorWorkflow:
    """An empty workflow without a limit of time."""
    return ConductorWorkflow(executor, unique, version=1, description="a test").timeout_seconds(0)


def javascript(reference: str, script: str, **bindings: Any) -> JavascriptTask:
    return JavascriptTask(reference, script, bindings)


def ended(run: WorkflowRun) -> dict[str, Any]:
    assert run.status == "COMPLETED", run.to_dict()
    return run.output


def by_reference(run: WorkflowRun) -> dict[str, Any]:
    return {each.reference_task_name: each for each in run.tasks}


def test_registered_as_it_was_written(clients: OrkesClients, workflow: ConductorWorkflow, unique: str) -> None:
    workflow >> SimpleTask(f"{unique}_a", "a").input(key="x", value=workflow.input("x"))
    workflow.timeout_policy(TimeoutPolicy.TIME_OUT_WORKFLOW).timeout_seconds(90)
    workflow.owner_email("a@example.com").variables({"v": 1}).input_parameters(["x"])
    workflow.failure_workflow("cleanup").output_parameters({"y": "${a.output.y}"}).input_template({"x": 5})
    workflow.register(overwrite=True)
    workflow.register(overwrite=True)
    found = clients.get_metadata_client().get_workflow_def(unique)
    assert (found.version, found.description, found.timeout_policy, found.timeout_seconds) == (
        1,
        "a test",
        "TIME_OUT_WF",
        90,
    )
    assert (found.owner_email, found.variables, found.input_parameters) == ("a@example.com", {"v": 1}, ["x"])
    assert (found.failure_workflow, found.output_parameters, found.input_template) == (
        "cleanup",
        {"y": "${a.output.y}"},
        {"x": 5},
    )
    assert found.tasks[0].input_parameters == {"x": "${workflow.input.x}"}


def test_scripts(workflow: ConductorWorkflow) -> None:
    add = javascript("add", "(() => $.a + $.b)()", a=workflow.input("a"), b=2)
    inline = InlineTask("inline", "({list: [1, $.n], n: $.n});", {"n": add.output()})
    jq = JsonJQTask("jq", ".l | map(. * 2)").input(key="l", value=inline.output("result.list"))
    workflow >> add >> inline >> jq
    workflow.output_parameters({"sum": add.output(), "list": jq.output("result"), "n": inline.output("result.n")})
    assert ended(workflow.execute({"a": 1})) == {"sum": 3, "list": [2, 6], "n": 3}


def test_variables(workflow: ConductorWorkflow) -> None:
    workflow >> SetVariableTask("set").input(key="v", value={"deep": [workflow.input("x")]})
    workflow.output_parameters({"v": "${workflow.variables.v.deep[0]}"})
    run = workflow.execute({"x": "y"})
    assert (ended(run), run.variables) == ({"v": "y"}, {"v": {"deep": ["y"]}})
    assert workflow(x="called").output == {"v": "called"}


@pytest.mark.parametrize(("city", "expected"), [("Oslo", "north"), ("Rome", "south"), ("Bern", None)])
@pytest.mark.parametrize("use_javascript", [False, True])
def test_switch(workflow: ConductorWorkflow, city: str, expected: str | None, use_javascript: bool) -> None:
    expression = "$.city == 'Oslo' ? 'Oslo' : $.city" if use_javascript else workflow.input("city")
    switch = SwitchTask("switch", expression, use_javascript).input(key="city", value=workflow.input("city"))
    switch.switch_case("Oslo", SetVariableTask("north").input(key="where", value="north"))
    switch.switch_case("Rome", [SetVariableTask("south").input(key="where", value="south")])
    switch.default_case(TerminateTask("stop", WorkflowStatus.FAILED, "nowhere"))
    workflow >> switch
    run = workflow.execute({"city": city})
    if expected:
        ended(run)
        assert run.variables == {"where": expected}
    else:
        assert run.status == "FAILED"


def test_terminate(executor: WorkflowExecutor, workflow: ConductorWorkflow) -> None:
    workflow >> TerminateTask("stop", WorkflowStatus.TERMINATED, "enough of ${workflow.input.x}")
    run = workflow.execute({"x": "this"})
    assert run.status == "TERMINATED"
    assert executor.get_workflow(run.workflow_id).reason_for_incompletion == "enough of this"


def test_loops(workflow: ConductorWorkflow) -> None:
    count = LoopTask("count", 3, [javascript("square", "$.i * $.i", i="${count.output.iteration}")])
    until_four = DoWhileTask("until", "$.until['iteration'] < 4", SetVariableTask("last"))
    workflow >> count >> until_four
    run = workflow.execute()
    ended(run)
    assert [run.tasks[n].output_data["result"] for n in (1, 2, 3)] == [1, 4, 9]
    assert by_reference(run)["until"].output_data["iteration"] == 4


def test_for_each(workflow: ConductorWorkflow) -> None:
    body = javascript("upper", "$.item.toUpperCase()", item="${each.output.loopItem}")
    workflow >> ForEachTask("each", [body], workflow.input("names"))
    run = workflow.execute({"names": ["ada", "bob", "eve"]})
    ended(run)
    results = [each.output_data["result"] for each in run.tasks if each.task_type == "INLINE"]
    assert results == ["ADA", "BOB", "EVE"]


def test_fork_with_a_join(workflow: ConductorWorkflow) -> None:
    left, right = javascript("left", "'l'"), [javascript("r1", "1"), javascript("right", "'r'")]
    workflow >> ForkTask("fork", [[left], right], join_on=["left", "right"])
    workflow.output_parameters({"l": "${fork_join.output.left.result}", "r": "${fork_join.output.right.result}"})
    assert ended(workflow.execute()) == {"l": "l", "r": "r"}


def test_fork_by_a_list(workflow: ConductorWorkflow) -> None:
    workflow >> [javascript("a", "1"), [javascript("b1", "2"), javascript("b2", "3")]] >> javascript("after", "4")
    run = workflow.execute()
    ended(run)
    assert [each.task_type for each in run.tasks] == ["FORK", "INLINE", "INLINE", "JOIN", "INLINE", "INLINE"]


def test_fork_at_the_end(workflow: ConductorWorkflow) -> None:
    """The client adds no JOIN there, so that it can't run."""
    workflow >> [javascript("a", "1"), javascript("b", "2")]
    with pytest.raises(ApiException, match=r"tasks\[0\]: FORK_JOIN forked_\w+ must be followed by a JOIN"):
        workflow.execute()


def test_join_with_a_script(clients: OrkesClients, workflow: ConductorWorkflow, unique: str) -> None:
    script = """(function () {
      let done = 0;
      for (const ref of $.joinOn) { if ($[ref].status == 'COMPLETED') done++; }
      return {status: done > 0 ? 'COMPLETED' : 'IN_PROGRESS', outputData: {done: done}};
    })();"""
    fast, slow = javascript("fast", "1"), SimpleTask(f"{unique}_slow", "slow")
    workflow >> ForkTask("fork", [[fast], [slow]]) >> JoinTask("join", ["fast", "slow"], join_on_script=script)
    workflow >> TerminateTask("stop", WorkflowStatus.COMPLETED, "one was enough")
    run = workflow.execute()
    ended(run)
    assert by_reference(run)["join"].status == "COMPLETED"
    assert by_reference(run)["slow"].status == "CANCELED"


def test_dynamic_fork(clients: OrkesClients, workflow: ConductorWorkflow, unique: str) -> None:
    fork = DynamicForkTask("fork", "tasks", "inputs", JoinTask("join"))
    fork.input(key="tasks", value=workflow.input("tasks"))
    fork.input(key="inputs", value=workflow.input("inputs"))
    workflow >> fork
    tasks = [{"name": f"{unique}_w", "taskReferenceName": f"w{n}", "type": "SIMPLE"} for n in range(2)]
    workflow_id = workflow.start_workflow_with_input({"tasks": tasks, "inputs": {"w0": {"n": 0}, "w1": {"n": 1}}})
    worked = [work_off(clients, f"{unique}_w", done=n) for n in range(2)]
    assert sorted(each.input_data["n"] for each in worked) == [0, 1]
    execution = clients.get_workflow_client().get_workflow(workflow_id)
    assert execution.status == "COMPLETED"
    assert set(execution.output) == {"w0", "w1"}


def test_dynamic_task(clients: OrkesClients, workflow: ConductorWorkflow, unique: str) -> None:
    workflow >> DynamicTask(workflow.input("which"), "dynamic")
    workflow_id = workflow.start_workflow_with_input({"which": f"{unique}_chosen"})
    work_off(clients, f"{unique}_chosen", a=1)
    assert clients.get_workflow_client().get_workflow(workflow_id).output == {"a": 1}


def test_sub_workflows(executor: WorkflowExecutor, workflow: ConductorWorkflow, unique: str) -> None:
    child = ConductorWorkflow(executor, f"{unique}_child", version=1) >> javascript(
        "plus", "$.n + 1", n="${workflow.input.n}"
    )
    child.output_parameters({"n": "${plus.output.result}"})
    child.register(overwrite=True)
    named = SubWorkflowTask("named", f"{unique}_child", 1).input(key="n", value=workflow.input("n"))
    inline = InlineSubWorkflowTask("inline", child).input(key="n", value=named.output("n"))
    workflow >> named >> inline >> child.input_template({"n": "${inline.output.n}"})
    run = workflow.execute({"n": 1})
    assert ended(run)["n"] == 4
    assert [each.task_type for each in run.tasks] == ["SUB_WORKFLOW"] * 3


def test_start_workflow(executor: WorkflowExecutor, workflow: ConductorWorkflow, unique: str) -> None:
    other = ConductorWorkflow(executor, f"{unique}_other", version=1) >> javascript(
        "one", "$.n", n="${workflow.input.n}"
    )
    other.register(overwrite=True)
    request = StartWorkflowRequest(input={"n": 9}, correlation_id="c")
    workflow >> StartWorkflowTask("start", f"{unique}_other", request, version=1)
    started = ended(workflow.execute())["workflowId"]
    until(lambda: executor.get_workflow_status(started).status == "COMPLETED")
    assert executor.get_workflow(started).correlation_id == "c"


def test_http(server: ServerProcess, workflow: ConductorWorkflow) -> None:
    by_dict = HttpTask("by_dict", {"uri": f"{server.url}/health"})
    by_class = HttpTask(
        "by_class", HttpInput(HttpMethod.GET, f"{server.api}/metadata/workflow/names", accept="application/json")
    )
    poll = HttpPollTask(
        "poll",
        HttpPollInput("(function(){ return $.output.response.body.healthy; })();", uri=f"{server.url}/health"),
    )
    workflow >> by_dict >> by_class >> poll
    workflow.output_parameters({"status": by_dict.status_code(), "healthy": by_dict.body("healthy")})
    run = workflow.execute(wait_for_seconds=20)
    assert ended(run) == {"status": 200, "healthy": True}
    assert isinstance(by_reference(run)["by_class"].output_data["response"]["body"], list)


def _soon() -> str:
    return (datetime.now(UTC) + timedelta(minutes=-1)).strftime("%Y-%m-%d %H:%M UTC")


@pytest.mark.parametrize(
    "wait",
    [
        lambda: WaitForDurationTask("wait", 1),
        lambda: WaitTask("wait", wait_for_seconds=1),
        lambda: WaitUntilTask("wait", _soon()),
        lambda: WaitTask("wait", wait_until=_soon()),
    ],
)
def test_timed_waits(workflow: ConductorWorkflow, wait: Callable[[], TaskInterface]) -> None:
    workflow >> wait()
    ended(workflow.execute())


def test_human_and_wait_end_by_reference(executor: WorkflowExecutor, workflow: ConductorWorkflow) -> None:
    workflow >> HumanTask("approve", display_name="Approve", form_template="form", form_version=1) >> WaitTask("wait")
    run = workflow.execute()
    assert (run.status, run.tasks[0].status) == ("RUNNING", "IN_PROGRESS")
    assert (
        executor.update_task_by_ref_name({"ok": True}, run.workflow_id, "approve", "COMPLETED") == run.tasks[0].task_id
    )
    after = executor.update_task_by_ref_name_sync({"w": 1}, run.workflow_id, "wait", "COMPLETED")
    assert (after.status, after.output) == ("COMPLETED", {"w": 1})


def test_event(workflow: ConductorWorkflow, unique: str) -> None:
    workflow >> ConductorEventTask("publish", f"{unique}_event").input(key="a", value=1)
    output = ended(workflow.execute())
    assert (output["a"], output["event_produced"]) == (1, f"conductor:{unique}:{unique}_event")


def test_what_only_waits_or_needs_a_worker(clients: OrkesClients, workflow: ConductorWorkflow, unique: str) -> None:
    """Definitions of what needs a partner elsewhere; types that the server does not run are work for a worker."""
    kafka = KafkaPublishTask("kafka", KafkaPublishInput("localhost:9092", "k", None, "v", "topic"))
    webhook = wait_for_webhook("hook", {"$['type']": "x"})
    chat = LlmChatComplete("chat", "provider", "model", [ChatMessage("user", "hello")])
    document = GetDocument(f"{unique}_doc", "doc", "http://localhost/a.pdf", "application/pdf")
    switch = SwitchTask("switch", "none").switch_case("kafka", kafka).switch_case("chat", [chat])
    workflow >> switch >> document >> webhook
    workflow.register(overwrite=True)
    workflow_id = clients.get_workflow_client().start_workflow_by_name(unique, {}, version=1)
    assert work_off(clients, "GET_DOCUMENT").input_data["mediaType"] == "application/pdf"
    waiting = clients.get_workflow_client().get_workflow(workflow_id).tasks[-1]
    assert (waiting.task_type, waiting.status) == ("WAIT_FOR_WEBHOOK", "IN_PROGRESS")


def test_work_for_a_domain(clients: OrkesClients, workflow: ConductorWorkflow, unique: str) -> None:
    workflow >> SimpleTask(f"{unique}_a", "a")
    workflow.start_workflow_with_input({}, task_to_domain={"*": "paris"}, priority=7, correlation_id="c")
    taken = take(clients, f"{unique}_a", domain="paris")
    assert (taken.domain, taken.workflow_priority, taken.correlation_id) == ("paris", 7, "c")
