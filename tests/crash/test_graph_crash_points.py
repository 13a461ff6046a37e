"""Break every kind of graph at every commit, in every way: nothing is lost, done twice, or out of order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tenuto.model.json_values import Json
from tenuto.testing.faults import FaultyStore
from tests.crash.graph_world import GraphWorld, Work

MOST_COMMITS = 200

FAULTS: dict[str, Callable[[FaultyStore, int], None]] = {
    "fail-before": lambda store, n: store.fail("commit", n),
    "fail-after": lambda store, n: store.fail("commit", n, after=True),
    "die-before": lambda store, n: store.die("commit", n),
    "die-after": lambda store, n: store.die("commit", n, after=True),
}


def simple(name: str, **more: Any) -> Json:
    return {
        "name": name,
        "taskReferenceName": name,
        "type": "SIMPLE",
        "inputParameters": {"x": "${workflow.input.x}"},
        **more,
    }


def task_def(name: str, **more: Any) -> Json:
    """A worker that is lost is noticed after 5 s; that may happen often."""
    return {
        "name": name,
        "retryCount": 100,
        "retryDelaySeconds": 1,
        "responseTimeoutSeconds": 5,
        "timeoutSeconds": 0,
        **more,
    }


def workflow(name: str, *tasks: Json, **more: Any) -> Json:
    return {"name": name, "version": 1, "tasks": list(tasks), **more}


def echo(task: Json) -> dict[str, Json]:
    return {"y": task["inputData"].get("x")}


class Flaky:
    """Fails until the third attempt of a task."""

    def __call__(self, task: Json) -> dict[str, Json] | None:
        return None if task["retryCount"] < 2 else {"y": task["retryCount"] >= 2}


CHILD = workflow("child", simple("c1"), simple("c2"), outputParameters={"sum": "${c2.output.y}"})

#: name: definitions, workers, scripts, what the output must be
SCENARIOS: dict[str, tuple[list[Json], dict[str, Work], dict[str, Callable[[Json], Json]], Json]] = {
    "sequence": (
        [workflow("w", simple("a"), simple("b"), simple("c"), outputParameters={"r": "${c.output.y}"})],
        {"a": echo, "b": echo, "c": echo},
        {},
        {"r": 1},
    ),
    "fork": (
        [
            workflow(
                "w",
                {
                    "name": "f",
                    "taskReferenceName": "f",
                    "type": "FORK_JOIN",
                    "forkTasks": [[simple("a"), simple("b")], [simple("c")], [simple("d")]],
                },
                {"name": "j", "taskReferenceName": "j", "type": "JOIN", "joinOn": ["b", "c", "d"]},
                outputParameters={"r": "${j.output}"},
            )
        ],
        {"a": echo, "b": echo, "c": echo, "d": echo},
        {},
        {"r": {"b": {"y": 1}, "c": {"y": 1}, "d": {"y": 1}}},
    ),
    "loop": (
        [
            workflow(
                "w",
                {
                    "name": "l",
                    "taskReferenceName": "l",
                    "type": "DO_WHILE",
                    "loopCondition": "again",
                    "loopOver": [simple("a"), {"name": "n", "taskReferenceName": "n", "type": "NOOP"}],
                },
                outputParameters={"r": "${l.output.iteration}"},
            )
        ],
        {"a": echo},
        {"again": lambda value: value["l"]["iteration"] < 3},
        {"r": 3},
    ),
    "children": (
        [
            workflow(
                "w",
                {
                    "name": "s",
                    "taskReferenceName": "s",
                    "type": "SUB_WORKFLOW",
                    "inputParameters": {"x": 7},
                    "subWorkflowParam": {"name": "child", "version": 1},
                },
                outputParameters={"r": "${s.output.sum}"},
            ),
            CHILD,
        ],
        {"c1": echo, "c2": echo},
        {},
        {"r": 7},
    ),
    "system": (
        [
            workflow(
                "w",
                {
                    "name": "h",
                    "taskReferenceName": "h",
                    "type": "HTTP",
                    "inputParameters": {"x": "${workflow.input.x}"},
                },
                {"name": "p", "taskReferenceName": "p", "type": "WAIT", "inputParameters": {"duration": "40s"}},
                {
                    "name": "i",
                    "taskReferenceName": "i",
                    "type": "INLINE",
                    "inputParameters": {"expression": "double", "x": "${h.output.response.body}"},
                },
                outputParameters={"r": "${i.output.result}"},
            )
        ],
        {},
        {"double": lambda value: value["x"] * 2},
        {"r": 2},
    ),
    "retries": (
        [workflow("w", simple("a"), simple("b"), outputParameters={"r": "${a.output.y}"})],
        {"a": Flaky(), "b": echo},
        {},
        {"r": True},
    ),
    "switch": (
        [
            workflow(
                "w",
                {"name": "v", "taskReferenceName": "v", "type": "SET_VARIABLE", "inputParameters": {"z": "left"}},
                {
                    "name": "s",
                    "taskReferenceName": "s",
                    "type": "SWITCH",
                    "evaluatorType": "javascript",
                    "expression": "pick",
                    "inputParameters": {"z": "${workflow.variables.z}"},
                    "decisionCases": {"left": [simple("a")], "right": [simple("b")]},
                },
                simple("c"),
                outputParameters={"r": ["${a.output.y}", "${c.output.y}", "${workflow.variables.z}"]},
            )
        ],
        {"a": echo, "b": echo, "c": echo},
        {"pick": lambda value: value["z"]},
        {"r": [1, 1, "left"]},
    ),
}


def new_world(name: str, url: str) -> GraphWorld:
    definitions, work, scripts, _ = SCENARIOS[name]
    return GraphWorld(url, definitions, [task_def(kind) for kind in work], work, scripts)


async def finish(name: str, world: GraphWorld) -> None:
    main = await world.check()
    assert main["status"] == "COMPLETED", main["reasonForIncompletion"]
    assert main["output"] == SCENARIOS[name][3]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", SCENARIOS)
async def test_every_commit_in_memory(name: str, fault: str) -> None:
    await break_everywhere(name, FAULTS[fault], lambda n: f"memory://{uuid4()}")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", SCENARIOS)
async def test_every_commit_in_a_file(name: str, fault: str, tmp_path: Path) -> None:
    await break_everywhere(name, FAULTS[fault], lambda n: f"sqlite:///{tmp_path / f'{n}.db'}?synchronous=NORMAL")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", SCENARIOS)
async def test_every_commit_without_a_cache(name: str, fault: str) -> None:
    """Every execution is evicted as soon as it waits."""
    await break_everywhere(name, FAULTS[fault], lambda n: f"memory://{uuid4()}", cached=0)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", SCENARIOS)
async def test_every_commit_of_a_slow_store(name: str, fault: str) -> None:
    """Much happens while a commit is under way."""

    def inject(store: FaultyStore, n: int) -> None:
        store.slow = 4
        FAULTS[fault](store, n)

    await break_everywhere(name, inject, lambda n: f"memory://{uuid4()}")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_disk_that_fails_again_and_again(name: str, after: bool) -> None:
    """Every third commit fails, for as long as the scenario lasts."""

    def inject(store: FaultyStore) -> None:
        for number in range(1, 400, 3):
            store.fail("commit", number, after=after)

    world = new_world(name, f"memory://{uuid4()}")
    await world.live(inject)
    await finish(name, world)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_process_that_dies_again_and_again(name: str, after: bool) -> None:
    """No life gets further than its fifth commit."""
    world = new_world(name, f"memory://{uuid4()}")
    for _ in range(200):
        store, ended = await world.live(lambda store: store.die("commit", 5, after=after))
        if ended and not store.dead:
            await finish(name, world)
            return
    raise AssertionError("it never ends")


async def break_everywhere(
    name: str, inject: Callable[[FaultyStore, int], None], url: Callable[[int], str], cached: int = 1000
) -> None:
    for n in range(1, MOST_COMMITS):
        world = new_world(name, url(n))
        try:
            store, _ = await world.live(lambda store, n=n: inject(store, n), cached=cached)  # type: ignore[misc]
            happened = bool(store.happened)
            if store.dead:
                await world.live(cached=cached)
            await finish(name, world)
        except BaseException as error:
            error.add_note(f"{name} broken at commit {n}")
            raise
        if not happened:
            assert n > 3, "there were hardly any commits to break"
            return
    raise AssertionError(f"{name} never ends")
