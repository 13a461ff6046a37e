"""Schedules over REST: they start workflows on time, once a moment, also over restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tenuto.server.settings import Settings
from tenuto.testing.clock import ManualClock
from tests.integration.server.conftest import served
from tests.support.conductor import PATIENCE, Conductor, node, workflow

#: 2026-01-01 00:00:00 UTC, when manual clocks begin.
T0 = 1_767_225_600_000
MINUTE = 60_000

TARGET = workflow("target", node("NOOP", "nothing"))


def schedule(name: str = "s", cron: str = "0 * * * * *", **more: Any) -> dict[str, Any]:
    return {"name": name, "cronExpression": cron, "startWorkflowRequest": {"name": "target", "input": {"a": 1}}, **more}


async def executions(conductor: Conductor, number: int, **query: Any) -> list[dict[str, Any]]:
    """What schedules have started, oldest first, once it is so much."""
    found: dict[str, Any] = {}
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                found = await conductor.get("/scheduler/search/executions", **query)
                if found["totalHits"] >= number:
                    return list(reversed(found["results"]))
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not {number} executions but {found}") from None


async def next_run(conductor: Conductor, moment: int | None, name: str = "s") -> None:
    """Wait until the schedule waits for this moment."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if (await conductor.get(f"/scheduler/schedules/{name}")).get("nextRunTime") == moment:
                return
            await asyncio.sleep(0.005)


async def started(conductor: Conductor) -> int:
    found: int = (await conductor.get("/workflow/search", query="workflowType=target"))["totalHits"]
    return found


async def test_a_schedule_starts_its_workflow(timed: Conductor) -> None:
    await timed.register(TARGET)
    await timed.post("/scheduler/schedules", schedule())
    await next_run(timed, T0 + MINUTE)
    await timed.advance(59.9)
    assert await started(timed) == 0
    await timed.advance(0.1)
    [execution] = await executions(timed, 1)
    assert execution["state"] == "EXECUTED"
    assert execution["scheduledTime"] == execution["executionTime"] == T0 + MINUTE
    view = await timed.workflow(execution["workflowId"])
    assert view["input"] == {
        "a": 1,
        "_startedByScheduler": "s",
        "_scheduledTime": T0 + MINUTE,
        "_executedTime": T0 + MINUTE,
        "_executionId": execution["executionId"],
        "_schedulerCron": "0 * * * * *",
    }
    await next_run(timed, T0 + 2 * MINUTE)
    await timed.advance(60)
    assert len(await executions(timed, 2)) == 2


async def test_only_the_next_moment_is_made_up_for(timed: Conductor) -> None:
    await timed.register(TARGET)
    await timed.post("/scheduler/schedules", schedule())
    assert timed.clock is not None
    timed.clock.advance(10 * 60 + 30)  # at once: the process was held up
    await next_run(timed, T0 + 11 * MINUTE)
    [execution] = await executions(timed, 1)
    assert execution["scheduledTime"] == T0 + MINUTE
    assert execution["executionTime"] == T0 + 10 * MINUTE + 30_000


async def test_catching_up(timed: Conductor) -> None:
    await timed.register(TARGET)
    await timed.post("/scheduler/schedules", schedule(runCatchupScheduleInstances=True))
    await timed.advance(5 * 60 + 30)
    await next_run(timed, T0 + 6 * MINUTE)
    found = await executions(timed, 5, sort="scheduledTime:DESC")
    assert [each["scheduledTime"] for each in found] == [T0 + n * MINUTE for n in range(1, 6)]
    assert await started(timed) == 5


async def test_start_and_end_time(timed: Conductor) -> None:
    await timed.register(TARGET)
    bounds = {"scheduleStartTime": T0 + 3 * MINUTE, "scheduleEndTime": T0 + 4 * MINUTE}
    await timed.post("/scheduler/schedules", schedule(runCatchupScheduleInstances=True, **bounds))
    await timed.advance(3600)
    await next_run(timed, None)
    assert [each["scheduledTime"] for each in await executions(timed, 2)] == [T0 + 3 * MINUTE, T0 + 4 * MINUTE]


async def test_several_expressions_in_their_zones(timed: Conductor) -> None:
    await timed.register(TARGET)
    crons = [
        {"cronExpression": "0 30 2 * * ?", "zoneId": "Europe/Rome"},
        {"cronExpression": "0 0 1 * * ?"},
    ]
    await timed.post("/scheduler/schedules", schedule(cronSchedules=crons))
    await next_run(timed, T0 + 60 * MINUTE)
    await timed.advance(3600)
    await next_run(timed, T0 + 90 * MINUTE)
    await timed.advance(1800)
    assert [each["zoneId"] for each in await executions(timed, 2)] == ["UTC", "Europe/Rome"]


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_pause_and_resume(timed: Conductor, method: str) -> None:
    await timed.register(TARGET)
    await timed.post("/scheduler/schedules", schedule())
    await timed.call(method, "/scheduler/schedules/s/pause", reason="holidays")
    view = await timed.get("/scheduler/schedules/s")
    assert (view["paused"], view["pausedReason"]) == (True, "holidays")
    await timed.advance(300)
    await timed.call(method, "/scheduler/schedules/s/resume")
    await next_run(timed, T0 + 6 * MINUTE)
    assert "pausedReason" not in await timed.get("/scheduler/schedules/s")
    await timed.advance(60)
    assert [each["scheduledTime"] for each in await executions(timed, 1)] == [T0 + 6 * MINUTE]
    await timed.call(method, "/scheduler/schedules/x/pause", expect=404)


async def test_all_schedules_paused(timed: Conductor) -> None:
    await timed.register(TARGET)
    await timed.post("/scheduler/schedules", schedule())
    assert await timed.get("/scheduler/admin/pause") == {"status": "done"}
    await timed.advance(300)
    assert (await timed.get("/scheduler/admin/requeue"))["schedules"] == 1
    assert await timed.get("/scheduler/admin/resume") == {"status": "done"}
    await next_run(timed, T0 + 6 * MINUTE)
    assert await started(timed) == 0
    await timed.advance(60)
    await executions(timed, 1)


async def test_bulk_pause_and_resume(timed: Conductor) -> None:
    for name in ("a", "b"):
        await timed.post("/scheduler/schedules", schedule(name))
    answer = await timed.call("PUT", "/scheduler/bulk/pause", ["a", "b", "c"])
    assert answer["bulkSuccessfulResults"] == ["a", "b"]
    assert list(answer["bulkErrorResults"]) == ["c"]
    answer = await timed.call("PUT", "/scheduler/bulk/resume", ["b"])
    assert answer["bulkSuccessfulResults"] == ["b"]
    found = await timed.get("/scheduler/schedules/search", paused="True")
    assert [each["name"] for each in found["results"]] == ["a"]


async def test_a_start_that_is_refused_is_on_record(timed: Conductor) -> None:
    await timed.post("/scheduler/schedules", schedule())
    await timed.advance(60)
    [execution] = await executions(timed, 1, query="state=FAILED AND scheduleName='s'")
    assert "target" in execution["reason"]
    await next_run(timed, T0 + 2 * MINUTE)
    assert (await timed.get("/scheduler/search/executions", query="state IN (EXECUTED,POLLED)"))["totalHits"] == 0
    await timed.get("/scheduler/search/executions", query="nonsense", expect=400)


Reopen = Callable[[], AbstractAsyncContextManager[Conductor]]


@pytest.fixture
def reopen(tmp_path: Path) -> Reopen:
    """A server on the same store and clock, opened again and again."""
    clock = ManualClock()

    @asynccontextmanager
    async def opened() -> AsyncIterator[Conductor]:
        async with served(Settings(db=f"sqlite:///{tmp_path}/t.db", port=0), clock) as running:
            yield Conductor(running.services, running.client, clock)

    return opened


async def test_what_came_due_while_the_server_was_down_is_started(reopen: Reopen) -> None:
    async with reopen() as conductor:
        await conductor.register(TARGET)
        await conductor.post("/scheduler/schedules", schedule())
        clock = conductor.clock
    assert clock is not None
    clock.advance(90)
    async with reopen() as conductor:
        [execution] = await executions(conductor, 1)
        assert execution["scheduledTime"] == T0 + MINUTE
        await next_run(conductor, T0 + 2 * MINUTE)


async def test_a_crash_between_start_and_record_starts_nothing_twice(reopen: Reopen) -> None:
    async with reopen() as conductor:
        await conductor.register(TARGET)
        await conductor.post("/scheduler/schedules", schedule())
        schedules = conductor.services.configuration.schedules
        due = schedules.get("s")
        assert due is not None
        await conductor.advance(60)
        await next_run(conductor, T0 + 2 * MINUTE)
        await schedules.put("s", due)  # as if the new moment had never been written
        await next_run(conductor, T0 + 2 * MINUTE)
        assert await started(conductor) == 1
        assert len(await executions(conductor, 1)) == 1


async def test_schedules_are_configuration(timed: Conductor) -> None:
    await timed.post("/scheduler/schedules", schedule(description="first"))
    first = await timed.get("/scheduler/schedules/s")
    assert first["createTime"] == T0
    assert first["startWorkflowRequest"]["name"] == "target"
    await timed.advance(1)
    await timed.post("/scheduler/schedules", schedule(description="second", cron="0 0 * * * *"))
    second = await timed.get("/scheduler/schedules/s")
    assert (second["description"], second["createTime"], second["updatedTime"]) == ("second", T0, T0 + 1000)
    assert [each["name"] for each in await timed.get("/scheduler/schedules", workflowName="target")] == ["s"]
    assert await timed.get("/scheduler/schedules", workflowName="other") == []
    await timed.call("PUT", "/scheduler/schedules/s/tags", [{"key": "k", "value": "v"}])
    assert (await timed.get("/scheduler/schedules/search", scheduleName="s"))["results"][0]["tags"][0]["key"] == "k"
    await timed.call("DELETE", "/scheduler/schedules/s")
    await timed.call("DELETE", "/scheduler/schedules/s", expect=404)
    await timed.get("/scheduler/schedules/s", expect=404)


async def test_next_moments(timed: Conductor) -> None:
    path = "/scheduler/nextFewSchedules"
    hourly = {"cronExpression": "0 0 * ? * *"}
    assert await timed.get(path, **hourly, limit=2) == [T0 + 60 * MINUTE, T0 + 120 * MINUTE]
    bounds = {"scheduleStartTime": T0 + 600 * MINUTE, "scheduleEndTime": T0 + 660 * MINUTE}
    assert await timed.get(path, **hourly, **bounds) == [T0 + 600 * MINUTE, T0 + 660 * MINUTE]
    assert len(await timed.get(path, **hourly, limit="")) == 5
    await timed.get(path, cronExpression="never", expect=400)
    await timed.get(path, expect=400)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"cronExpression": "* * * * *"}, "cronExpression"),
        ({"cronExpression": None}, "cronExpression"),
        ({"zoneId": "Nowhere"}, "zoneId"),
        ({"cronSchedules": [{"cronExpression": "x"}]}, "cronSchedules[0].cronExpression"),
        ({"scheduleStartTime": 2, "scheduleEndTime": 1}, "scheduleEndTime"),
        ({"startWorkflowRequest": {"name": ""}}, "startWorkflowRequest.name"),
        ({"startWorkflowRequest": None}, "$"),
        ({"startWorkflowRequest": {"name": "x", "priority": 100}}, "$.startWorkflowRequest.priority"),
    ],
)
async def test_bad_schedules_are_refused(timed: Conductor, change: dict[str, Any], path: str) -> None:
    answer = await timed.post("/scheduler/schedules", schedule() | change, expect=400)
    assert answer["validationErrors"][0]["path"] == path
    assert await timed.get("/scheduler/schedules") == []
