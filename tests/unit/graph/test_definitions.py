"""Definitions from and to JSON."""

from __future__ import annotations

from typing import Any

import pytest

from tenuto.graph.definitions import (
    DEPTH,
    DefinitionError,
    Snapshot,
    TaskDef,
    WorkflowDef,
    decode_snapshot,
    decode_task_def,
    decode_workflow_def,
    encode_snapshot,
    to_json,
)


def task(reference: str, **fields: Any) -> dict[str, Any]:
    return {"name": reference, "taskReferenceName": reference, **fields}


def test_what_is_left_out_has_its_default() -> None:
    definition = decode_workflow_def({"name": "w", "tasks": [task("a")]})
    assert (definition.version, definition.schema_version, definition.timeout_policy) == (1, 2, "ALERT_ONLY")
    assert (definition.restartable, definition.enforce_schema) == (True, True)
    assert (definition.tasks[0].type, definition.tasks[0].retry_count) == ("SIMPLE", None)
    task_def = decode_task_def({"name": "t"})
    assert (task_def.retry_count, task_def.retry_delay_seconds, task_def.response_timeout_seconds) == (3, 60, 3600)
    assert (task_def.timeout_policy, task_def.retry_logic) == ("TIME_OUT_WF", "FIXED")


def test_null_is_the_default_too() -> None:
    fields = {field: None for field in to_json(TaskDef(name="t")) if field != "name"}
    assert decode_task_def({"name": "t", **fields}) == TaskDef(name="t")
    given = {"name": "w", "version": None, "tasks": [task("a", optional=None, joinOn=None, inputParameters=None)]}
    assert decode_workflow_def(given) == decode_workflow_def({"name": "w", "tasks": [task("a")]})


def test_null_is_kept_where_it_is_data() -> None:
    given = {
        "name": "w",
        "version": None,
        "inputTemplate": {"a": None},
        "variables": {"a": [None]},
        "outputParameters": {"a": {"b": None}},
        "metadata": {"a": None},
        "tasks": [task("a", inputParameters={"a": None}, startDelay=None)],
    }
    shown: Any = to_json(decode_workflow_def(given))
    assert (shown["inputTemplate"], shown["variables"]) == ({"a": None}, {"a": [None]})
    assert (shown["outputParameters"], shown["metadata"]) == ({"a": {"b": None}}, {"a": None})
    assert shown["tasks"][0]["inputParameters"] == {"a": None}


def test_numbers_and_booleans_may_be_texts_and_unknown_fields_are_ignored() -> None:
    definition = decode_workflow_def(
        {"name": "w", "version": "3", "restartable": "false", "timeoutSeconds": "60", "whatIsThis": {"a": 1}}
    )
    assert (definition.version, definition.restartable, definition.timeout_seconds) == (3, False, 60)


def test_everything_but_what_is_not_there_is_shown() -> None:
    shown = to_json(WorkflowDef(name="w"))
    assert shown["tasks"] == []
    assert shown["timeoutSeconds"] == 0
    assert shown["outputParameters"] == {}
    assert "description" not in shown
    assert "ownerEmail" not in shown


NESTED: dict[str, Any] = {
    "name": "w",
    "version": 7,
    "description": "all of it",
    "failureWorkflow": "f",
    "rateLimitConfig": {"rateLimitKey": "k", "concurrentExecLimit": 2, "policy": "REJECT"},
    "inputSchema": {"name": "s", "version": 1, "type": "JSON", "data": {"type": "object"}},
    "tasks": [
        task("sw", type="SWITCH", expression="x", evaluatorType="value-param", decisionCases={"a b": [task("in")]}),
        task("fork", type="FORK_JOIN", forkTasks=[[task("left")], [task("right")]]),
        task("join", type="JOIN", joinOn=["left", "right"], joinMode="SYNC"),
        task("loop", type="DO_WHILE", loopCondition="true", loopOver=[task("body")], items="${workflow.input.items}"),
        task("sub", type="SUB_WORKFLOW", subWorkflowParam={"name": "s", "version": "${workflow.input.v}"}),
        task("inline", type="SUB_WORKFLOW", subWorkflowParam={"workflowDefinition": {"name": "i", "tasks": []}}),
        task("given", type="SUB_WORKFLOW", subWorkflowParam={"name": "i", "workflowDefinition": "${a.output.d}"}),
        task("own", taskDefinition={"name": "own", "retryCount": 1, "inputTemplate": {"a": None}}),
        task("change", onStateChange={"onStart,onFailed": [{"type": "audit", "payload": {"a": 1}}]}),
        task("whole", inputExpression={"type": "JSON_PATH", "expression": "workflow.input"}),
    ],
}


def test_what_is_shown_can_be_sent_again() -> None:
    definition = decode_workflow_def(NESTED)
    shown: Any = to_json(definition)
    assert decode_workflow_def(shown) == definition
    assert shown["tasks"][0]["decisionCases"]["a b"][0]["taskReferenceName"] == "in"
    assert shown["tasks"][4]["subWorkflowParam"]["version"] == "${workflow.input.v}"
    assert shown["tasks"][5]["subWorkflowParam"]["workflowDefinition"]["name"] == "i"
    assert shown["tasks"][6]["subWorkflowParam"]["workflowDefinition"] == "${a.output.d}"


def test_a_snapshot_comes_back_as_it_was_and_is_shared() -> None:
    snapshot = Snapshot(workflow=decode_workflow_def(NESTED), tasks={"t": decode_task_def({"name": "t"})})
    stored = encode_snapshot(snapshot)
    assert decode_snapshot(stored) == snapshot
    assert decode_snapshot(bytes(bytearray(stored))) is decode_snapshot(stored)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"tasks": 5}, "tasks"),
        ({"timeoutPolicy": "NEVER"}, "timeoutPolicy"),
        ({"timeoutSeconds": -1}, "timeoutSeconds"),
        ({"version": 0}, "version"),
        ({"tasks": [task("a"), task("b", inputParameters=[])]}, "tasks[1].inputParameters"),
        ({"tasks": [task("a", forkTasks=[[], [task("b", retryCount="x")]])]}, "tasks[0].forkTasks[1][0].retryCount"),
        (
            {"tasks": [task("a", decisionCases={"x": [], "z z": [task("c", startDelay=-1)], "q": []})]},
            "tasks[0].decisionCases['z z'][0].startDelay",
        ),
        (
            {"tasks": [task("a", taskDefinition={"retryLogic": "RANDOM"})]},
            "tasks[0].taskDefinition.retryLogic",
        ),
    ],
)
def test_the_error_names_the_place(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        decode_workflow_def({"name": "w", **fields})
    assert caught.value.path == path
    assert caught.value.message


def test_the_error_tells_what_may_be_written() -> None:
    with pytest.raises(DefinitionError, match="one of TIME_OUT_WF, ALERT_ONLY at timeoutPolicy"):
        decode_workflow_def({"name": "w", "timeoutPolicy": "RETRY"})
    with pytest.raises(DefinitionError, match="one of RETRY, TIME_OUT_WF, ALERT_ONLY at timeoutPolicy"):
        decode_task_def({"name": "t", "timeoutPolicy": "NEVER"})


@pytest.mark.parametrize("data", [None, [], "text", 5, {}])
def test_what_is_no_definition(data: Any) -> None:
    with pytest.raises(DefinitionError):
        decode_workflow_def(data)


def test_a_definition_that_is_nested_too_deep_is_refused() -> None:
    inner: dict[str, Any] = task("a")
    for _ in range(DEPTH):
        inner = task("a", type="DO_WHILE", loopOver=[inner])
    with pytest.raises(DefinitionError, match="nested 100 deep"):
        decode_workflow_def({"name": "w", "tasks": [inner]})
