"""A SUB_WORKFLOW whose name is that of durable code."""

from __future__ import annotations

from tenuto.client import Client
from tenuto.model.policies import ExecutionStatus
from tenuto.worker import Worker
from tests.support.conductor import Conductor, Json, simple, sub_workflow, workflow


async def call(conductor: Conductor, name: str, input: Json = None, **more: Json) -> str:
    """Run a graph that calls the code and gives its output on; returns the graph's id."""
    task = sub_workflow("call", name, input or {"number": "${workflow.input.number}"}) | more
    definition = workflow("caller", task, outputParameters={"answer": "${call.output}"})
    found: str = await conductor.run(definition, input={"number": 21})
    return found


async def test_a_value_that_is_no_object_comes_as_result(conductor: Conductor, worker: Worker) -> None:
    view = await conductor.until(await call(conductor, "Double"))
    assert view["output"]["answer"]["result"] == 42


async def test_an_object_is_the_output(conductor: Conductor, worker: Worker) -> None:
    view = await conductor.until(await call(conductor, "Describe", {"a": [1, {"b": None}]}))
    assert view["output"]["answer"]["got"] == {"a": [1, {"b": None}]}


async def test_nothing_is_no_output(conductor: Conductor, worker: Worker) -> None:
    view = await conductor.until(await call(conductor, "Nothing"))
    assert set(view["output"]["answer"]) == {"subWorkflowId"}


async def test_its_failure_fails_the_task(conductor: Conductor, worker: Worker) -> None:
    view = await conductor.until(await call(conductor, "Fails"), "FAILED")
    (task,) = view["tasks"]
    assert task["status"] == "FAILED"
    assert "no stock" in task["reasonForIncompletion"]
    assert "no stock" in view["reasonForIncompletion"]


async def test_an_optional_call_goes_on_after_a_failure(conductor: Conductor, worker: Worker) -> None:
    view = await conductor.until(await call(conductor, "Fails", optional=True))
    assert view["tasks"][0]["status"] == "COMPLETED_WITH_ERRORS"


async def test_its_termination_cancels_the_task(conductor: Conductor, worker: Worker, client: Client) -> None:
    graph = await call(conductor, "Waits")
    task = await conductor.until_task(graph, "call", "IN_PROGRESS")
    await client.get_workflow_handle(task["subWorkflowId"]).terminate(reason="enough")
    view = await conductor.until(graph, "TERMINATED")
    assert view["tasks"][0]["status"] == "CANCELED"
    assert "enough" in view["tasks"][0]["reasonForIncompletion"]


async def test_the_end_of_the_graph_ends_it(conductor: Conductor, worker: Worker, client: Client) -> None:
    graph = await call(conductor, "Waits")
    task = await conductor.until_task(graph, "call", "IN_PROGRESS")
    await conductor.call("DELETE", f"/workflow/{graph}", reason="enough")
    await conductor.until(graph, "TERMINATED")
    child = await client.get_workflow_handle(task["subWorkflowId"]).describe()
    assert child.status is ExecutionStatus.TERMINATED
    assert child.parent_id == graph


async def test_a_retry_of_the_graph_runs_it_again(conductor: Conductor, worker: Worker) -> None:
    graph = await call(conductor, "Fails")
    await conductor.until(graph, "FAILED")
    await conductor.post(f"/workflow/{graph}/retry", expect=204)
    view = await conductor.until(graph, "FAILED")
    assert len({task["subWorkflowId"] for task in view["tasks"]}) == len(view["tasks"]) == 2


async def test_a_definition_comes_before_code_of_the_same_name(conductor: Conductor, worker: Worker) -> None:
    await conductor.register(workflow("Double", simple("by_hand")))
    graph = await call(conductor, "Double")
    await conductor.complete(await conductor.poll("by_hand"), {"from": "a worker"})
    view = await conductor.until(graph)
    assert view["output"]["answer"]["from"] == "a worker"


async def test_a_name_that_nobody_has_is_said(conductor: Conductor, worker: Worker) -> None:
    view = await conductor.until(await call(conductor, "Nobody"), "FAILED")
    assert "Nobody" in view["tasks"][0]["reasonForIncompletion"]
