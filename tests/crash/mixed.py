"""What the kill -9 tests run: one process that works on 200 mixed workflows of one file until it is killed.

    python -m tests.crash.mixed DATABASE LEDGER

The ledger is a file to which activities append one line for each effect: it stands for the outside world. The process
prints `working` as soon as its worker serves, and `done` once every workflow has ended.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import timedelta
from typing import Any

from tenuto import activity, workflow
from tenuto.client import Client, WorkflowFailureError
from tenuto.common import RetryPolicy
from tenuto.exceptions import ActivityError, ApplicationError
from tenuto.model.errors import RPCError, RPCStatusCode
from tenuto.worker import Worker

WORKFLOWS = 200
KINDS = ("steps", "sleeper", "listener", "parent", "saga", "account", "counter", "flaky")
_ledger: int = -1


def note(what: str) -> None:
    """Append a line to the ledger: one write, so that it is there as a whole or not at all."""
    os.write(_ledger, f"{activity.info().idempotency_key} {what}\n".encode())


@activity.defn
async def work(what: str) -> str:
    note(what)
    await asyncio.sleep(0.001)
    return what


@activity.defn
def work_in_thread(what: str) -> str:
    note(what)
    return what


@activity.defn
async def refuse(what: str) -> str:
    note(what)
    raise ApplicationError("no", non_retryable=True)


@activity.defn
async def stumble(what: str) -> int:
    note(what)
    if activity.info().attempt < 2:
        raise RuntimeError("stumbled")
    return 1


RETRY = RetryPolicy(initial_interval=timedelta(milliseconds=20))


@workflow.defn
class Mixed:
    """Behaves as its kind says; every kind ends with what it was given to do."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.closed = False

    @workflow.run
    async def run(self, kind: str, name: str, round: int) -> Any:
        return await getattr(self, kind)(name, round)

    async def steps(self, name: str, _: int) -> list[str]:
        done = [await work(f"{name}-{number}") for number in range(3)]
        return [*done, *await asyncio.gather(work_(f"{name}-x"), work(f"{name}-y"), work(f"{name}-z"))]

    async def sleeper(self, name: str, _: int) -> str:
        for number in range(3):
            await asyncio.sleep(0.05)
            await work(f"{name}-{number}")
        return name

    async def listener(self, name: str, _: int) -> list[int]:
        await workflow.wait_condition(lambda: self.closed)
        await work(f"{name}-heard")
        return self.heard

    async def parent(self, name: str, _: int) -> list[Any]:
        return list(
            await asyncio.gather(
                *(
                    workflow.execute_child_workflow(Mixed.run, args=["child", f"{name}-{n}", 0], id=f"{name}-{n}")
                    for n in range(2)
                )
            )
        )

    async def child(self, name: str, _: int) -> str:
        return await work(name)

    async def saga(self, name: str, _: int) -> list[str]:
        done = [await work(f"{name}-1"), await work(f"{name}-2")]
        try:
            await workflow.execute_activity(refuse, f"{name}-3")
        except ActivityError:
            for what in reversed(done[:]):
                done.append(await work(f"{what}-undone"))
        return done

    async def account(self, name: str, _: int) -> list[int]:
        await workflow.wait_condition(lambda: self.closed)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.heard

    async def counter(self, name: str, round: int) -> int:
        await work(f"{name}-{round}")
        if round < 3:
            workflow.continue_as_new(args=["counter", name, round + 1])
        return round

    async def flaky(self, name: str, _: int) -> int:
        return await workflow.execute_activity(stumble, name, retry_policy=RETRY)

    @workflow.signal
    def hear(self, value: int) -> None:
        self.heard.append(value)

    @workflow.signal
    def close(self) -> None:
        self.closed = True

    @workflow.update
    async def put(self, value: int) -> int:
        await work(f"{workflow.info().workflow_id}-put-{value}")
        self.heard.append(value)
        return value


async def work_(what: str) -> str:
    return await workflow.execute_activity(work_in_thread, what)


def kind_of(number: int) -> str:
    return KINDS[number % len(KINDS)]


def name_of(number: int) -> str:
    return f"{kind_of(number)}-{number}"


def expected(number: int) -> tuple[Any, set[str]]:
    """The result of a workflow, and what the ledger must have of it."""
    name = name_of(number)
    match kind_of(number):
        case "steps":
            done = [f"{name}-{what}" for what in (0, 1, 2, "x", "y", "z")]
            return done, set(done)
        case "sleeper":
            return name, {f"{name}-{what}" for what in range(3)}
        case "listener":
            return [0, 1, 2], {f"{name}-heard"}
        case "parent":
            done = [f"{name}-0", f"{name}-1"]
            return done, set(done)
        case "saga":
            done = [f"{name}-1", f"{name}-2", f"{name}-2-undone", f"{name}-1-undone"]
            return done, {*done, f"{name}-3"}
        case "account":
            return [0, 1], {f"{name}-put-0", f"{name}-put-1"}
        case "counter":
            return 3, {f"{name}-{round}" for round in range(4)}
        case _:
            return 1, {name}


async def see_through(client: Client, number: int) -> Any:
    """Start one workflow, tell it all that it waits for, and wait for its end; harmless when it is repeated."""
    name, kind = name_of(number), kind_of(number)
    handle = await client.start_workflow(Mixed.run, args=[kind, name, 0], id=name, request_id=name)
    try:
        if kind == "listener":
            for value in range(3):
                await handle.signal(Mixed.hear, value, request_id=f"{name} {value}")
            await handle.signal(Mixed.close, request_id=f"{name} close")
        elif kind == "account":
            for value in range(2):
                await handle.execute_update(Mixed.put, value, id=f"put {value}")
            await handle.signal(Mixed.close, request_id=f"{name} close")
    except RPCError as error:
        # A life before got as far as to close it, without living to hear of it.
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
    try:
        return await handle.result()
    except WorkflowFailureError as error:
        return repr(error.cause)


async def main(database: str, ledger: str) -> None:
    global _ledger
    _ledger = os.open(ledger, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    async with (
        await Client.connect(f"sqlite:///{database}") as client,
        Worker(client, workflows=[Mixed], activities=[work, work_in_thread, refuse, stumble], max_cached_workflows=100),
    ):
        print("working", flush=True)
        await asyncio.gather(*(see_through(client, number) for number in range(WORKFLOWS)))
        print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
