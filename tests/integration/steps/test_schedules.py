"""Instances are started by the clock: once a tick, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tenuto.client import Client
from tenuto.steps import Workflow, WorkflowEntrypoint, WorkflowInstanceError, WorkflowStep
from tenuto.steps.schedules import Cron, parse_schedules
from tenuto.testing.clock import ManualClock
from tenuto.testing.faults import FaultyStore
from tenuto.worker import Worker
from tests.support.durable import until

MINUTE = 60
started: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    started.clear()


class Report(WorkflowEntrypoint):
    async def run(self, event: Any, step: WorkflowStep) -> Any:
        def note() -> None:
            if event.payload["scheduled_time"] not in started:  # a step may run again
                started.append(event.payload["scheduled_time"])

        await step.do("note", note)
        return event.payload


@asynccontextmanager
async def serving(url: str, clock: ManualClock) -> AsyncIterator[Client]:
    async with await Client.connect(url, clock=clock) as client, Worker(client, workflows=[Report]):
        yield client


async def move(client: Client, seconds: float, wanted: int) -> None:
    """Let time pass, once the schedule sleeps, and wait for so many instances in all."""
    clock = client.gateway.clock
    assert isinstance(clock, ManualClock)

    async def sleeps() -> bool:
        return bool((await client.get_workflow_handle("schedule:Report").describe()).pending_timers)

    await until(sleeps)
    clock.advance(seconds)
    await until(lambda: len(started) == wanted)


def at(hour: int, minute: int) -> str:
    return datetime(2026, 1, 1, hour, minute, tzinfo=UTC).isoformat()


async def test_an_instance_a_tick() -> None:
    async with serving("memory://", ManualClock()) as client:
        report = Workflow(client, Report, schedules=["*/5 * * * *"])
        await report.schedule()
        for number in range(1, 4):
            await move(client, 5 * MINUTE, number)
        assert started == [at(0, 5), at(0, 10), at(0, 15)]
        instance = await report.get("Report-20260101T000500Z")
        assert (await instance.status()).output == {"scheduled_time": at(0, 5)}


async def test_several_schedules_in_zones_of_their_own() -> None:
    async with serving("memory://", ManualClock()) as client:
        await Workflow(client, Report, schedules=["0 9 * * *", ("0 9 * * *", "Asia/Tokyo")]).schedule()
        await move(client, 9 * 3600, 1)  # nine in the morning of Tokyo was midnight, when the schedule began
        await move(client, 15 * 3600, 2)
        assert started == [at(9, 0), "2026-01-02T00:00:00+00:00"]


async def test_of_missed_ticks_the_latest_is_made_up_for(tmp_path: Path) -> None:
    url, clock = f"sqlite:///{tmp_path}/a.db", ManualClock()
    async with serving(url, clock) as client:
        await Workflow(client, Report, schedules=["* * * * *"]).schedule()
        await move(client, MINUTE, 1)
        await move(client, 0, 1)
    clock.advance(600.5 * MINUTE)
    async with serving(url, clock) as client:
        await until(lambda: len(started) == 2)
        await move(client, MINUTE, 3)
    assert started == [at(0, 1), at(10, 1), at(10, 2)]


async def test_no_tick_is_lost_or_doubled_by_a_crash(tmp_path: Path) -> None:
    url, clock = f"sqlite:///{tmp_path}/a.db", ManualClock()
    for crash in range(1, 8):
        async with await Client.connect(url, clock=clock) as client:
            store = FaultyStore(client.gateway.store)
            client.gateway.store = store  # type: ignore[assignment]
            async with Worker(client, workflows=[Report]):
                await Workflow(client, Report, schedules=["* * * * *"]).schedule()
                store.fail("commit", store.calls["commit"] + crash, after=crash % 2 == 0)
                await move(client, MINUTE, crash)
    assert [text[11:16] for text in started] == [f"00:{minute:02}" for minute in range(1, 8)]


async def test_a_schedule_stays_until_another_binding_brings_others() -> None:
    async with serving("memory://", ManualClock()) as client:
        handle = client.get_workflow_handle("schedule:Report")
        first = Workflow(client, Report, schedules=["* * * * *"])
        await first.schedule()
        run = (await handle.describe()).run_id
        await Workflow(client, Report, schedules=["* * * * *"]).schedule()
        await Workflow(client, Report).schedule()
        assert (await handle.describe()).run_id == run
        await move(client, MINUTE, 1)
        await Workflow(client, Report, schedules=["0 * * * *"]).schedule()
        assert (await handle.describe()).run_id != run
        await move(client, 30 * MINUTE, 1)
        await move(client, 29 * MINUTE, 2)
        await Workflow(client, Report, schedules=[]).schedule()
        assert (await handle.describe()).close_time is not None
        assert started == [at(0, 1), at(1, 0)]


async def test_schedules_are_put_on_record_by_themselves() -> None:
    async with serving("memory://", ManualClock()) as client:
        report = Workflow(client, Report, schedules=["* * * * *"])
        await until(lambda: report._scheduling is not None and report._scheduling.done())
        await move(client, MINUTE, 1)


async def test_bindings_of_several_processes_bring_the_same_schedules_once() -> None:
    async with serving("memory://", ManualClock()) as client:
        bindings = [Workflow(client, Report, schedules=["* * * * *"]) for _ in range(5)]
        await asyncio.gather(*(binding.schedule() for binding in bindings))
        assert (await client.count_workflows("WorkflowId = 'schedule:Report'")).count == 1
        await move(client, MINUTE, 1)


async def test_the_history_of_a_schedule_stays_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenuto.steps.schedules.TICKS", 2)
    async with serving("memory://", ManualClock()) as client:
        await Workflow(client, Report, schedules=["* * * * *"]).schedule()
        for number in range(1, 8):
            await move(client, MINUTE, number)
        description = await client.get_workflow_handle("schedule:Report").describe()
        assert description.run_id != description.first_run_id
        await Workflow(client, Report, schedules=["* * * * *"]).schedule()
        assert (await client.get_workflow_handle("schedule:Report").describe()).run_id == description.run_id


async def test_limits_reach_the_instances_of_a_schedule() -> None:
    async with serving("memory://", ManualClock()) as client:
        await Workflow(client, Report, schedules=["* * * * *"], concurrency=3, step_limit=5).schedule()
        await move(client, MINUTE, 1)
        events = (await client.get_workflow_handle("Report-20260101T000100Z").fetch_history()).events
        assert events[0].concurrency == 3  # type: ignore[union-attr]
        assert b'"step_limit":5' in events[0].input[1].data  # type: ignore[union-attr]


async def test_the_run_of_a_schedule_is_no_instance() -> None:
    async with serving("memory://", ManualClock()) as client:
        report = Workflow(client, Report, schedules=["* * * * *"])
        await report.schedule()
        with pytest.raises(WorkflowInstanceError, match="no instance"):
            await report.get("schedule:Report")


@pytest.mark.parametrize(
    ("schedules", "problem"),
    [
        ("0 9 * * *", "are a list"),
        (["9 o'clock"], "can't be read"),
        ([("0 9 * * *", "Europe/Atlantis")], "no time zone"),
        (["0 0 31 2 *"], "can't be read|never comes due"),
        ([5], "no schedule"),
        ([{"crons": "* * * * *"}], "no schedule"),
    ],
)
def test_what_can_be_no_schedule(schedules: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_schedules(schedules)


@pytest.mark.parametrize(
    "schedule", ["0 9 * * 1-5", ("0 9 * * *", "Europe/Rome"), {"cron": "0 9 * * *", "timezone": "Europe/Rome"}]
)
def test_ways_to_write_a_schedule(schedule: Any) -> None:
    assert len(parse_schedules([schedule])) == 1


def test_ticks_forwards_and_backwards() -> None:
    cron = Cron("30 2 * * *", "Europe/Rome")
    march = int(datetime(2026, 3, 28, 12, tzinfo=UTC).timestamp())
    ticks = [march]
    for _ in range(3):
        tick = cron.after(ticks[-1])
        assert tick is not None
        ticks.append(tick)
        assert cron.until(tick) == tick
        assert cron.until(tick + 1) == tick
        assert cron.until(tick - 1) != tick
    assert [datetime.fromtimestamp(tick, UTC).hour for tick in ticks[2:]] == [0, 0]  # summer


async def test_without_a_loop_there_is_nothing_to_put_on_record() -> None:
    async with await Client.connect("memory://") as client:
        with pytest.raises(RuntimeError):
            await asyncio.to_thread(lambda: Workflow(client, Report, schedules=["* * * * *"]))
