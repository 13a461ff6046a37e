"""Durable code and its clients start graphs by name."""

from __future__ import annotations

import pytest

from tenuto.client import Client, WorkflowFailureError
from tenuto.exceptions import (
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    TerminatedError,
    WorkflowAlreadyStartedError,
)
from tenuto.model.errors import RPCError
from tenuto.model.policies import ExecutionStatus
from tenuto.worker import Worker
from tests.support.conductor import Conductor, node, simple, workflow

GREET = workflow("greet", simple("hello", {"name": "${workflow.input.name}"}))
SUM = workflow(
    "sum", node("INLINE", "add", {"a": "${workflow.input.a}", "evaluatorType": "javascript", "expression": "$.a + 1"})
)
BROKEN = workflow("broken", node("TERMINATE", "stop", {"terminationStatus": "FAILED", "terminationReason": "no luck"}))


@pytest.fixture(autouse=True)
async def definitions(conductor: Conductor) -> None:
    await conductor.register(GREET, SUM, BROKEN)


async def test_the_output_is_the_result_of_the_child(client: Client, worker: Worker) -> None:
    result = await client.execute_workflow("Calls", args=["sum", {"a": 41}], id="parent")
    assert result == {"result": 42}
    child = await client.get_workflow_handle("parent-child").describe()
    assert (child.workflow_type, child.parent_id, child.status) == ("sum", "parent", ExecutionStatus.COMPLETED)


async def test_a_worker_in_another_language_does_the_work(conductor: Conductor, client: Client, worker: Worker) -> None:
    handle = await client.start_workflow("Calls", args=["greet", {"name": "Ada"}], id="parent")
    task = await conductor.poll("hello")
    assert task["inputData"] == {"name": "Ada"}
    await conductor.complete(task, {"text": "Hello Ada"})
    assert await handle.result() == {"text": "Hello Ada"}


async def test_an_input_that_is_no_object_comes_as_input(conductor: Conductor, client: Client, worker: Worker) -> None:
    await client.start_workflow("Calls", args=["greet", "Ada"], id="parent")
    await conductor.poll("hello")
    assert (await conductor.workflow("parent-child"))["input"] == {"input": "Ada"}


async def test_its_failure_is_that_of_the_child(client: Client, worker: Worker) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        await client.execute_workflow("Calls", args=["broken", {}], id="parent")
    child_error = caught.value.cause
    assert isinstance(child_error, ChildWorkflowError)
    assert isinstance(child_error.cause, ApplicationError)
    assert "no luck" in str(child_error.cause)


async def test_its_termination_is_that_of_the_child(conductor: Conductor, client: Client, worker: Worker) -> None:
    handle = await client.start_workflow("Calls", args=["greet", {}], id="parent")
    await conductor.poll("hello")
    await conductor.call("DELETE", "/workflow/parent-child", reason="enough")
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, ChildWorkflowError)
    assert isinstance(caught.value.cause.cause, TerminatedError)


async def test_code_cancels_a_graph(conductor: Conductor, client: Client, worker: Worker) -> None:
    assert await client.execute_workflow("CallsAndGivesUp", "greet", id="parent") == "given up"
    assert await conductor.status("parent-child") == "TERMINATED"


async def test_a_cancelled_parent_of_a_graph_is_cancelled(conductor: Conductor, client: Client, worker: Worker) -> None:
    handle = await client.start_workflow("Calls", args=["greet", {}], id="parent")
    await conductor.poll("hello")
    await handle.cancel()
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, CancelledError)
    assert await conductor.status("parent-child") == "TERMINATED"


@pytest.mark.parametrize(
    ("policy", "status"), [("TERMINATE", "TERMINATED"), ("REQUEST_CANCEL", "TERMINATED"), ("ABANDON", "RUNNING")]
)
async def test_parent_close_policies_hold(
    conductor: Conductor, client: Client, worker: Worker, policy: str, status: str
) -> None:
    await client.execute_workflow("Leaves", args=["greet", policy], id="parent")
    await conductor.until("parent-child", status)


async def test_a_client_runs_a_graph(conductor: Conductor, client: Client) -> None:
    assert await client.execute_workflow("sum", {"a": 1}, id="one") == {"result": 2}
    assert (await conductor.workflow("one"))["output"] == {"result": 2}


async def test_a_client_learns_of_a_failure(client: Client) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        await client.execute_workflow("broken", id="one")
    assert "no luck" in str(caught.value.cause)


async def test_a_client_terminates_and_cancels(conductor: Conductor, client: Client) -> None:
    for verb in ("terminate", "cancel"):
        handle = await client.start_workflow("greet", id=verb)
        await getattr(handle, verb)(reason="enough")
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()
        assert isinstance(caught.value.cause, TerminatedError)
        assert (await conductor.workflow(verb))["reasonForIncompletion"] == "enough"


async def test_an_id_is_used_once(client: Client) -> None:
    await client.start_workflow("greet", id="one")
    with pytest.raises(WorkflowAlreadyStartedError):
        await client.start_workflow("greet", id="one")


async def test_a_graph_takes_no_messages_of_code(client: Client) -> None:
    handle = await client.start_workflow("greet", id="one")
    with pytest.raises(RPCError, match="graph, which knows no signal"):
        await handle.signal("go")
    with pytest.raises(RPCError, match="graph, which knows no query"):
        await handle.query("state")
    with pytest.raises(RPCError, match="graph, which knows no update"):
        await handle.execute_update("change")
    with pytest.raises(RPCError, match="graph"):
        await handle.fetch_history()


async def test_code_can_not_signal_a_graph(client: Client, worker: Worker) -> None:
    assert (await client.execute_workflow("SignalsChild", "greet", id="parent")).startswith("refused")


async def test_code_learns_what_a_graph_can_not_take(client: Client, worker: Worker) -> None:
    said = await client.execute_workflow("Demands", "greet", id="parent")
    assert said.startswith("refused")
    assert "greet is a graph, which takes no memo" in said


async def test_a_child_whose_id_is_taken_is_said(client: Client, worker: Worker) -> None:
    await client.start_workflow("greet", id="parent-child")
    with pytest.raises(WorkflowFailureError) as caught:
        await client.execute_workflow("Calls", args=["greet", {}], id="parent")
    assert "'parent-child' (greet) is already started" in str(caught.value.cause)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"args": [1, 2]}, "one argument"),
        ({"arg": b"bytes"}, "JSON"),
        ({"start_signal": "go"}, "start_signal"),
        ({"start_delay": 5}, "start_delay"),
        ({"execution_timeout": 5}, "execution_timeout"),
        ({"memo": {"a": 1}}, "memo"),
    ],
)
async def test_what_a_graph_can_not_take_is_refused(client: Client, options: dict[str, object], message: str) -> None:
    with pytest.raises(RPCError, match=message):
        await client.start_workflow("greet", id="one", **options)  # type: ignore[arg-type]


async def test_graphs_are_listed_and_described(conductor: Conductor, client: Client, worker: Worker) -> None:
    await client.execute_workflow("Calls", args=["sum", {"a": 41}], id="parent")
    handle = await client.start_workflow("greet", {"name": "Ada"}, id="open")
    await conductor.poll("hello")
    found = {one.id: one async for one in client.list_workflows()}
    assert set(found) == {"parent", "parent-child", "open"}
    assert [one.id async for one in client.list_workflows("WorkflowType = 'sum'")] == ["parent-child"]
    assert (await client.count_workflows("ExecutionStatus = 'Running'")).count == 1
    described = await handle.describe()
    (pending,) = described.pending_activities
    assert (pending.activity_id, pending.activity_type, pending.state) == ("hello", "hello", "started")
