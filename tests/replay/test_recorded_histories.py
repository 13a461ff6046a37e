"""Histories that earlier versions have written are replayed by the code of today."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tenuto import workflow
from tenuto.client import WorkflowHistory
from tenuto.converter import DataConverter
from tenuto.model.events import AnyEvent, WorkflowExecutionStarted, WorkflowTaskScheduled
from tenuto.model.tasks import WorkflowTaskBroken
from tenuto.replay.host import WorkflowCode
from tests.crash.scenarios import SCENARIOS
from tests.replay.record import HISTORIES
from tests.support.history_checker import check_history
from tests.support.world import Ledger

FILES = sorted(HISTORIES.glob("*.json"))
WORKFLOWS = {workflow for scenario in SCENARIOS for workflow in scenario.make(Ledger())[0]}


def load(path: Path) -> WorkflowHistory:
    text = path.read_text()
    workflow_id = json.loads(text)["events"][0]["workflowExecutionStartedEventAttributes"]["workflowId"]
    return WorkflowHistory.from_json(workflow_id, text)


def replay(events: list[AnyEvent], *workflows: type[Any], step: int | None = None) -> WorkflowTaskBroken | None:
    """Feed `events` to today's code: at once, or as they came, one workflow task after the other."""
    started = events[0]
    assert isinstance(started, WorkflowExecutionStarted)
    instance = WorkflowCode(workflows or WORKFLOWS, DataConverter(), "replayer").create(started)
    try:
        for part in [events] if step is None else parts(events, step):
            broken = instance.feed(part)
            if broken is not None:
                return broken
        return None
    finally:
        instance.discard()


def parts(events: list[AnyEvent], tasks: int) -> list[list[AnyEvent]]:
    """`events`, cut before every `tasks`-th workflow task."""
    cut: list[list[AnyEvent]] = [[]]
    seen = 0
    for event in events:
        if isinstance(event, WorkflowTaskScheduled):
            seen += 1
            if seen % tasks == 0:
                cut.append([])
        cut[-1].append(event)
    return cut


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("step", [None, 1, 2])
def test_a_recorded_history_is_replayed(path: Path, step: int | None) -> None:
    history = load(path)
    check_history(history.events)
    assert replay(history.events, step=step) is None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recorded_history_is_read_and_written_without_loss(path: Path) -> None:
    history = load(path)
    assert json.loads(history.to_json()) == json.loads(path.read_text())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_history_that_was_cut_off_is_replayed(path: Path) -> None:
    """What an engine finds after a crash: every beginning that ends before a workflow task."""
    events = load(path).events
    for cut in range(1, len(events)):
        if isinstance(events[cut], WorkflowTaskScheduled):
            assert replay(events[:cut]) is None


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_every_scenario_is_recorded(scenario: object) -> None:
    assert (HISTORIES / f"{scenario}-0.json").exists()


# -- code that no longer matches ---------------------------------------------------------------------------------------


@workflow.defn(name="Sequential")
class Renamed:
    @workflow.run
    async def run(self, names: list[str]) -> list[str]:
        return [await workflow.execute_activity("stride", name) for name in names]


@workflow.defn(name="Sequential")
class Shorter:
    @workflow.run
    async def run(self, names: list[str]) -> list[str]:
        return [await workflow.execute_activity("step", name) for name in names[:-1]]


@workflow.defn(name="Sequential")
class Longer:
    @workflow.run
    async def run(self, names: list[str]) -> list[str]:
        return [await workflow.execute_activity("step", name) for name in [*names, "one more"]]


@workflow.defn(name="Sequential")
class SleepsFirst:
    @workflow.run
    async def run(self, names: list[str]) -> list[str]:
        await asyncio.sleep(1)
        return [await workflow.execute_activity("step", name) for name in names]


@workflow.defn(name="Sequential")
class Together:
    @workflow.run
    async def run(self, names: list[str]) -> list[str]:
        async def one(name: str) -> str:
            return await workflow.execute_activity("step", name, result_type=str)

        return await asyncio.gather(*(one(name) for name in names))


@workflow.defn(name="Sequential")
class Patient:
    """Only waits longer: what is not compared may change."""

    @workflow.run
    async def run(self, names: list[str]) -> list[str]:
        return [
            await workflow.execute_activity("step", f"now {name}", schedule_to_close_timeout=99, result_type=str)
            for name in names
        ]


@pytest.mark.parametrize(
    ("changed", "recorded", "made"),
    [
        (Renamed, "ActivityTaskScheduled(activity_type='step'", "activity_type='stride'"),
        (Shorter, "ActivityTaskScheduled(activity_type='step'", "CompleteWorkflow"),
        (Longer, "WorkflowExecutionCompleted", "ScheduleActivity(activity_type='step'"),
        (SleepsFirst, "ActivityTaskScheduled(activity_type='step'", "StartTimer(timer_id='1'"),
        (Together, "ActivityTaskStarted", "ScheduleActivity(activity_type='step', activity_id='2'"),
    ],
)
def test_changed_code_is_met_with_a_readable_difference(changed: type[Any], recorded: str, made: str) -> None:
    events = load(HISTORIES / "sequential-0.json").events
    broken = replay(events, changed)
    assert broken is not None
    assert broken.cause == "NON_DETERMINISTIC_ERROR"
    message = broken.failure.message
    assert "recorded event " in message
    assert recorded in message
    assert made in message
    if made != "CompleteWorkflow":
        assert f"{Path(__file__).name}:" in message, "the line of code is named"


def test_a_change_of_what_is_not_compared_is_no_difference() -> None:
    assert replay(load(HISTORIES / "sequential-0.json").events, Patient) is None
