"""A durable sequence goes on where it was, in another process, with the same outcome."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tenuto.client import Client, WorkflowFailureError
from tenuto.sequence import Sequence, SharedState, node, parallel
from tenuto.worker import Worker
from tests.support.durable import until

PROGRAM = """
import os, signal, sys
from tenuto.sequence import Sequence, SharedState, node, parallel, decision

def note(name):
    with open("log", "a") as file:
        file.write(name + "\\n")

def dies(name):
    "Kill this process in node `name`, the first time."
    if not os.path.exists("died-" + name):
        open("died-" + name, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)

@node
def fetch(user_id: int, state: SharedState) -> dict:
    note("fetch")
    state["count"] = state.get("count", 0) + 1
    return {"id": user_id}

@node
def left(user_id: int, state: SharedState) -> list:
    note("left")
    state["count"] = state.get("count", 0) + 1
    return [user_id]

@node
async def right(user: dict) -> str:
    note("right")
    return f"user {user['id']}"

@node("broken", fallback_value="fallback")
def broken(results: dict) -> str:
    note("broken")
    assert results["fetch"] == {"id": 7}
    raise ConnectionError("always")

@node
def step(value, state: SharedState):
    state["rounds"] = state.get("rounds", 0) + 1
    note("step")
    if state["rounds"] == 2:
        dies("step")
    return value

@node
def last(value, state: SharedState) -> list:
    note("last")
    dies("last")
    return [value, state["count"], state["rounds"], state["fetch"], state["left"]]

again = (lambda value, state: state["rounds"] < 3) >> step
workflow = Sequence(
    fetch >> parallel(left, right) >> broken >> step >> decision(again, "never" >> fetch, max_iter=5) >> last,
    name="profile",
)
print(workflow.execute(7, durable=sys.argv[1], id="profile-7"))
"""


def run_program(folder: Path, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "program.py", url], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_kill_9_and_finished_nodes_dont_run_again(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))
    url = f"sqlite:///{tmp_path / 'profiles.db'}"
    runs = [run_program(tmp_path, url) for _ in range(4)]
    assert [run.returncode for run in runs] == [-signal.SIGKILL, -signal.SIGKILL, 0, 0], runs[2].stderr
    result = ["fallback", 2, 3, {"id": 7}, [7]]
    assert [run.stdout.strip() for run in runs[2:]] == [str(result)] * 2
    lines = (tmp_path / "log").read_text().split()
    assert lines[:4] in (["fetch", "left", "right", "broken"], ["fetch", "right", "left", "broken"])
    assert lines[4:] == ["step", "step", "step", "step", "last", "last"]


async def test_another_client_goes_on(url: str) -> None:
    ran: list[str] = []
    let_go: list[bool] = []

    @node
    def first(x: int, state: SharedState) -> int:
        ran.append("first")
        state["first"] = [x]
        return x + 1

    @node("second", max_retries=1000)
    def second(x: int, state: SharedState) -> Any:
        if not let_go:
            raise ConnectionError("not yet")
        ran.append("second")
        return x, state["first"]

    sequence = Sequence(first >> parallel(second, first.alias("other")) >> node("end")(dict), name="resumed")
    config = {"error_config": {"base_delay": 0.01, "max_delay": 0.02}}
    start: list[Any] = [{"__tenuto_sequence__": 1, "args": [1], "kwargs": {}, "config": config}]
    workflows: list[Any] = [sequence]
    async with await Client.connect(url) as client, Worker(client, workflows=workflows):
        await client.start_workflow(sequence, args=start, id="r")
        await until(lambda: len(ran) == 2)
    let_go.append(True)
    async with await Client.connect(url) as client, Worker(client, workflows=workflows):
        result = await client.get_workflow_handle("r").result()
    assert result == {"second": [2, [2]], "other": 3} or result == {"second": [2, [1]], "other": 3}
    assert ran == ["first", "first", "second"]


async def test_nodes_may_come_and_go_while_a_run_is_under_way(url: str) -> None:
    ran: list[str] = []
    let_go: list[bool] = []

    def noting(name: str) -> Any:
        @node(name)
        def note(x: int) -> int:
            ran.append(name)
            return x + 1

        return note

    @node("wait", max_retries=1000)
    def wait(x: int) -> int:
        if not let_go:
            raise ConnectionError("not yet")
        return x

    a, b, c, d = (noting(name) for name in "abcd")
    config = {"error_config": {"base_delay": 0.01, "max_delay": 0.02}}
    start: list[Any] = [{"__tenuto_sequence__": 1, "args": [0], "kwargs": {}, "config": config}]
    before: list[Any] = [Sequence(a >> b >> wait, name="changing")]
    after: list[Any] = [Sequence(a >> c >> wait >> d, name="changing")]
    async with await Client.connect(url) as client, Worker(client, workflows=before):
        await client.start_workflow(before[0], args=start, id="c")
        await until(lambda: ran == ["a", "b"])
    let_go.append(True)
    async with await Client.connect(url) as client, Worker(client, workflows=after):
        assert await client.get_workflow_handle("c").result() == 3
    assert ran == ["a", "b", "c", "d"]


def test_one_line(url: str) -> None:
    calls: list[int] = []

    @node
    def work(x: int, state: SharedState, factor: int = 2) -> int:
        calls.append(x)
        state["worked"] = True
        return x * factor

    workflow = Sequence(work, name="one-line")
    assert workflow.execute(4, durable=url, id="a") == 8
    assert workflow.execute(4, durable=url, id="a") == 8
    assert calls == [4]
    assert (workflow.state["worked"], workflow.state["work"]) == (True, 8)
    assert workflow.execute(x=4, factor=5, durable=url, id="b") == 20
    assert workflow.run(4, durable=url) == 8


def test_a_failed_execution_is_begun_anew(url: str) -> None:
    calls: list[int] = []

    @node
    def work(x: int) -> int:
        calls.append(x)
        if len(calls) == 1:
            raise ValueError("the first time")
        return x

    workflow = Sequence(work, name="again")
    with pytest.raises(WorkflowFailureError, match="the first time") as caught:
        workflow.execute(4, durable=url, id="a")
    assert "ValueError" in repr(caught.value.cause)
    assert workflow.execute(4, durable=url, id="a") == 4


async def test_one_line_within_a_loop(url: str) -> None:
    workflow = Sequence(node("add")(lambda x: x + 1), name="looped")
    assert await workflow.async_execute(1, durable=url, id="a") == 2
    assert workflow.execute(1, durable=url, id="a") == 2


def test_an_id_is_an_argument_like_any_other_in_memory() -> None:
    assert Sequence(node("who")(lambda id: id)).execute(id=5) == 5
