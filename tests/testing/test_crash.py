"""Users crash their workflows at every commit."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from tenuto import activity, workflow
from tenuto.testing import CrashPoint, WorkflowEnvironment, crash, crash_points
from tenuto.worker import Worker

#: What the bank has done, by idempotency key: it outlives every process.
charged: Counter[str] = Counter()


@activity.defn
async def charge(amount: int) -> int:
    charged[activity.info().idempotency_key] = amount
    return amount


@activity.defn
async def forgetful(amount: int) -> int:
    charged[str(charged.total())] = amount
    return amount


@workflow.defn
class Checkout:
    @workflow.run
    async def run(self, amounts: list[int]) -> int:
        paid = 0
        for amount in amounts:
            paid += await workflow.execute_activity("charge", amount, result_type=int)
            await asyncio.sleep(timedelta(days=1).total_seconds())
        return paid


async def pay(env: WorkflowEnvironment, *activities: Any) -> int:
    async with Worker(env.client, workflows=[Checkout], activities=activities):
        handle = await env.client.start_workflow(Checkout.run, [1, 2], id="order", request_id="order")
        result: int = await handle.result()
        return result


async def test_a_scenario_is_crashed_at_every_commit() -> None:
    points: list[CrashPoint] = []
    async for point in crash_points(lambda env: pay(env, charge)):
        points.append(point)
        assert point.result == 3
        assert sorted(charged.values()) == [1, 2], str(point)
        history = await point.env.client.get_workflow_handle("order").fetch_history()
        assert type(history.events[-1]).__name__ == "WorkflowExecutionCompleted"
        charged.clear()
    before, after = ([point for point in points if point.after is after] for after in (False, True))
    assert len(before) >= 5
    for half in (before, after):
        assert [point.commit for point in half] == list(range(1, len(half) + 1))
        assert [point.crashed for point in half] == [True] * (len(half) - 1) + [False]
    assert str(before[0]) == "a crash just before commit 1"
    assert str(after[1]) == "a crash just after commit 2"
    assert str(before[-1]) == f"no crash, as there is no commit {len(before)}"


async def test_what_is_done_twice_is_found() -> None:
    seen = []
    forgetful_charge = activity.defn(name="charge")(forgetful)
    async for point in crash_points(lambda env: pay(env, forgetful_charge)):
        seen.append(sorted(charged.values()))
        assert point.result == 3
        charged.clear()
    assert [1, 2] in seen
    assert any(len(values) > 2 for values in seen)


async def test_an_error_of_the_scenario_says_where_the_crash_was() -> None:
    lives = []

    async def scenario(env: WorkflowEnvironment) -> None:
        lives.append(env)
        if len(lives) > 1:
            raise ValueError("oops")
        await pay(env, charge)

    with pytest.raises(ValueError, match="oops") as caught:
        async for _ in crash_points(scenario):
            pass
    assert "With a crash just before commit 1." in caught.value.__notes__
    charged.clear()


async def test_one_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash, "LONGEST", 0.1)

    async def scenario(env: WorkflowEnvironment) -> None:
        await asyncio.sleep(60)

    with pytest.raises(TimeoutError) as caught:
        async for _ in crash_points(scenario):
            pass
    assert "With a crash just before commit 1." in caught.value.__notes__
