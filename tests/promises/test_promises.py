"""What the design promises ("What it promises", 1-7): each promise has a test that is named after it.

These are the short proofs, one a promise. The long ones, at every commit and with real processes: tests/crash.
"""
# ruff: noqa: ASYNC110 - what is waited for here happens in a store, which has no asyncio.Event

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest

from tenuto import activity, workflow
from tenuto.client import Client, WorkflowFailureError
from tenuto.model.errors import RPCError, RPCStatusCode, StoreError
from tenuto.model.events import (
    ActivityTaskCompleted,
    AnyEvent,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
    WorkflowExecutionUpdateCompleted,
    WorkflowTaskFailed,
)
from tenuto.model.limits import Limits
from tenuto.store.protocol import Commit, Lease, Rank, Store
from tenuto.store.urls import open_store
from tenuto.testing.faults import FaultyStore, ProcessDiedError
from tenuto.worker import Worker
from tests.crash.scenarios import SCENARIOS, Account, Collector, Sequential, new_world, steps
from tests.support.world import World


class GatedStore(FaultyStore):
    """Commits, and renews its lease, only while its gate is open."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0

    async def commit(self, commit: Commit) -> None:
        self.waiting += 1
        await self.gate.wait()
        self.waiting -= 1
        await super().commit(commit)

    async def lease(self, owner: str, now: int, until: int, rank: Rank = Rank.WORKER) -> Lease:
        await self.gate.wait()
        return await super().lease(owner, now, until, rank)


def world_of(*workflows: type[Any]) -> World:
    world = World(f"memory://{uuid4()}", workflows, ())
    world.activities = [steps(world.ledger)]
    return world


async def turns(number: int = 50) -> None:
    """Let the loop do what it can do without the clock and without the outside."""
    for _ in range(number):
        await asyncio.sleep(0)


def of_kind(runs: dict[str, list[AnyEvent]], kind: type) -> list[Any]:
    return [event for events in runs.values() for event in events if isinstance(event, kind)]


# -- 1 -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", range(0, 200, 5))
async def test_acknowledged_means_durable(moment: int) -> None:
    """The process dies at any moment while clients start, signal and update: what was acknowledged is on record."""
    world = world_of(Collector, Account)
    acknowledged: list[str] = []

    async def work(world: World, client: Client) -> None:
        async def one(number: int) -> None:
            collector = await client.start_workflow(Collector.run, id=f"collector {number}")
            acknowledged.append(f"start collector {number}")
            account = await client.start_workflow(Account.run, id=f"account {number}")
            acknowledged.append(f"start account {number}")
            for value in range(3):
                await collector.signal(Collector.add, value, request_id=f"signal {number} {value}")
                acknowledged.append(f"signal {number} {value}")
                await account.execute_update(Account.deposit, value + 1, id=f"update {number} {value}")
                acknowledged.append(f"update {number} {value}")

        async def die() -> None:
            await turns(moment)
            assert isinstance(client.gateway.store, FaultyStore)
            client.gateway.store.kill()
            raise ProcessDiedError

        with suppress(ProcessDiedError, RPCError):
            await asyncio.gather(die(), *map(one, range(5)))
        raise ProcessDiedError

    def slow(store: FaultyStore) -> None:
        store.slow = moment % 4

    store, _ = await world.live(work, slow)
    assert store.dead
    runs = await world.check()
    recorded = {f"start {event.workflow_id}" for event in of_kind(runs, WorkflowExecutionStarted)}
    recorded |= {event.request_id for event in of_kind(runs, WorkflowExecutionSignaled)}
    recorded |= {event.update_id for event in of_kind(runs, WorkflowExecutionUpdateCompleted)}
    assert set(acknowledged) <= recorded
    if moment >= 180:
        assert len(acknowledged) > 5, "hardly anything was acknowledged before the process died"


# -- 2 -----------------------------------------------------------------------------------------------------------------


async def test_cause_before_effect() -> None:
    """As long as a commit is under way, nothing of what it holds can be seen from outside."""
    world = world_of(Sequential)
    store = GatedStore(open_store(world.url))
    async with (
        world.client(store) as client,
        Worker(client, workflows=world.workflows, activities=world.activities),
    ):
        store.gate.clear()
        start = asyncio.create_task(client.start_workflow(Sequential.run, ["a", "b"], id="it"))
        await turns()
        assert store.waiting == 1
        assert not start.done(), "the start was acknowledged before it was on record"
        assert not world.ledger.effects, "an activity ran before it was on record"
        store.gate.set()
        handle = await start
        await turns(1)
        store.gate.clear()
        seen = list(world.ledger.effects)
        result = asyncio.create_task(handle.result())
        await turns()
        # The result of the activity that ran is being written; what follows from it has not begun.
        assert world.ledger.effects[: len(seen)] == seen
        assert len(world.ledger.effects) <= 1
        assert not result.done()
        store.gate.set()
        assert await result == ["did a", "did b"]


# -- 3 -----------------------------------------------------------------------------------------------------------------


async def test_one_writer(caplog: pytest.LogCaptureFixture) -> None:
    """An engine that lost its partitions while it slept can't write, and says so when it wakes."""
    world = world_of(Collector)
    paused = GatedStore(open_store(world.url))
    async with (
        world.client(paused) as sleeper,
        Worker(sleeper, workflows=world.workflows, activities=world.activities),
    ):
        handle = await sleeper.start_workflow(Collector.run, id="it")
        await turns()
        paused.gate.clear()
        lost = asyncio.create_task(handle.signal(Collector.add, 666))
        await turns()
        assert not lost.done()
        owner = (await sleeper.gateway.acquire()).ownership.owner
        await paused.inner.release(owner)

        async def take_over(world: World, client: Client) -> Any:
            again = client.get_workflow_handle("it")
            await again.signal(Collector.add, 1)
            await again.signal(Collector.close, "")
            return await again.result()

        _, result = await world.live(take_over)
        assert result == [1]
        paused.gate.set()
        with pytest.raises((StoreError, RPCError)):
            await lost
        assert any("may not write" in record.message for record in caplog.records)
        await sleeper.gateway.release()
    runs = await world.check()
    values = [event.input[0].data for event in of_kind(runs, WorkflowExecutionSignaled)]
    assert values == [b"1", b'""'], "what the paused engine decided was not written"


# -- 4 -----------------------------------------------------------------------------------------------------------------


async def test_at_least_once_to_run_at_most_once_to_record() -> None:
    """Its process dies when an activity's effect is there but its result is not: it runs again, one result is kept."""
    scenario = next(each for each in SCENARIOS if each.name == "sequential")
    repeated = 0
    for n in range(1, 100):
        world = new_world(scenario, f"memory://{uuid4()}")
        store, result = await world.live(scenario.script, lambda store, n=n: store.die("commit", n))  # type: ignore[misc]
        if not store.dead:
            break
        _, result = await world.live(scenario.script)
        assert result == ["did a", "did b", "did c", "did d"]
        assert all(times >= 1 for times in world.ledger.times.values())
        assert set(world.ledger.once.values()) == {1}, "attempts of one activity share their idempotency key"
        assert len(of_kind(await world.check(), ActivityTaskCompleted)) == 4
        repeated += sum(world.ledger.times.values()) - 4
    assert repeated > 0, "no crash made an activity run again: this proves nothing"


# -- 5 -----------------------------------------------------------------------------------------------------------------


@workflow.defn(name="Patient")
class Patient:
    def __init__(self) -> None:
        self.go = False

    @workflow.run
    async def run(self) -> list[str]:
        first = await workflow.execute_activity("step", "first", result_type=str)
        await workflow.wait_condition(lambda: self.go)
        return [first, await workflow.execute_activity("step", "second", result_type=str)]

    @workflow.signal
    def proceed(self) -> None:
        self.go = True


@workflow.defn(name="Patient")
class Changed(Patient):
    @workflow.run
    async def run(self) -> list[str]:
        await asyncio.sleep(1)
        return []


async def test_replay_never_repeats_recorded_work() -> None:
    world = world_of(Patient)
    await start_and_crash(world)
    for _ in range(3):
        _, count = await world.live(lambda world, client: wait_and_count(world))
        assert count == 1
    await proceed(world)
    assert world.ledger.times == {"first": 1, "second": 1}


async def test_code_that_no_longer_matches_stops_the_execution_and_right_code_heals_it() -> None:
    world = world_of(Patient)
    await start_and_crash(world)
    world.workflows = [Changed]

    async def meet_the_change(world: World, client: Client) -> str:
        handle = client.get_workflow_handle("it")
        await handle.signal("proceed", request_id="proceed")
        while (problem := (await handle.describe()).problem) is None:
            await asyncio.sleep(0)
        return problem

    _, problem = await world.live(meet_the_change)
    assert problem is not None
    assert problem.startswith("NON_DETERMINISTIC_ERROR: ")
    assert "ActivityTaskScheduled(activity_type='step'" in problem, "what is recorded"
    assert "StartTimer(timer_id='1'" in problem, "what the code did"
    assert f"{__file__.rpartition('/')[2]}:" in problem, "and where"
    world.workflows = [Patient]
    await proceed(world)
    assert world.ledger.times == {"first": 1, "second": 1}
    assert len(of_kind(await world.check(), WorkflowTaskFailed)) == 1


async def start_and_crash(world: World) -> None:
    async def begin(world: World, client: Client) -> None:
        await client.start_workflow(Patient.run, id="it")
        while not of_kind(await world.runs(), ActivityTaskCompleted):
            await asyncio.sleep(0)
        client.gateway.store.kill()  # type: ignore[attr-defined]
        raise ProcessDiedError

    store, _ = await world.live(begin)
    assert store.dead


async def wait_and_count(world: World) -> int:
    await asyncio.sleep(0.02)
    return sum(world.ledger.times.values())


async def proceed(world: World) -> None:
    async def go_on(world: World, client: Client) -> Any:
        handle = client.get_workflow_handle("it")
        await handle.signal("proceed", request_id="proceed")
        return await handle.result()

    _, result = await world.live(go_on)
    assert result == ["did first", "did second"]


# -- 6 -----------------------------------------------------------------------------------------------------------------


@workflow.defn
class Greedy:
    """Does too much of what it is told."""

    @workflow.run
    async def run(self, what: str) -> None:
        if what == "activities":
            await asyncio.gather(*(workflow.execute_activity("hold", n) for n in range(20)))
        elif what == "history":
            while True:
                await workflow.execute_activity("hold", 0)
        elif what == "spin":
            while True:
                await asyncio.sleep(0)
        else:
            await workflow.wait_condition(lambda: False)

    @workflow.signal
    def poke(self) -> None:
        pass

    @workflow.update
    async def hang(self) -> None:
        await workflow.wait_condition(lambda: False)


LIMITS = Limits(signals_received=3, history_events=100, pending_activities=15, updates_in_flight=2, waiting_requests=50)


async def test_nothing_unbounded() -> None:
    """Each limit is met with a clear error or back-pressure, never with a silent drop."""
    running = most = 0

    @activity.defn
    async def hold(_: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1

    world = world_of()
    async with (
        world.client(limits=LIMITS) as client,
        Worker(client, workflows=[Greedy], activities=[hold], max_concurrent_activities=4, max_cached_workflows=10),
    ):
        # Signals of a run.
        idle = await client.start_workflow(Greedy.run, "idle", id="idle")
        for _ in range(3):
            await idle.signal(Greedy.poke)
        await refused(idle.signal(Greedy.poke), "3 signals, the limit")

        # Updates in flight.
        for number in range(2):
            await idle.start_update(Greedy.hang, id=str(number))
        await refused(idle.start_update(Greedy.hang), "2 updates in flight")

        # Pending activities: the code is stopped, visibly; none of them was scheduled.
        broad = await client.start_workflow(Greedy.run, "activities", id="broad")
        assert "PENDING_ACTIVITIES_LIMIT_EXCEEDED" in await problem_of(broad)
        assert not (await broad.describe()).pending_activities

        # Code that never gives control back.
        spin = await client.start_workflow(Greedy.run, "spin", id="spin", task_timeout=0.2)
        assert "without waiting for anything" in await problem_of(spin)

        # The history; meanwhile the worker's slots.
        long = await client.start_workflow(Greedy.run, "history", id="long")
        with pytest.raises(WorkflowFailureError) as ended:
            await long.result()
        assert "the history has" in str(ended.value.cause)
        assert "continue as new" in str(ended.value.cause)
        assert most <= 4

        # Requests that wait for their answers.
        many = [asyncio.ensure_future(client.start_workflow(Greedy.run, "idle", id=str(n))) for n in range(60)]
        answers = await asyncio.gather(*many, return_exceptions=True)
        too_many = [answer for answer in answers if isinstance(answer, RPCError)]
        assert {answer.status for answer in too_many} == {RPCStatusCode.RESOURCE_EXHAUSTED}
        assert len(too_many) == 10
        assert (await client.count_workflows()).count == 4 + 50, "what was not refused is there"

        # Executions in memory.
        await turns(200)
        engine = await client.gateway.acquire()
        assert len(engine.residents) <= 20
        await client.gateway.release()


async def refused(request: Any, said: str) -> None:
    with pytest.raises(RPCError, match=said) as error:
        await request
    assert error.value.status is RPCStatusCode.RESOURCE_EXHAUSTED


async def problem_of(handle: Any) -> str:
    while (problem := (await handle.describe()).problem) is None:
        await asyncio.sleep(0)
    return str(problem)


# -- 7 -----------------------------------------------------------------------------------------------------------------


@workflow.defn
class Month:
    @workflow.run
    async def run(self) -> list[Any]:
        began = workflow.now()
        await asyncio.sleep(30 * 86400)
        slept = workflow.now() - began
        return [slept.total_seconds(), workflow.random().random(), str(workflow.uuid4())]


async def a_month() -> tuple[list[Any], list[list[AnyEvent]]]:
    world = world_of(Month)
    async with (
        world.client() as client,
        Worker(client, workflows=world.workflows, activities=world.activities),
    ):
        handle = await client.start_workflow(Month.run, id="it")
        await turns()
        world.clock.advance(30 * 86400)
        result = await handle.result()
    return result, list((await world.check()).values())


async def test_time_randomness_and_ids_are_injected() -> None:
    """A month passes in milliseconds, and passes in the same way each time: the same ids, the same numbers, the same
    history to the last nanosecond."""
    began = time.monotonic()
    result, histories = await a_month()
    assert time.monotonic() - began < 5
    assert result[0] == 30 * 86400
    assert (result, histories) == await a_month()
