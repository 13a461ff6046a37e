"""One SQLite file, many processes: one runs the engine, all are clients of it, and nobody meets a locked database."""

import json
from typing import Any

import pytest

from tests.contract.processes import finish, line_of, python
from tests.support.durable import an_id

#: What the processes below have in common.
CODE = """
import asyncio, json, sys
from tenuto import activity, workflow
from tenuto.client import Client
from tenuto.common import WorkflowIDReusePolicy
from tenuto.service import RPCError
from tenuto.worker import Worker

@activity.defn
async def echo(what: str) -> str:
    return what

@workflow.defn
class Cart:
    def __init__(self) -> None:
        self.items: list[str] = []
        self.out = False

    @workflow.run
    async def run(self, first: str) -> list[str]:
        self.items.append(await echo(first))
        await workflow.wait_condition(lambda: self.out)
        return self.items

    @workflow.signal
    def add(self, item: str) -> None:
        self.items.append(item)

    @workflow.query
    def contents(self) -> list[str]:
        return self.items

    @workflow.update
    async def put(self, item: str) -> int:
        self.items.append(await echo(item))
        return len(self.items)

    @put.validator
    def check(self, item: str) -> None:
        if not item:
            raise ValueError("nothing")

    @workflow.update
    def check_out(self) -> list[str]:
        self.out = True
        return self.items
"""

OWNER = (
    CODE
    + """
async def main():
    async with await Client.connect(sys.argv[1]) as client:
        async with Worker(client, workflows=[Cart], activities=[echo]):
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""
)


ALL_VERBS = (
    CODE
    + """
async def main():
    said = {}
    async with await Client.connect(sys.argv[1]) as client:
        handle = await client.start_workflow(Cart.run, "a", id="w")
        await handle.signal(Cart.add, "b", rpc_timeout=5)
        said["update"] = await handle.execute_update(Cart.put, "c", id="u")
        said["repeated"] = await handle.execute_update(Cart.put, "c", id="u")
        said["query"] = sorted(await handle.query(Cart.contents))
        try:
            await handle.execute_update(Cart.put, "")
        except Exception as error:
            said["refused"] = type(error).__name__
        said["status"] = (await handle.describe()).status.name
        await handle.execute_update(Cart.check_out)
        said["result"] = sorted(await handle.result())
        said["closed"] = sorted(await handle.query(Cart.contents))
        try:
            await handle.signal(Cart.add, "late")
        except RPCError as error:
            said["late"] = error.status.name
        stopped = await client.start_workflow(Cart.run, "x", id="stopped")
        await stopped.cancel(reason="from afar")
        killed = await client.start_workflow(Cart.run, "x", id="killed")
        await killed.terminate(reason="from afar")
        for handle in (stopped, killed):
            try:
                await handle.result()
            except Exception as error:
                said[handle.id] = type(error.cause).__name__
        said["listed"] = sorted([e.id async for e in client.list_workflows()])
        said["count"] = (await client.count_workflows()).count
        said["events"] = len((await client.get_workflow_handle("w").fetch_history()).events)
        try:
            await client.start_workflow(Cart.run, "a", id="w", id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE)
        except Exception as error:
            said["taken"] = type(error).__name__
    print(json.dumps(said))

asyncio.run(main())
"""
)


def test_another_process_can_do_all_that_a_client_can(url: str) -> None:
    with python(OWNER, url) as owner:
        assert line_of(owner) == "ready"
        with python(ALL_VERBS, url) as client:
            said: dict[str, Any] = json.loads(finish(client))
        finish(owner, "stop\n")
    assert said.pop("events") > 10
    assert said == {
        "update": 3,
        "repeated": 3,
        "query": ["a", "b", "c"],
        "refused": "WorkflowUpdateFailedError",
        "status": "RUNNING",
        "result": ["a", "b", "c"],
        "closed": ["a", "b", "c"],
        "late": "NOT_FOUND",
        "stopped": "CancelledError",
        "killed": "TerminatedError",
        "listed": ["killed", "stopped", "w"],
        "count": 3,
        "taken": "WorkflowAlreadyStartedError",
    }


SECOND_OWNER = (
    CODE
    + """
import tenuto.engine.gateway
import tenuto.worker
tenuto.worker.PATIENCE = 0.1

async def main():
    async with await Client.connect(sys.argv[1]) as client:
        try:
            async with Worker(client, workflows=[Cart], activities=[echo]):
                print("ran")
        except Exception as error:
            print(type(error).__name__, error)

asyncio.run(main())
"""
)


@pytest.mark.own_store
def test_a_second_worker_process_is_told_who_owns_the_file(url: str) -> None:
    with python(OWNER, url) as owner:
        assert line_of(owner) == "ready"
        with python(SECOND_OWNER, url) as second:
            said = finish(second)
        finish(owner, "stop\n")
    assert said.startswith("StoreOwnedError")
    assert f"pid {owner.pid}" in said


STARTS = (
    CODE
    + """
async def main():
    async with await Client.connect(sys.argv[1]) as client:
        handle = await client.start_workflow(Cart.run, "a", id="w")
        await handle.signal(Cart.add, "b")
        print("started", flush=True)
        await handle.execute_update(Cart.check_out, rpc_timeout=20)
        print(sorted(await handle.result()))

asyncio.run(main())
"""
)


def test_a_client_without_an_owner_records_and_waits_and_an_owner_that_comes_goes_on(url: str) -> None:
    with python(STARTS, url) as client:
        assert line_of(client) == "started"
        with python(OWNER, url) as owner:
            assert line_of(owner) == "ready"
            assert finish(client) == "['a', 'b']\n"
            finish(owner, "stop\n")


def test_a_client_outlives_an_owner_that_is_killed(url: str) -> None:
    with python(OWNER, url) as owner:
        assert line_of(owner) == "ready"
        with python(WAITS, url) as client:
            assert line_of(client) == "started"
            owner.kill()
            owner.wait()
            with python(OWNER, url) as next_owner:
                assert line_of(next_owner) == "ready"
                assert finish(client, "go on\n") == "['a', 'b']\n"
                finish(next_owner, "stop\n")


WAITS = (
    CODE
    + """
async def main():
    async with await Client.connect(sys.argv[1]) as client:
        handle = await client.start_workflow(Cart.run, "a", id="w")
        result = asyncio.create_task(handle.result())
        print("started", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await handle.signal(Cart.add, "b")
        await handle.execute_update(Cart.check_out)
        print(sorted(await result))

asyncio.run(main())
"""
)


#: A process with several clients, each with a connection of its own and all at work at the same time.
CROWD = (
    CODE
    + """
async def work(url, name):
    async with await Client.connect(url) as client:
        for number in range(2):
            handle = await client.start_workflow(Cart.run, "first", id=f"{name}-{number}")
            await handle.signal(Cart.add, "second")
            await handle.execute_update(Cart.put, "third")
            assert len(await handle.query(Cart.contents)) == 3
            await handle.describe()
            await client.count_workflows()
            await handle.execute_update(Cart.check_out)
            assert sorted(await handle.result()) == ["first", "second", "third"]

async def main():
    url, name, clients = sys.argv[1], sys.argv[2], int(sys.argv[3])
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await asyncio.gather(*(work(url, f"{name}-{index}") for index in range(clients)))
    print("done")

asyncio.run(main())
"""
)


def test_fifty_concurrent_clients_in_ten_processes_never_meet_a_locked_database(url: str) -> None:
    prefix = an_id()
    with python(OWNER, url) as owner:
        assert line_of(owner) == "ready"
        crowd = [python(CROWD, url, f"{prefix}-{number}", 5) for number in range(10)]
        processes = [manager.__enter__() for manager in crowd]
        try:
            for process in processes:
                assert line_of(process) == "ready"
            for process in processes:
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            for process in processes:
                assert finish(process) == "done\n"
        finally:
            for manager in crowd:
                manager.__exit__(None, None, None)
        with python(COUNTS, url) as counter:
            assert json.loads(finish(counter)) == {"COMPLETED": 100}
        finish(owner, "stop\n")


COUNTS = (
    CODE
    + """
async def main():
    async with await Client.connect(sys.argv[1]) as client:
        counted = await client.count_workflows()
        print(json.dumps({status.name: number for status, number in counted.by_status.items()}))

asyncio.run(main())
"""
)
