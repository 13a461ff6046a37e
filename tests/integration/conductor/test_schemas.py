"""Inputs and outputs are held to their schemas."""

from __future__ import annotations

from typing import Any

from tests.support.conductor import Conductor, node, simple, sub_workflow, task_def, workflow

ORDER = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "integer"},
        "lines": {"type": "array", "items": {"type": "object", "required": ["sku"]}},
    },
}


def _schema(data: Any, name: str = "order") -> Any:
    return {"name": name, "version": 1, "type": "JSON", "data": data}


async def test_a_start_with_a_bad_input_is_refused(conductor: Conductor) -> None:
    await conductor.register(workflow("wf", node("NOOP", "n"), inputSchema=_schema(ORDER)))
    answer = await conductor.start("wf", {"id": 1, "lines": [{"sku": "a"}, {}]}, expect=400)
    assert "lines[1]" in answer["message"]
    await conductor.start("wf", {"lines": []}, expect=400)
    await conductor.until(await conductor.start("wf", {"id": 1}))


async def test_the_template_counts(conductor: Conductor) -> None:
    await conductor.register(workflow("wf", node("NOOP", "n"), inputSchema=_schema(ORDER), inputTemplate={"id": 7}))
    await conductor.until(await conductor.start("wf"))


async def test_a_schema_that_is_not_enforced(conductor: Conductor) -> None:
    await conductor.register(workflow("wf", node("NOOP", "n"), inputSchema=_schema(ORDER), enforceSchema=False))
    await conductor.until(await conductor.start("wf", {"id": "x"}))


async def test_a_schema_by_name(conductor: Conductor) -> None:
    await conductor.post("/schema", {"name": "registered", "version": 1, "type": "JSON", "data": ORDER})
    await conductor.register(
        workflow("wf", node("NOOP", "n"), inputSchema={"name": "registered", "version": 1, "type": "JSON"})
    )
    await conductor.start("wf", {"id": "x"}, expect=400)
    await conductor.start("wf", {"id": 1})


async def test_a_schema_that_is_not_there(conductor: Conductor) -> None:
    await conductor.register(
        workflow("wf", node("NOOP", "n"), inputSchema={"name": "missing", "version": 1, "type": "JSON"})
    )
    answer = await conductor.start("wf", {"id": 1}, expect=400)
    assert "missing" in answer["message"]


async def test_a_schema_that_refers_elsewhere_is_not_followed(conductor: Conductor) -> None:
    schema = _schema({"$ref": "http://127.0.0.1:1/never.json"})
    await conductor.register(workflow("wf", node("NOOP", "n"), inputSchema=schema))
    await conductor.start("wf", {"id": 1}, expect=400)


async def test_a_bad_output_fails_the_workflow(conductor: Conductor) -> None:
    await conductor.register(workflow("wf", simple("t"), outputSchema=_schema(ORDER)))
    id = await conductor.start("wf")
    await conductor.work("t", {"id": "x"})
    view = await conductor.until(id, "FAILED")
    assert "outputSchema" in view["reasonForIncompletion"]
    assert view["output"] == {"id": "x"}


async def test_the_input_of_a_task(conductor: Conductor) -> None:
    await conductor.register(task_def("t", inputSchema=_schema(ORDER), enforceSchema=True))
    id = await conductor.run(workflow("wf", simple("t", {"id": "${workflow.input.id}"})), input={"id": "x"})
    view = await conductor.until(id, "FAILED")
    assert view["tasks"][0]["status"] == "FAILED_WITH_TERMINAL_ERROR"
    assert "$.id" in view["reasonForIncompletion"]
    await conductor.poll_nothing("t")
    await conductor.start("wf", {"id": 3})
    await conductor.poll("t")


async def test_the_output_of_a_task(conductor: Conductor) -> None:
    await conductor.register(task_def("t", outputSchema=_schema(ORDER), enforceSchema=True))
    id = await conductor.run(workflow("wf", simple("t")))
    await conductor.work("t", {"id": "x"})
    view = await conductor.until(id, "FAILED")
    assert (view["tasks"][0]["status"], view["tasks"][0]["outputData"]) == ("FAILED_WITH_TERMINAL_ERROR", {"id": "x"})
    second = await conductor.start("wf")
    await conductor.work("t", {"id": 3})
    await conductor.until(second)


async def test_task_schemas_are_not_enforced_unless_asked(conductor: Conductor) -> None:
    await conductor.register(task_def("t", inputSchema=_schema(ORDER), outputSchema=_schema(ORDER)))
    id = await conductor.run(workflow("wf", simple("t", {"id": "x"})))
    await conductor.work("t", {"id": "x"})
    await conductor.until(id)


async def test_the_input_of_a_sub_workflow(conductor: Conductor) -> None:
    await conductor.register(workflow("child", node("NOOP", "n"), inputSchema=_schema(ORDER)))
    id = await conductor.run(workflow("wf", sub_workflow("s", "child", {"id": "x"})))
    view = await conductor.until(id, "FAILED")
    assert "inputSchema" in view["reasonForIncompletion"]
