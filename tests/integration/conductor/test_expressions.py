"""`${...}` in real workflows: inputs, outputs, templates, secrets, environment."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.conductor import Conductor, inline, node, simple, task_def, workflow

INPUT = {
    "n": 1,
    "text": "hi",
    "flag": True,
    "nothing": None,
    "list": [1, 2, 3],
    "map": {"a": {"b": "deep"}},
    "key": "text",
}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("${workflow.input.n}", 1),
        ("${workflow.input.flag}", True),
        ("${workflow.input.nothing}", None),
        ("${workflow.input.missing.deeper}", None),
        ("${workflow.input.list}", [1, 2, 3]),
        ("${workflow.input.map}", {"a": {"b": "deep"}}),
        ("${workflow.input.map.a.b}", "deep"),
        ("${workflow.input['map']['a'].b}", "deep"),
        ("${workflow.input.list[0]}", 1),
        ("${workflow.input.list[-1]}", 3),
        ("${workflow.input.list[0:2]}", [1, 2]),
        ("${workflow.input.list[?(@ > 1)]}", [2, 3]),
        ("${workflow.input.list.length()}", 3),
        ("${workflow.input..b}", ["deep"]),
        ("${workflow.input.${workflow.input.key}}", "hi"),
        ("n=${workflow.input.n}, text=${workflow.input.text}", "n=1, text=hi"),
        ("${workflow.input.nothing}!", "null!"),
        ("list: ${workflow.input.list}", "list: [1,2,3]"),
        ("$${workflow.input.n}", "${workflow.input.n}"),
        ("${}", ""),
        ("plain", "plain"),
        ("${no_such_task.output.x}", None),
        ("${workflow.workflowType}/${workflow.version}", "wf/1"),
        ("${workflow.status}", "RUNNING"),
        ({"a": ["${workflow.input.n}", {"b": "${workflow.input.text}"}]}, {"a": [1, {"b": "hi"}]}),
    ],
)
async def test_templates(conductor: Conductor, template: Any, value: Any) -> None:
    await conductor.run(workflow("wf", simple("t", {"v": template})), input=INPUT)
    assert (await conductor.poll("t"))["inputData"]["v"] == value


async def test_keys_are_not_expanded_and_values_only_once(conductor: Conductor) -> None:
    given = {"${workflow.input.n}": "${workflow.input.tricky}"}
    await conductor.run(workflow("wf", simple("t", given)), input={"n": 1, "tricky": "${workflow.input.n}"})
    assert (await conductor.poll("t"))["inputData"] == {"${workflow.input.n}": "${workflow.input.n}"}


async def test_what_a_task_shows_to_others(conductor: Conductor) -> None:
    shown = [
        "status",
        "taskType",
        "taskDefName",
        "referenceTaskName",
        "workflowInstanceId",
        "retryCount",
        "pollCount",
        "workerId",
        "taskId",
    ]
    seen = {name: f"${{first.{name}}}" for name in shown} | {
        "given": "${first.input.x}",
        "start": "${first.startTime}",
        "end": "${first.endTime}",
    }
    id = await conductor.run(workflow("wf", simple("first", {"x": 5}, name="typed"), simple("second", seen)))
    first = await conductor.poll("typed", worker="me")
    await conductor.complete(first)
    data = (await conductor.poll("second"))["inputData"]
    assert data["end"] >= data["start"] > 0
    assert data == data | {
        "status": "COMPLETED",
        "taskType": "typed",
        "taskDefName": "typed",
        "referenceTaskName": "first",
        "workflowInstanceId": id,
        "retryCount": 0,
        "pollCount": 1,
        "workerId": "me",
        "taskId": first["taskId"],
        "given": 5,
    }


async def test_the_output_of_the_workflow(conductor: Conductor) -> None:
    parameters = {
        "id": "${workflow.workflowId}",
        "r": "${t.output.r}",
        "v": "${workflow.variables.v}",
        "c": "${workflow.correlationId}",
        "missing": "${t.output.none}",
    }
    id = await conductor.run(
        workflow("wf", simple("t"), outputParameters=parameters, variables={"v": 9}), correlationId="c1"
    )
    await conductor.work("t", {"r": [1]})
    assert (await conductor.workflow(id))["output"] == {"id": id, "r": [1], "v": 9, "c": "c1", "missing": None}


async def test_without_output_parameters_the_last_task_gives_the_output(conductor: Conductor) -> None:
    id = await conductor.run(workflow("wf", simple("a"), simple("b")))
    await conductor.work("a", {"a": 1})
    await conductor.work("b", {"b": 2})
    assert (await conductor.workflow(id))["output"] == {"b": 2}


async def test_input_templates(conductor: Conductor) -> None:
    await conductor.register(
        task_def("t", inputTemplate={"url": "http://${workflow.input.host}", "retries": 3, "opt": "default"})
    )
    wf = workflow(
        "wf", simple("t", {"retries": 5, "opt": "${workflow.input.none}"}), inputTemplate={"host": "here", "x": 1}
    )
    id = await conductor.run(wf, input={"x": 2})
    assert (await conductor.workflow(id))["input"] == {"host": "here", "x": 2}
    assert (await conductor.poll("t"))["inputData"] == {"url": "http://here", "retries": 5, "opt": "default"}


async def test_the_workflows_input_template_holds_without_input_too(conductor: Conductor) -> None:
    id = await conductor.run(workflow("wf", simple("t"), inputTemplate={"host": "here"}))
    assert (await conductor.workflow(id))["input"] == {"host": "here"}


async def test_an_input_expression_gives_the_whole_input(conductor: Conductor) -> None:
    t = simple("t") | {"inputExpression": {"expression": "workflow.input.map", "type": "JSON_PATH"}}
    await conductor.run(workflow("wf", t), input=INPUT)
    assert (await conductor.poll("t"))["inputData"] == {"a": {"b": "deep"}}


async def test_an_input_expression_that_gives_no_object_fails_the_task(conductor: Conductor) -> None:
    t = simple("t") | {"inputExpression": {"expression": "workflow.input.list", "type": "JSON_PATH"}}
    id = await conductor.run(workflow("wf", t), input=INPUT)
    view = await conductor.until(id, "FAILED")
    assert "inputExpression" in view["reasonForIncompletion"]


async def test_variables(conductor: Conductor) -> None:
    first = node("SET_VARIABLE", "set", {"count": "${workflow.input.n}", "nested": {"x": "${workflow.variables.base}"}})
    id = await conductor.run(
        workflow("wf", first, simple("t", {"all": "${workflow.variables}"}), variables={"base": "b", "count": 0}),
        input={"n": 7},
    )
    assert (await conductor.poll("t"))["inputData"]["all"] == {"base": "b", "count": 7, "nested": {"x": "b"}}
    assert (await conductor.task(id, "set"))["outputData"] == {}


async def test_variables_above_the_limit_fail_the_task_and_stay_as_they_were(conductor: Conductor) -> None:
    id = await conductor.run(
        workflow("wf", node("SET_VARIABLE", "set", {"big": "${workflow.input.big}"}), variables={"v": 1}),
        input={"big": "x" * 300_000},
    )
    view = await conductor.until(id, "FAILED")
    assert view["tasks"][0]["status"] == "FAILED_WITH_TERMINAL_ERROR"
    assert view["variables"] == {"v": 1}
    assert "262,144" in view["reasonForIncompletion"]


async def _put_text(conductor: Conductor, path: str, text: str) -> None:
    response = await conductor.client.put(path, content=text)
    assert response.status_code == 200, response.text


async def test_secrets_reach_the_worker_and_nobody_else(conductor: Conductor) -> None:
    await _put_text(conductor, "/secrets/api_key", "s3cr3t")
    id = await conductor.run(
        workflow(
            "wf",
            simple(
                "t",
                {
                    "key": "${workflow.secrets.api_key}",
                    "header": "Bearer ${workflow.secrets.api_key}",
                    "none": "x${workflow.secrets.missing}",
                },
            ),
        )
    )
    assert (await conductor.poll("t"))["inputData"] == {"key": "s3cr3t", "header": "Bearer s3cr3t", "none": "x"}
    shown = await conductor.client.get(f"/workflow/{id}")
    assert "s3cr3t" not in shown.text
    assert (await conductor.task(id, "t"))["inputData"]["key"] == "${workflow.secrets.api_key}"


async def test_data_that_looks_like_a_secret_is_none(conductor: Conductor) -> None:
    await _put_text(conductor, "/secrets/api_key", "s3cr3t")
    await conductor.run(
        workflow("wf", simple("t", {"v": "${workflow.input.v}"})), input={"v": "${workflow.secrets.api_key}"}
    )
    assert (await conductor.poll("t"))["inputData"]["v"] == "${workflow.secrets.api_key}"


async def test_a_path_into_a_secret(conductor: Conductor) -> None:
    await _put_text(conductor, "/secrets/db", '{"user": "u", "ports": [1, 2]}')
    await conductor.run(
        workflow("wf", simple("t", {"u": "${workflow.secrets.db.user}", "p": "${workflow.secrets.db.ports[1]}"}))
    )
    assert (await conductor.poll("t"))["inputData"] == {"u": "u", "p": 2}


async def test_secrets_named_by_the_task_definition(conductor: Conductor) -> None:
    await _put_text(conductor, "/secrets/token", "tok")
    await conductor.register(task_def("t", runtimeMetadata=["token", "absent"]))
    await conductor.run(workflow("wf", simple("t")))
    assert (await conductor.poll("t"))["runtimeMetadata"] == {"token": "tok"}


async def test_the_environment_is_that_of_the_server_alone(conductor: Conductor) -> None:
    await _put_text(conductor, "/environment/region", "north")
    await conductor.run(
        workflow("wf", simple("t", {"r": "${workflow.env.region}", "leak": "${PATH}", "none": "${workflow.env.PATH}"}))
    )
    assert (await conductor.poll("t"))["inputData"] == {"r": "north", "leak": None, "none": None}


async def test_an_expression_that_asks_for_too_much_fails_the_task(conductor: Conductor) -> None:
    pieces = "".join("${workflow.input.big}" for _ in range(100))
    id = await conductor.run(workflow("wf", simple("t", {"v": pieces})), input={"big": "x" * 100_000})
    view = await conductor.until(id, "FAILED")
    assert view["tasks"][0]["status"] == "FAILED_WITH_TERMINAL_ERROR"
    assert "fault of its own" not in view["reasonForIncompletion"]


async def test_an_output_that_asks_for_too_much_fails_the_workflow(conductor: Conductor) -> None:
    pieces = "".join("${workflow.input.big}" for _ in range(100))
    id = await conductor.run(
        workflow("wf", node("NOOP", "n"), outputParameters={"v": pieces}), input={"big": "x" * 100_000}
    )
    view = await conductor.until(id, "FAILED")
    assert "outputParameters" in view["reasonForIncompletion"]


async def test_scripts_do_not_change_what_is_stored(conductor: Conductor) -> None:
    id = await conductor.run(
        workflow("wf", inline("i", "$.list.push(4); $.list", input={"list": "${workflow.input.list}"})),
        input={"list": [1]},
    )
    view = await conductor.until(id)
    assert view["output"] == {"result": [1, 4]}
    assert view["tasks"][0]["inputData"]["list"] == [1]
