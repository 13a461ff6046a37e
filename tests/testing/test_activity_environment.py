"""Activities are tested on their own."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from msgspec.structs import replace

from tenuto import activity
from tenuto.exceptions import CancelledError
from tenuto.model.errors import PayloadError
from tenuto.testing import ActivityEnvironment


@activity.defn
async def add(a: int, b: int) -> int:
    activity.heartbeat("half", a)
    return a + b


@activity.defn
def multiply(a: int, b: int) -> int:
    activity.heartbeat(a)
    return a * b


@activity.defn
async def lasting() -> str:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return str(activity.cancellation_reason())
    return "done"


class Shop:
    def __init__(self, price: int) -> None:
        self.price = price

    @activity.defn
    async def sell(self, number: int) -> int:
        return self.price * number


async def test_both_kinds_run() -> None:
    env, beats = ActivityEnvironment(), []
    env.on_heartbeat = lambda *details: beats.append(details)
    assert await env.run(add, 2, 3) == 5
    assert env.run(multiply, 2, 3) == 6
    assert await env.run(Shop(7).sell, 3) == 21
    assert env.run(lambda: activity.info().attempt) == 1
    assert beats == [("half", 2), (2,)]


async def test_info_is_what_the_test_says() -> None:
    env = ActivityEnvironment()
    env.info = replace(env.info, attempt=3, workflow_id="order-1")
    assert env.run(lambda: (activity.info().attempt, activity.info().workflow_id)) == (3, "order-1")
    assert activity.in_activity() is False


async def test_errors_come_out() -> None:
    @activity.defn
    async def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await ActivityEnvironment().run(fails)
    with pytest.raises(PayloadError):
        ActivityEnvironment().run(lambda: activity.heartbeat(object()))


async def test_a_coroutine_is_cancelled() -> None:
    env = ActivityEnvironment()
    running = asyncio.create_task(env.run(lasting))
    await asyncio.sleep(0.01)
    env.cancel()
    assert await running == "cancel_requested"


async def test_one_that_waits_for_its_cancellation_is_told() -> None:
    @activity.defn
    async def watchful() -> str:
        try:
            await activity.wait_for_cancelled()
        except asyncio.CancelledError:
            return str(activity.cancellation_reason())
        return "?"

    env = ActivityEnvironment()
    running = asyncio.create_task(env.run(watchful))
    await asyncio.sleep(0.01)
    env.worker_shutdown()
    assert await running == "worker_shutdown"


async def test_a_thread_is_cancelled() -> None:
    begun = threading.Event()

    @activity.defn
    def busy() -> Any:
        begun.set()
        while True:
            activity.wait_for_cancelled_sync(0.001)

    env = ActivityEnvironment()
    running = asyncio.create_task(asyncio.to_thread(env.run, busy))
    await asyncio.to_thread(begun.wait, 5)
    env.cancel()
    with pytest.raises(CancelledError):
        await running


async def test_what_is_run_after_a_cancellation_is_cancelled() -> None:
    env = ActivityEnvironment()
    env.cancel()
    assert await env.run(lasting) == "cancel_requested"
    with pytest.raises(CancelledError):
        env.run(multiply, 1, 2)


async def test_whoever_gives_up_waiting_ends_the_activity() -> None:
    ended = []

    @activity.defn
    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await ActivityEnvironment().run(slow)
    await asyncio.sleep(0)
    assert ended == [True]
