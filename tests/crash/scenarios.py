"""Workflows that crash tests break in every place, the scripts that drive them, and what must have come of it.

A script runs from its beginning in every life of the process, as somebody would who repeats what was not acknowledged:
what was is in `world.acknowledged`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from tenuto import activity, workflow
from tenuto.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from tenuto.common import RetryPolicy
from tenuto.exceptions import ActivityError, ApplicationError, ChildWorkflowError
from tenuto.model.errors import RPCError, RPCStatusCode, StoreError
from tenuto.model.events import AnyEvent, WorkflowExecutionSignaled
from tests.crash.step_scenarios import make_named_steps, named_steps_check, named_steps_script
from tests.support.world import Ledger, World, insist

Script = Callable[[World, Client], Awaitable[Any]]
Check = Callable[[World, Any, dict[str, list[AnyEvent]]], None]


@dataclass(frozen=True)
class Scenario:
    name: str
    make: Callable[[Ledger], tuple[Sequence[type[Any]], Sequence[Callable[..., Any]]]]
    script: Script
    check: Check

    def __str__(self) -> str:
        return self.name


QUICK = RetryPolicy(initial_interval=timedelta(seconds=1))
BROKE = ApplicationError("no money", type="Broke", non_retryable=True)


async def start(client: Client, run: Any, *args: Any, **options: Any) -> WorkflowHandle[Any]:
    """Start it, or find it started by a life before."""
    return await insist(lambda: client.start_workflow(run, args=args, id="main", request_id="the start", **options))


def not_found(error: RPCError) -> None:
    """A request that a life before has sent without being answered may have closed the workflow."""
    assert error.status is RPCStatusCode.NOT_FOUND, error


async def signal(world: World, handle: WorkflowHandle[Any], name: str, value: Any) -> None:
    """Send a signal until it is acknowledged; with a request id, so that it counts once."""
    step = f"{name} {value}"
    if step in world.acknowledged:
        return
    await insist(lambda: handle.signal(name, value, request_id=step))
    world.acknowledged[step] = True


async def close(world: World, handle: WorkflowHandle[Any], name: str) -> None:
    """The last signal: if it was taken by a life before, the workflow may have closed."""
    try:
        await signal(world, handle, name, "")
    except RPCError as error:
        not_found(error)


def steps(ledger: Ledger) -> Callable[..., Any]:
    @activity.defn
    async def step(what: str) -> str:
        ledger.record(what)
        return f"did {what}"

    return step


def done_once(world: World, *what: str) -> None:
    """Each of these was done, counted by idempotency key exactly once; and nothing else was."""
    assert world.ledger.once == dict.fromkeys(what, 1)


# -- sequential activities ---------------------------------------------------------------------------------------------


@workflow.defn
class Sequential:
    @workflow.run
    async def run(self, names: list[str]) -> list[str]:
        return [await workflow.execute_activity("step", name, result_type=str) for name in names]


async def sequential_script(world: World, client: Client) -> Any:
    return await (await start(client, Sequential.run, ["a", "b", "c", "d"])).result()


def sequential_check(world: World, result: Any, runs: dict[str, list[AnyEvent]]) -> None:
    assert result == ["did a", "did b", "did c", "did d"]
    done_once(world, "a", "b", "c", "d")
    assert len(runs) == 1


# -- timers ------------------------------------------------------------------------------------------------------------


@workflow.defn
class Timers:
    @workflow.run
    async def run(self) -> list[float]:
        began = workflow.time()
        slept = []
        for seconds in (1, 20, 40):
            await asyncio.sleep(seconds)
            slept.append(workflow.time() - began)
            await workflow.execute_activity("step", f"after {seconds}")
        try:
            await workflow.wait_condition(lambda: False, timeout=2)
        except TimeoutError:
            slept.append(workflow.time() - began)
        won = await asyncio.wait(
            [asyncio.create_task(asyncio.sleep(3)), asyncio.create_task(asyncio.sleep(3000))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        for task in won[1]:
            task.cancel()
        await workflow.execute_activity("step", "last")
        return slept


async def timers_script(world: World, client: Client) -> Any:
    return await (await start(client, Timers.run)).result()


def timers_check(world: World, result: Any, runs: dict[str, list[AnyEvent]]) -> None:
    assert len(result) == 4
    assert all(slept >= least for slept, least in zip(result, (1, 21, 61, 63), strict=True))
    done_once(world, "after 1", "after 20", "after 40", "last")


# -- signals -----------------------------------------------------------------------------------------------------------


@workflow.defn
class Collector:
    """Does a step for each value, until it is closed."""

    def __init__(self) -> None:
        self.waiting: list[int] = []
        self.seen: list[int] = []
        self.closed = False

    @workflow.run
    async def run(self) -> list[int]:
        while True:
            await workflow.wait_condition(lambda: bool(self.waiting) or self.closed)
            while self.waiting:
                value = self.waiting.pop(0)
                self.seen.append(value)
                await workflow.execute_activity("step", f"value {value}")
            if self.closed:
                return self.seen

    @workflow.signal
    def add(self, value: int) -> None:
        self.waiting.append(value)

    @workflow.signal
    def close(self, _: str) -> None:
        self.closed = True

    @workflow.query
    def count(self) -> int:
        return len(self.seen)


async def signals_script(world: World, client: Client) -> Any:
    handle = await start(client, Collector.run)
    for value in range(5):
        await signal(world, handle, "add", value)
        if value == 2:
            await asyncio.sleep(0.002)
    await close(world, handle, "close")
    return await handle.result()


def signals_check(world: World, result: Any, runs: dict[str, list[AnyEvent]]) -> None:
    assert result == [0, 1, 2, 3, 4]
    done_once(world, *(f"value {value}" for value in range(5)))
    assert sum(isinstance(event, WorkflowExecutionSignaled) for event in next(iter(runs.values()))) == 6


# -- children ----------------------------------------------------------------------------------------------------------


@workflow.defn
class Child:
    def __init__(self) -> None:
        self.greetings: list[str] = []

    @workflow.run
    async def run(self, name: str, greetings: int) -> str:
        await workflow.execute_activity("step", name)
        await workflow.wait_condition(lambda: len(self.greetings) >= greetings)
        if name == "bad":
            raise ApplicationError("bad child", type="Bad")
        # Were a greeting delivered twice, it would be here now or soon.
        await asyncio.sleep(1)
        return f"{name} {self.greetings}"

    @workflow.signal
    async def greet(self, greeting: str) -> None:
        self.greetings.append(greeting)


@workflow.defn
class Parent:
    @workflow.run
    async def run(self) -> list[str]:
        handles = [await workflow.start_child_workflow(Child.run, args=[name, 2], id=f"child {name}") for name in "ab"]
        for handle in handles:
            await handle.signal("greet", "hello")
        external = workflow.get_external_workflow_handle("child b")
        await external.signal("greet", "bye")
        await handles[0].signal("greet", "bye")
        results = list(await asyncio.gather(*handles))
        try:
            await workflow.execute_child_workflow(Child.run, args=["bad", 0], id="child bad")
        except ChildWorkflowError as error:
            results.append(str(error.cause))
        try:
            await external.signal("greet", "too late")
        except ApplicationError:
            results.append("too late")
        return results


async def children_script(world: World, client: Client) -> Any:
    return await (await start(client, Parent.run)).result()


def children_check(world: World, result: Any, runs: dict[str, list[AnyEvent]]) -> None:
    assert result == ["a ['hello', 'bye']", "b ['hello', 'bye']", "Bad: bad child", "too late"]
    done_once(world, "a", "b", "bad")
    assert len(runs) == 4


# -- updates -----------------------------------------------------------------------------------------------------------


@workflow.defn
class Account:
    def __init__(self) -> None:
        self.balance = 0
        self.closed = False

    @workflow.run
    async def run(self) -> int:
        await workflow.wait_condition(lambda: self.closed)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.balance

    @workflow.update
    async def deposit(self, amount: int) -> int:
        self.balance += amount
        await workflow.execute_activity("step", f"deposit {amount}")
        return self.balance

    @deposit.validator  # type: ignore[attr-defined]
    def check_deposit(self, amount: int) -> None:
        if amount <= 0:
            raise ValueError("a deposit is positive")

    @workflow.signal
    def close(self, _: str) -> None:
        self.closed = True


async def updates_script(world: World, client: Client) -> Any:
    handle = await start(client, Account.run)
    for amount in (10, 5, 1):
        step = f"deposit {amount}"
        if step not in world.acknowledged:
            world.acknowledged[step] = await insist(
                lambda amount=amount, step=step: handle.execute_update("deposit", amount, id=step)  # type: ignore[misc]
            )
    # In a life after the close, nobody is there to refuse it.
    with pytest.raises((WorkflowUpdateFailedError, RPCError)) as refused:
        await insist(lambda: handle.execute_update("deposit", -1, id="wrong"))
    if isinstance(refused.value, RPCError):
        not_found(refused.value)
    await close(world, handle, "close")
    return await handle.result()


def updates_check(world: World, result: Any, runs: dict[str, list[AnyEvent]]) -> None:
    assert result == 16
    assert [world.acknowledged[f"deposit {amount}"] for amount in (10, 5, 1)] == [10, 15, 16]
    done_once(world, "deposit 10", "deposit 5", "deposit 1")


# -- continue as new ---------------------------------------------------------------------------------------------------


@workflow.defn
class Counter:
    """Continues as new after every second value; no value may be lost between two runs."""

    @workflow.init
    def __init__(self, seen: list[int]) -> None:
        self.seen = seen
        self.waiting: list[int] = []
        self.closed = False

    @workflow.run
    async def run(self, seen: list[int]) -> list[int]:
        taken = 0
        while True:
            await workflow.wait_condition(lambda: bool(self.waiting) or self.closed)
            while self.waiting and taken < 2:
                value = self.waiting.pop(0)
                self.seen.append(value)
                taken += 1
                await workflow.execute_activity("step", f"value {value}")
            if self.closed and not self.waiting:
                return self.seen
            if taken == 2:
                while self.waiting:
                    self.seen.append(self.waiting.pop(0))
                workflow.continue_as_new(self.seen)

    @workflow.signal
    def add(self, value: int) -> None:
        self.waiting.append(value)

    @workflow.signal
    def close(self, _: str) -> None:
        self.closed = True


async def continue_script(world: World, client: Client) -> Any:
    handle = await start(client, Counter.run, [])
    latest = client.get_workflow_handle("main")
    for value in range(7):
        # What was not acknowledged is not repeated: a request id is only good for one run.
        if world.acknowledged.setdefault(f"add {value}", "asked") == "asked" and f"tried {value}" not in (
            world.acknowledged
        ):
            world.acknowledged[f"tried {value}"] = True
            try:
                await latest.signal("add", value)
                world.acknowledged[f"add {value}"] = "acknowledged"
            except StoreError:
                pass
    # `close` is harmless when it comes twice.
    try:
        await insist(lambda: latest.signal("close", ""))
    except RPCError as error:
        not_found(error)
    return await handle.result()


def continue_check(world: World, result: Any, runs: dict[str, list[AnyEvent]]) -> None:
    acknowledged = [value for value in range(7) if world.acknowledged.get(f"add {value}") == "acknowledged"]
    assert result == sorted(set(result)), "a signal came twice, or out of order"
    assert set(acknowledged) <= set(result), "an acknowledged signal was lost"
    assert set(world.ledger.once.values()) <= {1}
    assert len(runs) >= 2


# -- a saga ------------------------------------------------------------------------------------------------------------


@workflow.defn
class Saga:
    @workflow.run
    async def run(self) -> list[str]:
        compensations: list[str] = []
        done: list[str] = []
        try:
            for name in ("flight", "hotel", "car"):
                compensations.append(f"cancel {name}")
                done.append(await workflow.execute_activity("book", name, result_type=str))
        except ActivityError as error:
            done.append(str(error.cause))
            for name in reversed(compensations):
                done.append(await workflow.execute_activity("step", name, result_type=str))
        return done


def make_saga(ledger: Ledger) -> tuple[Sequence[type[Any]], Sequence[Callable[..., Any]]]:
    @activity.defn
    async def book(what: str) -> str:
        ledger.record(what)
        if what == "car":
            raise BROKE
        return f"booked {what}"

    return [Saga], [book, steps(ledger)]


async def saga_script(world: World, client: Client) -> Any:
    return await (await start(client, Saga.run)).result()


def saga_check(world: World, result: Any, runs: dict[str, list[AnyEvent]]) -> None:
    assert result == [
        "booked flight",
        "booked hotel",
        "Broke: no money",
        "did cancel car",
        "did cancel hotel",
        "did cancel flight",
    ]
    done_once(world, "flight", "hotel", "car", "cancel car", "cancel hotel", "cancel flight")


# -- parallel activities -----------------------------------------------------------------------------------------------


@workflow.defn
class Parallel:
    @workflow.run
    async def run(self, width: int) -> list[str]:
        results = await asyncio.gather(
            *(workflow.execute_activity("step", f"{number}", result_type=str) for number in range(width))
        )
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(workflow.execute_activity("step", f"group {number}"))
        return list(results)


async def parallel_script(world: World, client: Client) -> Any:
    return await (await start(client, Parallel.run, 12)).result()


def parallel_check(world: World, result: Any, runs: dict[str, list[AnyEvent]]) -> None:
    assert result == [f"did {number}" for number in range(12)]
    done_once(world, *map(str, range(12)), "group 0", "group 1", "group 2")


# -- retries -----------------------------------------------------------------------------------------------------------


@workflow.defn
class Retries:
    @workflow.run
    async def run(self) -> list[str]:
        flaky = await workflow.execute_activity("flaky", result_type=str, retry_policy=QUICK)
        try:
            await workflow.execute_activity("hopeless", retry_policy=RetryPolicy(maximum_attempts=2))
        except ActivityError as error:
            return [flaky, str(error.retry_state.name)]
        return [flaky, "?"]


def make_retries(ledger: Ledger) -> tuple[Sequence[type[Any]], Sequence[Callable[..., Any]]]:
    @activity.defn
    async def flaky() -> str:
        ledger.record("flaky")
        if activity.info().attempt < 3:
            raise RuntimeError("not yet")
        return "at last"

    @activity.defn
    async def hopeless() -> None:
        ledger.record("hopeless")
        raise RuntimeError("never")

    return [Retries], [flaky, hopeless]


async def retries_script(world: World, client: Client) -> Any:
    return await (await start(client, Retries.run)).result()


def retries_check(world: World, result: Any, runs: dict[str, list[AnyEvent]]) -> None:
    assert result == ["at last", "MAXIMUM_ATTEMPTS_REACHED"]
    done_once(world, "flaky", "hopeless")
    # An attempt whose end was not recorded runs again; one crash can cause no more than one such repetition.
    assert 3 <= world.ledger.times["flaky"] <= 4
    assert 2 <= world.ledger.times["hopeless"] <= 3


# -- at most once ------------------------------------------------------------------------------------------------------


@workflow.defn
class AtMostOnce:
    @workflow.run
    async def run(self) -> list[str]:
        done = []
        for name in ("x", "y"):
            try:
                await workflow.execute_activity("step", name, retry_policy=RetryPolicy(maximum_attempts=1))
                done.append(name)
            except ActivityError as error:
                done.append(f"lost {name}: {type(error.cause).__name__}")
        return done


async def at_most_once_script(world: World, client: Client) -> Any:
    return await (await start(client, AtMostOnce.run)).result()


def at_most_once_check(world: World, result: Any, runs: dict[str, list[AnyEvent]]) -> None:
    for name, outcome in zip("xy", result, strict=True):
        assert outcome in (name, f"lost {name}: TimeoutError")
        assert world.ledger.times[name] <= 1
        if outcome == name:
            assert world.ledger.times[name] == 1
    assert sum(outcome.startswith("lost") for outcome in result) <= 1


# -- cancellation ------------------------------------------------------------------------------------------------------


@workflow.defn
class Cancellable:
    @workflow.run
    async def run(self) -> str:
        try:
            await workflow.execute_activity("step", "begun")
            await asyncio.sleep(10**9)
        finally:
            await workflow.execute_activity("step", "cleaned up")
        return "?"


async def cancel_script(world: World, client: Client) -> Any:
    handle = await start(client, Cancellable.run)
    while not world.ledger.times["begun"]:  # noqa: ASYNC110 - the ledger is of no event loop
        await asyncio.sleep(0)
    try:
        await insist(lambda: handle.cancel(reason="enough"))
    except RPCError as error:
        not_found(error)
    try:
        return await handle.result()
    except WorkflowFailureError as error:
        return type(error.cause).__name__


def cancel_check(world: World, result: Any, runs: dict[str, list[AnyEvent]]) -> None:
    assert result == "CancelledError"
    done_once(world, "begun", "cleaned up")


# -- a workflow that is retried ----------------------------------------------------------------------------------------


@workflow.defn
class Retried:
    @workflow.run
    async def run(self) -> int:
        attempt = workflow.info().attempt
        await workflow.execute_activity("step", f"attempt {attempt}")
        if attempt < 3:
            raise ApplicationError("again")
        return attempt


async def retried_script(world: World, client: Client) -> Any:
    return await (await start(client, Retried.run, retry_policy=QUICK)).result()


def retried_check(world: World, result: Any, runs: dict[str, list[AnyEvent]]) -> None:
    assert result == 3
    done_once(world, "attempt 1", "attempt 2", "attempt 3")
    assert len(runs) == 3


# -- many clients at once ----------------------------------------------------------------------------------------------


async def crowd_script(world: World, client: Client) -> Any:
    """Clients that don't wait for each other: what is acknowledged while other commits are under way must be as
    durable."""
    workflows = range(4)
    handles = [
        await insist(lambda n=n: client.start_workflow(Collector.run, id=f"crowd {n}", request_id=f"start {n}"))  # type: ignore[misc]
        for n in workflows
    ]

    async def shout(n: int, voice: int) -> None:
        for value in range(3):
            await signal(world, handles[n], "add", 100 * n + 10 * voice + value)

    async with asyncio.TaskGroup() as group:
        for n in workflows:
            for voice in range(4):
                group.create_task(shout(n, voice))
    for n in workflows:
        try:
            if f"closed {n}" not in world.acknowledged:
                await insist(lambda n=n: handles[n].signal("close", "", request_id="close"))  # type: ignore[misc]
                world.acknowledged[f"closed {n}"] = True
        except RPCError as error:
            not_found(error)
    return [await handle.result() for handle in handles]


def crowd_check(world: World, result: Any, runs: dict[str, list[AnyEvent]]) -> None:
    assert len(runs) == 4
    for n, seen in enumerate(result):
        assert sorted(seen) == [100 * n + 10 * voice + value for voice in range(4) for value in range(3)]
        for voice in range(4):
            mine = [value for value in seen if value // 10 % 10 == voice]
            assert mine == sorted(mine), "signals of one sender in another order"


def with_steps(*workflows: type[Any]) -> Callable[[Ledger], tuple[Sequence[type[Any]], Sequence[Callable[..., Any]]]]:
    return lambda ledger: (workflows, [steps(ledger)])


# -- pauses ------------------------------------------------------------------------------------------------------------


async def pauses_script(world: World, client: Client) -> Any:
    """Paused and unpaused again and again, with signals in between; whatever gets lost is asked for once more."""
    handle = await start(client, Collector.run)
    for value in range(4):
        if f"goes on {value}" not in world.acknowledged:
            await insist(lambda: handle.pause("for a while"))
            await signal(world, handle, "add", value)
            await insist(lambda: handle.unpause())
            world.acknowledged[f"goes on {value}"] = True
    await close(world, handle, "close")
    return await handle.result()


def pauses_check(world: World, result: Any, runs: dict[str, list[AnyEvent]]) -> None:
    assert result == [0, 1, 2, 3]
    done_once(world, *(f"value {value}" for value in range(4)))


SCENARIOS = [
    Scenario("sequential", with_steps(Sequential), sequential_script, sequential_check),
    Scenario("timers", with_steps(Timers), timers_script, timers_check),
    Scenario("signals", with_steps(Collector), signals_script, signals_check),
    Scenario("children", with_steps(Parent, Child), children_script, children_check),
    Scenario("updates", with_steps(Account), updates_script, updates_check),
    Scenario("continue-as-new", with_steps(Counter), continue_script, continue_check),
    Scenario("saga", make_saga, saga_script, saga_check),
    Scenario("parallel", with_steps(Parallel), parallel_script, parallel_check),
    Scenario("retries", make_retries, retries_script, retries_check),
    Scenario("at-most-once", with_steps(AtMostOnce), at_most_once_script, at_most_once_check),
    Scenario("cancel", with_steps(Cancellable), cancel_script, cancel_check),
    Scenario("crowd", with_steps(Collector), crowd_script, crowd_check),
    Scenario("pauses", with_steps(Collector), pauses_script, pauses_check),
    Scenario("workflow-retry", with_steps(Retried), retried_script, retried_check),
    Scenario("named-steps", make_named_steps, named_steps_script, named_steps_check),
]


def new_world(scenario: Scenario, url: str) -> World:
    """A world in which nothing has happened yet."""
    world = World(url, (), ())
    world.workflows, world.activities = scenario.make(world.ledger)
    return world
