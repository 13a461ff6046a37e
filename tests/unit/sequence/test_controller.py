"""Pause, resume, stop, history, checkpoints."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

from tenuto.sequence import InstantClock, Sequence, SharedState, node, parallel

add = node("add")(lambda x: x + 1)


def gate() -> tuple[Any, threading.Event, threading.Event]:
    """A node that says that it began, and waits until it may go on."""
    began, go_on = threading.Event(), threading.Event()

    @node("gate")
    def wait(x: int) -> int:
        began.set()
        assert go_on.wait(5)
        return x

    return wait, began, go_on


class Running:
    """An execution in a thread."""

    def __init__(self, workflow: Sequence, *args: Any) -> None:
        self.outcome: Any = "none"
        self.thread = threading.Thread(target=self._run, args=(workflow, *args))
        self.thread.start()

    def _run(self, workflow: Sequence, *args: Any) -> None:
        self.outcome = workflow.execute(*args)

    def join(self) -> Any:
        self.thread.join(5)
        assert not self.thread.is_alive()
        return self.outcome


def test_states() -> None:
    workflow = Sequence(add)
    assert workflow.controller.state == "ready"
    workflow.execute(1)
    assert workflow.controller.state == "completed"
    failing = Sequence(node("fail")(lambda x: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        failing.execute(1)
    assert failing.controller.state == "error"


def test_pause_and_resume() -> None:
    wait, began, go_on = gate()
    workflow = Sequence(wait >> add)
    running = Running(workflow, 1)
    assert began.wait(5)
    controller = workflow.controller
    assert controller.is_running
    controller.pause()
    assert (controller.state, controller.is_paused, controller.is_running) == ("paused", True, False)
    go_on.set()
    assert len(controller.execution_history) <= 2
    assert workflow.state["add"] is None
    controller.resume()
    assert running.join() == 2


def test_stop() -> None:
    wait, began, go_on = gate()
    workflow = Sequence(wait >> add)
    running = Running(workflow, 1)
    assert began.wait(5)
    workflow.controller.stop()
    go_on.set()
    assert running.join() is None
    assert workflow.controller.is_stopped
    assert workflow.state["add"] is None
    go_on.set()
    assert workflow.execute(1) == 2


def test_stop_ends_a_pause() -> None:
    wait, began, go_on = gate()
    workflow = Sequence(wait >> add)
    running = Running(workflow, 1)
    assert began.wait(5)
    workflow.controller.pause()
    go_on.set()
    workflow.controller.stop()
    assert running.join() is None


def test_stop_within_branches() -> None:
    wait, began, go_on = gate()
    workflow = Sequence(parallel(wait >> add, wait.alias("other") >> add))
    running = Running(workflow, 1)
    assert began.wait(5)
    workflow.controller.stop()
    go_on.set()
    assert running.join() is None


async def test_pause_and_stop_of_an_async_run() -> None:
    workflow: Sequence

    @node
    async def pause(x: int) -> int:
        workflow.controller.pause()
        asyncio.get_running_loop().call_soon(workflow.controller.resume)
        return x

    @node
    async def stop(x: int) -> int:
        workflow.controller.stop()
        return x

    @node
    async def last(x: int) -> int:
        return x + 1

    workflow = Sequence(pause >> last)
    assert await workflow.async_execute(1) == 2
    workflow = Sequence(stop >> last)
    assert await workflow.async_execute(1) is None
    assert workflow.state["last"] is None


def test_stopping_what_doesnt_run_does_nothing() -> None:
    workflow = Sequence(add)
    workflow.controller.stop()
    workflow.controller.resume()
    assert workflow.execute(1) == 2


def test_history() -> None:
    class Clock(InstantClock):
        def elapsed(self) -> float:
            self.advance(0.5)
            return self._now

    workflow = Sequence(add >> add.alias("more") >> node("fail")(lambda x: 1 / 0), clock=Clock(1000.0))
    with pytest.raises(ZeroDivisionError):
        workflow.execute(1)
    history = workflow.controller.execution_history
    first, second, third = history.entries
    assert (first.node_name, first.effective_name, first.status) == ("add", "add", "completed")
    assert (first.input_value, first.output_value, first.error) == (1, 2, None)
    assert (second.node_name, second.effective_name, second.execution_position) == ("add", "more", 1)
    assert (third.status, type(third.error), third.output_value) == ("error", ZeroDivisionError, None)
    assert first.duration == 0.5
    assert first.end_time is not None
    assert first.start_time + 0.5 == first.end_time
    assert len({entry.execution_id for entry in history.entries}) == 3
    assert history.get_by_node_name("add") == [first, second]
    assert history.get_recent(2) == [second, third]
    assert history.get_last_completed() is second
    assert history.get_node_execution_count("more") == 1
    assert history.get_execution_sequence() == ["add", "more", "fail"]
    assert [entry.key for entry in history.entries] == ["add-1", "more-1", "fail-1"]
    assert "add #0 completed" in repr(first)
    workflow.controller.restart()
    assert len(history) == 0


def test_occurrences_tell_nodes_of_one_name_apart() -> None:
    workflow = Sequence(add >> add >> parallel(add >> add, add) >> node("end")(len))
    workflow.execute(1)
    keys = {entry.key for entry in workflow.controller.execution_history.entries}
    assert keys == {"add-1", "add-2", "1.1/add-1", "1.1/add-2", "1.2/add-1", "end-1"}


def test_history_keeps_the_latest_thousand() -> None:
    workflow = Sequence(add)
    for number in range(1005):
        workflow.execute(number)
    entries = workflow.controller.execution_history.entries
    assert len(entries) == 1000
    # ... and the values of the latest ten runs, which may be large.
    assert [entry.input_value for entry in entries[-11:]] == [None, *range(995, 1005)]
    assert {(entry.status, entry.key) for entry in entries} == {("completed", "add-1")}


def test_values_of_older_runs_are_let_go() -> None:
    class Large:
        pass

    same = node("same")(lambda x: x)
    workflow = Sequence(node("make")(lambda x: Large()) >> parallel(same, Sequence(same >> same)) >> same)
    made = []
    for _number in range(12):
        workflow.execute(0)
        made.append(weakref.ref(workflow.state["make"]))
    gc.collect()
    assert made[0]() is None
    assert made[-1]() is not None


def test_summary() -> None:
    workflow = Sequence(add >> add.alias("more"), name="sums")
    workflow.execute(1)
    summary = workflow.controller.get_execution_summary()
    assert summary["workflow_name"] == "sums"
    assert (summary["total_executions"], summary["last_completed"]) == (2, "more")


def test_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    @node
    def keep(x: int, state: SharedState) -> int:
        state["kept"], state["odd"] = x, object()
        return x

    workflow = Sequence(keep, name="keeper")
    workflow.execute(5)
    controller = workflow.controller
    checkpoint = controller.save("before lunch")
    assert [entry["name"] for entry in controller.list_checkpoints()] == ["before lunch"]
    workflow(7)
    assert controller.load(checkpoint)["executed"] == ["keep"]
    assert (workflow.state["kept"], workflow.state["odd"]) == (5, "<not stored: object>")
    with pytest.raises(KeyError, match="no checkpoint"):
        controller.load("other")
    with pytest.raises(KeyError, match="no id"):
        controller.load("../secrets")
    assert Sequence(keep, name="another").controller.list_checkpoints() == []
    assert controller.cleanup_old_checkpoints(days=1) == 0
    assert controller.cleanup_old_checkpoints(days=-1) == 1
    assert controller.delete_checkpoint(checkpoint) is False


def test_checkpoints_are_only_written_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Sequence(add).execute(1)
    assert list(tmp_path.iterdir()) == []
