"""Activities whose workers live in other processes than the one that owns the execution."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tenuto import activity, workflow
from tenuto.client import WorkflowHandle
from tenuto.common import RetryPolicy
from tenuto.exceptions import ActivityError, ApplicationError, CancelledError, TimeoutError, TimeoutType
from tenuto.testing.clock import ManualClock
from tests.support.durable import AT_ONCE, an_id, failure_of, history, until
from tests.support.processes import a_store, dying, owning, working

GATE = asyncio.Event()
BEGUN: list[str] = []
STOPPED: list[str] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    global GATE
    GATE = asyncio.Event()
    BEGUN.clear()
    STOPPED.clear()


@activity.defn
async def wait(name: str) -> str:
    """Waits for the gate; tells what stopped it, if something did."""
    BEGUN.append(name)
    try:
        await GATE.wait()
    except asyncio.CancelledError:
        STOPPED.append(name)
        raise
    return f"{name} {activity.info().attempt}"


@activity.defn
async def get_on() -> str:
    """Fails twice, and goes on where it was."""
    info = activity.info()
    activity.heartbeat(info.attempt, *info.heartbeat_details)
    activity.heartbeat(info.attempt * 10, *info.heartbeat_details)
    if info.attempt < 3:
        raise ApplicationError(f"not {info.attempt}")
    return f"{info.heartbeat_details} {info.last_failure}"


@workflow.defn
class Waits:
    @workflow.run
    async def run(self, name: str, options: dict[str, float]) -> str:
        attempts = int(options.pop("attempts", 0))
        policy = RetryPolicy(
            initial_interval=timedelta(milliseconds=1),
            maximum_interval=timedelta(milliseconds=1),
            maximum_attempts=attempts,
        )
        return str(
            await workflow.execute_activity(
                wait,
                name,
                task_queue="elsewhere",
                retry_policy=policy,
                **{key: timedelta(seconds=value) for key, value in options.items()},  # type: ignore[arg-type]
            )
        )


@workflow.defn
class Outlasts:
    """Doesn't end before its activity has."""

    @workflow.run
    async def run(self) -> str:
        return str(
            await workflow.execute_activity(
                wait,
                "it",
                task_queue="elsewhere",
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )
        )


@workflow.defn
class GetsOn:
    @workflow.run
    async def run(self) -> str:
        return str(await workflow.execute_activity(get_on, task_queue="elsewhere", retry_policy=AT_ONCE))


CODE = (Waits, Outlasts, GetsOn)
ELSEWHERE = {"task_queue": "elsewhere", "activities": [wait, get_on]}


async def begun(times: int = 1) -> None:
    await until(lambda: len(BEGUN) >= times, 15)


async def state_of(handle: WorkflowHandle[str]) -> str:
    return ",".join(pending.state for pending in (await handle.describe()).pending_activities)


async def seen_running(handle: WorkflowHandle[str]) -> None:
    async def started() -> bool:
        return await state_of(handle) == "started"

    await until(started)


async def test_the_next_attempt_knows_what_the_last_one_said_and_died_of() -> None:
    url = a_store()
    async with owning(url) as owner, working(url, *CODE), working(url, **ELSEWHERE):
        handle = await owner.start_workflow(GetsOn.run, id=an_id())
        assert await handle.result() == "[20, 10] : not 2"
        await history(handle)


async def test_an_attempt_elsewhere_is_seen_to_run_and_is_cancelled() -> None:
    url = a_store()
    async with owning(url) as owner, working(url, *CODE), working(url, **ELSEWHERE):
        handle = await owner.start_workflow(Waits.run, args=["it", {}], id=an_id())
        await begun()
        await seen_running(handle)
        await handle.cancel()
        await failure_of(handle.result())
        await until(lambda: STOPPED == ["it"])


async def test_a_workflow_waits_until_an_activity_elsewhere_has_heard_of_its_cancellation() -> None:
    url = a_store()
    async with owning(url) as owner, working(url, *CODE), working(url, **ELSEWHERE):
        handle = await owner.start_workflow(Outlasts.run, id=an_id())
        await begun()
        await seen_running(handle)
        await handle.cancel()
        assert isinstance(await failure_of(handle.result()), CancelledError)
        assert STOPPED == ["it"]
        await history(handle)


async def test_what_a_terminated_workflow_leaves_running_is_stopped() -> None:
    url = a_store()
    async with owning(url) as owner, working(url, *CODE), working(url, **ELSEWHERE):
        handle = await owner.start_workflow(Waits.run, args=["it", {}], id=an_id())
        await begun()
        await handle.terminate()
        await until(lambda: STOPPED == ["it"])


async def test_an_attempt_elsewhere_times_out_and_the_next_one_succeeds() -> None:
    url = a_store()
    clock = ManualClock()
    connect = {"clock": clock}
    async with (
        owning(url, **connect) as owner,
        working(url, *CODE, connect=connect),
        working(url, connect=connect, **ELSEWHERE),
    ):
        handle = await owner.start_workflow(Waits.run, args=["it", {"start_to_close_timeout": 60.0}], id=an_id())
        await begun()
        await seen_running(handle)
        clock.advance(70)
        await until(lambda: STOPPED == ["it"])
        clock.advance(1)  # the retry has a delay
        await begun(2)
        GATE.set()
        assert await handle.result() == "it 2"
        await history(handle)


async def test_an_activity_that_nobody_takes_times_out_in_its_queue() -> None:
    url = a_store()
    clock = ManualClock()
    connect = {"clock": clock}
    async with owning(url, **connect) as owner, working(url, *CODE, connect=connect):
        options = {"schedule_to_start_timeout": 60.0, "start_to_close_timeout": 5.0}
        handle = await owner.start_workflow(Waits.run, args=["it", options], id=an_id())

        async def scheduled() -> bool:
            return await state_of(handle) == "scheduled"

        await until(scheduled)
        clock.advance(61)
        error = await failure_of(handle.result())
        assert isinstance(error, ActivityError)
        assert isinstance(error.cause, TimeoutError)
        assert error.cause.type is TimeoutType.SCHEDULE_TO_START
        async with working(url, connect=connect, **ELSEWHERE):
            other = await owner.start_workflow(Waits.run, args=["other", {}], id=an_id())
            GATE.set()
            assert await other.result() == "other 1"
            assert BEGUN == ["other"]


async def test_the_attempt_of_a_process_that_dies_is_made_again_elsewhere() -> None:
    url = a_store()
    async with owning(url) as owner, working(url, *CODE):
        async with dying(url, **ELSEWHERE):
            handle = await owner.start_workflow(Waits.run, args=["it", {}], id=an_id())
            await begun()
        async with working(url, **ELSEWHERE):
            await begun(2)
            GATE.set()
            assert await handle.result() == "it 2"
            await history(handle)


async def test_an_activity_that_may_run_once_is_not_made_again_when_its_process_dies() -> None:
    url = a_store()
    async with owning(url) as owner, working(url, *CODE):
        async with dying(url, **ELSEWHERE):
            handle = await owner.start_workflow(Waits.run, args=["it", {"attempts": 1}], id=an_id())
            await begun()
        async with working(url, **ELSEWHERE):
            error = await failure_of(handle.result())
            assert isinstance(error.__cause__, TimeoutError)
            assert BEGUN == ["it"]


async def test_a_worker_that_leaves_lets_others_go_on() -> None:
    url = a_store()
    async with owning(url) as owner, working(url, *CODE):
        async with working(url, **ELSEWHERE):
            handle = await owner.start_workflow(Waits.run, args=["it", {}], id=an_id())
            await begun()
        assert STOPPED == ["it"]
        GATE.set()
        async with working(url, **ELSEWHERE):
            assert await handle.result() == "it 2"


async def test_a_worker_that_leaves_gracefully_finishes_first() -> None:
    url = a_store()
    async with owning(url) as owner, working(url, *CODE):
        async with working(url, graceful_shutdown_timeout=20, **ELSEWHERE):
            handle = await owner.start_workflow(Waits.run, args=["it", {}], id=an_id())
            await begun()
            asyncio.get_running_loop().call_later(0.2, GATE.set)
        assert await handle.result() == "it 1"
        assert STOPPED == []


async def test_results_are_sent_until_the_store_takes_them() -> None:
    url = a_store()
    async with owning(url) as owner, working(url, *CODE), dying(url, **ELSEWHERE) as (_, store):
        handle = await owner.start_workflow(Waits.run, args=["it", {"attempts": 1}], id=an_id())
        await begun()
        for number in range(1, 4):
            store.fail("send", store.calls["send"] + number)
        GATE.set()
        assert await handle.result() == "it 1"


async def test_a_claim_whose_answer_is_lost_is_returned() -> None:
    url = a_store()
    async with owning(url) as owner, working(url, *CODE), dying(url, **ELSEWHERE) as (_, store):
        GATE.set()
        inner = store.inner.claim
        lost = []

        async def claim(*args: object) -> list[object]:
            rows = await inner(*args)  # type: ignore[arg-type]
            if rows and not lost:
                lost.append(rows)
                store.fail_next("claim")
                return list(await store.claim(*args))  # type: ignore[arg-type]
            return list(rows)

        store.inner.claim = claim  # type: ignore[method-assign, assignment]
        handle = await owner.start_workflow(Waits.run, args=["it", {"attempts": 1}], id=an_id())
        assert await handle.result() == "it 1"
        assert lost
