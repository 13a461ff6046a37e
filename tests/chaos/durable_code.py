"""The durable code that the workers of the chaos suite serve, and what must come of it.

The ledger is a file to which each attempt of an activity appends one line when it begins to take effect: it stands for
the outside world. Its name is in the environment, as CHAOS_LEDGER.
"""

from __future__ import annotations

import asyncio
import functools
import os
import time
from datetime import timedelta
from typing import Any

from tenuto import activity, workflow
from tenuto.common import RetryPolicy
from tenuto.exceptions import ActivityError, ApplicationError

KINDS = (
    "chain",
    "fan_out",
    "sleeper",
    "listener",
    "account",
    "parent",
    "correspondent",
    "counter",
    "saga",
    "flaky",
    "long",
    "once",
)
SIGNALS = 6
UPDATES = 3
ROUNDS = 4
CHILDREN = 3
#: Steps of a long activity, and seconds that each takes; it is silent for less than its heartbeat timeout.
LONG_STEPS, LONG_STEP = 15, 0.15
HEARTBEAT_TIMEOUT = 2.0
#: What becomes of an activity that may run only once and whose worker went away.
LOST = "lost"

QUICK = RetryPolicy(initial_interval=timedelta(milliseconds=50), maximum_interval=timedelta(seconds=2))
NO_RETRY = RetryPolicy(maximum_attempts=1)


@functools.cache
def _ledger() -> int:
    return os.open(os.environ["CHAOS_LEDGER"], os.O_APPEND | os.O_CREAT | os.O_WRONLY)


def note(what: str) -> None:
    """Append a line to the ledger: one write, so that it is there as a whole or not at all."""
    info = activity.info()
    os.write(_ledger(), f"{time.time():.3f} {os.getpid()} {info.idempotency_key} {info.attempt} {what}\n".encode())


@activity.defn(retry_policy=QUICK)
async def work(what: str) -> str:
    note(what)
    await asyncio.sleep(0.01)
    return what


@activity.defn(retry_policy=QUICK)
def work_in_thread(what: str) -> str:
    note(what)
    time.sleep(0.005)
    return what


@activity.defn
async def refuse(what: str) -> str:
    note(what)
    raise ApplicationError("no", non_retryable=True)


@activity.defn(retry_policy=QUICK)
async def stumble(what: str) -> str:
    note(what)
    if activity.info().attempt < 3:
        raise RuntimeError("stumbled")
    return what


@activity.defn(retry_policy=QUICK, heartbeat_timeout=HEARTBEAT_TIMEOUT)
async def work_long(what: str) -> int:
    """Takes its time, and begins where the attempt before it was last heard of."""
    note(what)
    details = activity.info().heartbeat_details
    for step in range(details[0] if details else 0, LONG_STEPS):
        await asyncio.sleep(LONG_STEP)
        activity.heartbeat(step + 1)
    return LONG_STEPS


@activity.defn(retry_policy=NO_RETRY, start_to_close_timeout=timedelta(seconds=20))
async def work_once(what: str) -> str:
    note(what)
    await asyncio.sleep(0.1)
    return what


@workflow.defn
class Chaos:
    """Behaves as its kind says; every kind ends with what it was given to do."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.letters: list[list[Any]] = []
        self.closed = False

    @workflow.run
    async def run(self, kind: str, name: str, round: int) -> Any:
        return await getattr(self, kind)(name, round)

    async def probe(self, name: str, _: int) -> str:
        return name

    async def chain(self, name: str, _: int) -> list[str]:
        done = [await work(f"{name}-{number}") for number in range(4)]
        return [*done, await workflow.execute_activity(work_in_thread, f"{name}-4")]

    async def fan_out(self, name: str, _: int) -> list[str]:
        return list(await asyncio.gather(*(work(f"{name}-{number}") for number in range(10))))

    async def sleeper(self, name: str, _: int) -> str:
        for number in range(4):
            await asyncio.sleep(0.7)
            await work(f"{name}-{number}")
        return name

    async def listener(self, name: str, _: int) -> list[int]:
        await workflow.wait_condition(lambda: self.closed)
        await work(f"{name}-heard")
        return self.heard

    async def account(self, name: str, _: int) -> list[int]:
        await workflow.wait_condition(lambda: self.closed)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.heard

    async def parent(self, name: str, _: int) -> list[str]:
        children = (
            workflow.execute_child_workflow(Chaos.run, args=["child", f"{name}-{number}", 0], id=f"{name}-{number}")
            for number in range(CHILDREN)
        )
        return list(await asyncio.gather(*children))

    async def child(self, name: str, _: int) -> str:
        await asyncio.sleep(0.3)
        return await work(name)

    async def correspondent(self, name: str, _: int) -> list[list[Any]]:
        """Gets letters from its children; returns those of each in the order in which they came."""
        children = [
            await workflow.start_child_workflow(
                Chaos.run, args=["writer", f"{name}-{number}", number], id=f"{name}-{number}"
            )
            for number in range(2)
        ]
        for child in children:
            await child
        return [[letter for writer, letter in self.letters if writer == number] for number in range(2)]

    async def writer(self, name: str, number: int) -> None:
        above = workflow.info().parent
        assert above is not None
        for letter in range(3):
            await work(f"{name}-{letter}")
            await workflow.get_external_workflow_handle(above.workflow_id).signal(Chaos.receive, args=[number, letter])

    async def counter(self, name: str, round: int) -> int:
        await work(f"{name}-{round}")
        await asyncio.sleep(0.2)
        if round < ROUNDS - 1:
            workflow.continue_as_new(args=["counter", name, round + 1])
        return round

    async def saga(self, name: str, _: int) -> list[str]:
        done = [await work(f"{name}-1"), await work(f"{name}-2")]
        try:
            await workflow.execute_activity(refuse, f"{name}-3")
        except ActivityError:
            for what in reversed(done[:]):
                done.append(await work(f"{what}-undone"))
        return done

    async def flaky(self, name: str, _: int) -> str:
        return await stumble(name)

    async def long(self, name: str, _: int) -> int:
        return await work_long(name)

    async def once(self, name: str, _: int) -> list[str]:
        done = []
        for number in range(3):
            try:
                done.append(await work_once(f"{name}-{number}"))
            except ActivityError:
                done.append(LOST)
        return done

    @workflow.signal
    def hear(self, value: int) -> None:
        self.heard.append(value)

    @workflow.signal
    def receive(self, writer: int, letter: int) -> None:
        self.letters.append([writer, letter])

    @workflow.signal
    def close(self) -> None:
        self.closed = True

    @workflow.update
    async def put(self, value: int) -> int:
        await work(f"{workflow.info().workflow_id}-put-{value}")
        self.heard.append(value)
        return value


def kind_of(number: int) -> str:
    return KINDS[number % len(KINDS)]


def name_of(number: int) -> str:
    return f"{kind_of(number)}-{number}"


def expected(number: int) -> tuple[Any, set[str]]:
    """The result of a workflow, and what the ledger must have of it. Of `once` each part may be lost."""
    name, kind = name_of(number), kind_of(number)
    match kind:
        case "chain":
            done = [f"{name}-{step}" for step in range(5)]
            return done, set(done)
        case "fan_out":
            done = [f"{name}-{step}" for step in range(10)]
            return done, set(done)
        case "sleeper":
            return name, {f"{name}-{step}" for step in range(4)}
        case "listener":
            return list(range(SIGNALS)), {f"{name}-heard"}
        case "account":
            return list(range(UPDATES)), {f"{name}-put-{value}" for value in range(UPDATES)}
        case "parent":
            done = [f"{name}-{child}" for child in range(CHILDREN)]
            return done, set(done)
        case "correspondent":
            return [[0, 1, 2]] * 2, {f"{name}-{writer}-{letter}" for writer in range(2) for letter in range(3)}
        case "counter":
            return ROUNDS - 1, {f"{name}-{round}" for round in range(ROUNDS)}
        case "saga":
            done = [f"{name}-1", f"{name}-2", f"{name}-2-undone", f"{name}-1-undone"]
            return done, {*done, f"{name}-3"}
        case "flaky":
            return name, {name}
        case "long":
            return LONG_STEPS, {name}
        case _:
            done = [f"{name}-{step}" for step in range(3)]
            return done, set(done)
