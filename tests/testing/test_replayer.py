"""Recorded histories are replayed with the code of today."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tenuto import activity, workflow
from tenuto.client import WorkflowHistory
from tenuto.replay.matching import NondeterminismError
from tenuto.steps import WorkflowEntrypoint, WorkflowStep
from tenuto.testing import MissingCodeError, Replayer, WorkflowEnvironment
from tenuto.testing.histories import history_files, read_history
from tenuto.worker import Worker


@activity.defn
async def step(name: str) -> str:
    return name


@workflow.defn
class Trip:
    @workflow.run
    async def run(self, names: list[str]) -> list[str]:
        done = [await workflow.execute_activity(step, name) for name in names]
        await asyncio.sleep(86400)
        return done


@workflow.defn(name="Trip")
class SleepsFirst:
    @workflow.run
    async def run(self, names: list[str]) -> list[str]:
        await asyncio.sleep(86400)
        return [await workflow.execute_activity(step, name) for name in names]


@workflow.defn(name="Trip")
class SleepsTwice:
    @workflow.run
    async def run(self, names: list[str]) -> Any:
        done = [await workflow.execute_activity(step, name) for name in names]
        await asyncio.gather(asyncio.sleep(86400), asyncio.sleep(10))
        return done


@workflow.defn(name="Trip")
class Broken:
    @workflow.run
    async def run(self, names: list[str]) -> Any:
        return {}["oops"]


@workflow.defn
class Other:
    @workflow.run
    async def run(self) -> None:
        pass


class Greeter(WorkflowEntrypoint):
    async def run(self, event: Any, step: WorkflowStep) -> Any:
        greeting = self.env["GREETING"]
        await step.sleep("gather breath", "1 hour")
        return await step.do("greet", lambda: f"{greeting}, {event.payload}")


@pytest.fixture(scope="module")
def histories() -> dict[str, WorkflowHistory]:
    """Of a run that has ended, of one that sleeps, and of one that has hardly begun."""
    return asyncio.run(record())


async def record() -> dict[str, WorkflowHistory]:
    async with (
        WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, workflows=[Trip], activities=[step]),
    ):
        ended = await env.client.start_workflow(Trip.run, ["a", "b"], id="ended")
        await ended.result()
        asleep = await env.client.start_workflow(Trip.run, ["a"], id="asleep")
        await env.sleep(60)
        found = {handle.id: await handle.fetch_history() for handle in (ended, asleep)}
        found["begun"] = WorkflowHistory("begun", found["ended"].events[:5])
        return found


async def test_the_same_code_replays_all(histories: dict[str, WorkflowHistory]) -> None:
    replayer = Replayer(workflows=[Trip, Other])
    for history in histories.values():
        result = await replayer.replay_workflow(history)
        assert result.replay_failure is None
        assert result.history is history
    assert (await replayer.replay_workflows(histories.values())).replay_failures == {}


async def test_a_difference_is_raised(histories: dict[str, WorkflowHistory]) -> None:
    with pytest.raises(NondeterminismError, match=r"ActivityTaskScheduled.*StartTimer"):
        await Replayer(workflows=[SleepsFirst]).replay_workflow(histories["ended"])


async def test_what_an_open_run_would_do_more_is_a_difference(histories: dict[str, WorkflowHistory]) -> None:
    with pytest.raises(NondeterminismError, match=r"StartTimer.*test_replayer.py.*the history ends with event \d+"):
        await Replayer(workflows=[SleepsTwice]).replay_workflow(histories["asleep"])


async def test_what_the_code_raises_is_raised(histories: dict[str, WorkflowHistory]) -> None:
    with pytest.raises(KeyError, match="oops"):
        await Replayer(workflows=[Broken]).replay_workflow(histories["ended"])


async def test_code_that_is_missing_is_an_error(histories: dict[str, WorkflowHistory]) -> None:
    with pytest.raises(MissingCodeError, match="no code for workflow type 'Trip'; there is: Other"):
        await Replayer(workflows=[Other]).replay_workflow(histories["ended"])
    with pytest.raises(ValueError, match="needs workflows"):
        Replayer(workflows=[])
    with pytest.raises(ValueError, match="does not begin"):
        await Replayer(workflows=[Other]).replay_workflow(WorkflowHistory("x", []))


async def test_of_many_the_bad_ones_are_named(histories: dict[str, WorkflowHistory]) -> None:
    async def all_of_them() -> AsyncIterator[WorkflowHistory]:
        for history in histories.values():
            yield history

    replayer = Replayer(workflows=[SleepsTwice])
    results = await replayer.replay_workflows(all_of_them())
    assert set(results.replay_failures) == {histories["ended"].run_id, histories["asleep"].run_id}
    with pytest.raises(NondeterminismError):
        await replayer.replay_workflows(histories.values(), raise_on_replay_failure=True)


async def test_histories_in_files(histories: dict[str, WorkflowHistory], tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for name, history in histories.items():
        (tmp_path / "inner" / f"{name}.json").write_text(history.to_json())
    (tmp_path / "note.txt").write_text("no history")
    files = list(history_files([tmp_path, tmp_path / "inner" / "begun.json"]))
    assert [path.stem for path in files] == ["asleep", "begun", "ended", "begun"]
    assert read_history(files[0]) == histories["asleep"]
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(ValueError, match=r"bad.json is not a history: \$"):
        read_history(tmp_path / "bad.json")
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        list(history_files([tmp_path / "nothing"]))


async def test_steps_are_replayed_with_their_environment() -> None:
    surroundings = {"GREETING": "Hello"}
    async with (
        WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, workflows=[Greeter], env=surroundings),
    ):
        handle = await env.client.start_workflow(Greeter, "Ada", id="g")
        assert await handle.result() == "Hello, Ada"
        history = await handle.fetch_history()
    await Replayer(workflows=[Greeter], env=surroundings).replay_workflow(history)
