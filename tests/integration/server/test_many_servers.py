"""Several servers on one store: each answers for all, and nothing is done twice or lost when they come and go."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext, suppress
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tenuto import workflow as code
from tenuto.client import Client
from tenuto.engine.task_entries import queue_name
from tenuto.server.settings import Settings
from tenuto.store.protocol import PARTITIONS, TaskKind, TaskRow
from tenuto.worker import Worker
from tests.integration.server.conftest import KEY, TLS, Served, evenly_spread, served
from tests.support.conductor import Conductor, node, simple, sub_workflow, task_def, workflow
from tests.support.durable import until
from tests.support.postgres import postgres_url

Json = Any


@pytest.fixture(params=["memory", "postgres"])
def settings(request: pytest.FixtureRequest) -> Iterator[Settings]:
    with nullcontext(f"memory://{uuid4()}") if request.param == "memory" else postgres_url() as url:
        yield Settings(db=url, port=0, secrets_key=KEY)


@pytest.fixture
async def servers(settings: Settings) -> AsyncIterator[list[Conductor]]:
    """Three servers, each of which owns its share."""
    async with AsyncExitStack() as stack:
        running = [await stack.enter_async_context(served(settings)) for _ in range(3)]
        await until(lambda: evenly_spread([each.services for each in running]), 20)
        yield [each.conductor for each in running]


class Workers:
    """Work at several servers in turn, one poll each, and note what they got."""

    def __init__(self, type: str, seconds: float = 0.0) -> None:
        self.type = type
        self.seconds = seconds
        self.seen: Counter[str] = Counter()
        self.out = 0
        self.most_out = 0

    async def work(self, choose: Callable[[], Conductor]) -> None:
        """Poll and complete for ever."""
        while True:
            with suppress(httpx.HTTPError):
                for task in await choose().poll_batch(self.type, 3, timeout=100):
                    await self._do(choose, task)

    async def _do(self, choose: Callable[[], Conductor], task: Json) -> None:
        self.seen[task["taskId"]] += 1
        self.out += 1
        self.most_out = max(self.most_out, self.out)
        await asyncio.sleep(self.seconds)
        self.out -= 1
        while True:
            with suppress(httpx.HTTPError, AssertionError):
                return await choose().complete(task, {"done": True})  # type: ignore[no-any-return]
            await asyncio.sleep(0.05)

    @asynccontextmanager
    async def at(self, *choices: Callable[[], Conductor]) -> AsyncIterator[None]:
        working = [asyncio.create_task(self.work(choose)) for choose in choices]
        try:
            yield
        finally:
            for each in working:
                each.cancel()
            await asyncio.gather(*working, return_exceptions=True)


async def all_completed(conductor: Conductor, ids: list[str], seconds: float = 60) -> None:
    left = list(ids)

    async def are_completed() -> bool:
        nonlocal left
        left = [id for id in left if await conductor.status(id) != "COMPLETED"]
        return not left

    await until(are_completed, seconds)


async def test_one_worker_at_one_server_does_the_work_of_all(servers: list[Conductor]) -> None:
    first, second, third = servers
    await first.register(workflow("two_steps", simple("step"), simple("again", name="step")))
    ids = [await server.start("two_steps") for server in (first, second, third) for _ in range(5)]
    workers = Workers("step")
    async with workers.at(lambda: second):
        await all_completed(third, ids)
    assert len(workers.seen) == 30
    assert set(workers.seen.values()) == {1}
    for id in ids:
        assert [task["pollCount"] for task in await first.tasks(id)] == [1, 1]


async def test_a_waiting_poll_gets_what_is_scheduled_elsewhere(servers: list[Conductor]) -> None:
    first, second, _ = servers
    await first.register(workflow("w", simple("t")))
    for here, there in ((first, second), (second, first)):
        waiting = asyncio.create_task(here.poll_batch("t", 1, timeout=10_000))
        await until(lambda here=here: here.services.graphs.queues.backlogs().get(("t", "")))
        id = await there.start("w")
        [task] = await waiting
        assert task["workflowInstanceId"] == id
        await here.complete(task)


async def test_definitions_are_known_everywhere_at_once(servers: list[Conductor]) -> None:
    first, second, third = servers
    for version in range(1, 5):
        await first.register(workflow("w", node("NOOP", "n"), version=version))
        assert (await second.get("/metadata/workflow/w"))["version"] == version
        id = await third.start("w")
        assert (await third.workflow(id))["workflowVersion"] == version
    await second.call("DELETE", "/metadata/workflow/w/4")
    assert (await first.get("/metadata/workflow/w"))["version"] == 3
    await second.register(task_def("t", retryCount=7))
    assert (await third.get("/metadata/taskdefs/t"))["retryCount"] == 7
    await third.post("/metadata/workflow", workflow("w", node("NOOP", "n"), version=3), expect=409)


async def is_open(server: Conductor, id: str) -> bool:
    """Has the start of a sub-workflow arrived where it lives?"""
    return bool(await server.services.graphs.look(id, lambda graph: bool(graph.state.open)))


async def test_sub_workflows_and_signals_cross_servers(servers: list[Conductor]) -> None:
    first, second, third = servers
    await first.register(workflow("child", node("WAIT", "waits")), workflow("parent", sub_workflow("sub", "child")))
    keyed = sub_workflow("sub", "child", idempotencyKey="${workflow.input.key}", idempotencyStrategy="RETURN_EXISTING")
    await first.register(workflow("keyed", keyed))
    for number in range(6):  # an id that follows from a key is anywhere
        id = await second.start("keyed", {"key": f"k{number}"})
        await third.until_task(id, "sub", "IN_PROGRESS")
        child = (await first.task(id, "sub"))["subWorkflowId"]
        await until(partial(is_open, third, child), 20)
        await first.post(f"/tasks/{id}/COMPLETED/signal", {"x": number})
        assert (await third.until(id))["status"] == "COMPLETED"


async def test_a_task_is_given_back_when_its_poller_has_gone(servers: list[Conductor]) -> None:
    first, second, third = servers
    await first.register(workflow("w", simple("t")))
    for _ in range(10):
        waiting = asyncio.create_task(second.poll_batch("t", 1, timeout=10_000))
        await asyncio.sleep(0.02)
        starting = asyncio.create_task(first.start("w"))
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        id = await starting
        task = await third.poll("t")
        assert task["workflowInstanceId"] == id
        await third.complete(task)


async def test_what_a_server_has_claimed_and_forgotten_is_had_by_others_and_leaves_nothing(settings: Settings) -> None:
    async with served(settings) as first, served(settings) as second:
        await until(lambda: evenly_spread([first.services, second.services]), 20)
        await first.conductor.register(workflow("w", simple("t")))
        ids = [await first.conductor.start("w") for _ in range(20)]
        forgetful, store = first.services.engine, second.services.engine.store
        long_ago = forgetful.clock.now() - 60 * 1_000_000_000
        claimed: list[TaskRow] = []
        async with asyncio.timeout(20):
            while len(claimed) < len(ids):
                claimed += await store.claim(
                    forgetful.ownership.owner, queue_name("t", ""), (TaskKind.GRAPH,), len(ids), long_ago
                )
        forgetful.lose(1)
        async with Workers("t").at(lambda: first.conductor, lambda: second.conductor):
            await all_completed(second.conductor, ids, 30)
        async with asyncio.timeout(20):
            while await store.claims(range(PARTITIONS), 0):  # noqa: ASYNC110 - a store tells nobody
                await asyncio.sleep(0.05)


async def test_concurrent_tasks_are_counted_over_all_servers(servers: list[Conductor]) -> None:
    await servers[0].register(task_def("limited", concurrentExecLimit=1), workflow("w", simple("limited")))
    workers = Workers("limited", 0.01)
    ids = [await server.start("w") for _ in range(6) for server in servers]
    async with workers.at(*(lambda server=server: server for server in servers)):
        await all_completed(servers[0], ids)
    assert workers.most_out == 1
    assert set(workers.seen.values()) == {1}


async def test_concurrent_workflows_are_counted_over_all_servers(servers: list[Conductor]) -> None:
    definition = workflow("w", simple("t"), rateLimitConfig={"rateLimitKey": "k", "concurrentExecLimit": 2})
    await servers[0].register(definition)
    workers = Workers("t", 0.02)
    ids = [await server.start("w") for _ in range(5) for server in servers]
    async with workers.at(*(lambda server=server: server for server in servers)):
        await all_completed(servers[0], ids)
    assert workers.most_out <= 2


async def test_rates_hold_over_all_servers(servers: list[Conductor]) -> None:
    definition = task_def("t", rateLimitPerFrequency=3, rateLimitFrequencyInSeconds=2)
    await servers[0].register(definition, workflow("w", simple("t")))
    loop = asyncio.get_running_loop()
    for _ in range(3):
        for server in servers:
            await server.start("w")
    times: list[float] = []
    while len(times) < 9:
        for server in servers:
            times += [loop.time()] * len(await server.poll_batch("t", 5, timeout=100))
    for early, late in zip(times, times[3:], strict=False):
        assert late - early > 1.5


async def test_a_schedule_starts_one_workflow_at_each_moment(servers: list[Conductor]) -> None:
    first, second, _ = servers
    await first.register(workflow("target", node("NOOP", "n")))
    request = {"name": "often", "cronExpression": "* * * * * *", "startWorkflowRequest": {"name": "target"}}
    await first.post("/scheduler/schedules", request)

    async def executions() -> list[Json]:
        found: list[Json] = (await second.get("/scheduler/search/executions"))["results"]
        return found if len(found) >= 3 else []

    found = await until(executions, 20)
    assert len({each["scheduledTime"] for each in found}) == len(found)
    started = (await second.get("/workflow/search", query='workflowType = "target"'))["totalHits"]
    assert started <= len(await executions()) + 1


# -- durable code in other processes -----------------------------------------------------------------------------------


@code.defn
class Doubled:
    @code.run
    async def run(self, input: Json) -> Json:
        return {"doubled": 2 * input["number"]}


@code.defn
class Calls:
    @code.run
    async def run(self, number: int) -> Json:
        return await code.execute_child_workflow("added", {"number": number}, id=f"graph-{number}")


async def test_graphs_and_code_of_other_processes_call_each_other(servers: list[Conductor], settings: Settings) -> None:
    added = workflow(
        "added", node("NOOP", "n"), outputParameters={"added": "${workflow.input.number}"}, inputParameters=["number"]
    )
    await servers[0].register(added, workflow("calls", sub_workflow("sub", "Doubled", {"number": 21})))
    async with (
        await Client.connect(settings.db) as client,
        Worker(client, workflows=[Doubled, Calls]),
    ):
        await until(lambda: all(server.services.graphs.catalog.code("Doubled") for server in servers), 20)
        for server in servers:
            id = await server.start("calls")
            assert (await server.until(id))["tasks"][0]["outputData"]["doubled"] == 42
        assert await client.execute_workflow(Calls.run, 5, id="caller") == {"added": 5}
        assert await servers[1].status("graph-5") == "COMPLETED"


# -- servers come and go -----------------------------------------------------------------------------------------------

Join = Callable[[], AbstractAsyncContextManager[Served]]


class Balancer:
    """What a load balancer does: requests go to the servers that are there, in turn. Its connections outlive them, so
    that whatever a server answers before it goes arrives."""

    def __init__(self) -> None:
        self.servers: list[Conductor] = []
        self._clients = AsyncExitStack()
        self._next = 0

    async def __aenter__(self) -> Balancer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._clients.aclose()

    def choose(self) -> Conductor:
        self._next += 1
        return self.servers[self._next % len(self.servers)]

    @asynccontextmanager
    async def join(self, settings: Settings) -> AsyncIterator[Served]:
        async with served(settings) as running:
            client = httpx.AsyncClient(base_url=f"{running.url}/api", timeout=20, verify=TLS)
            conductor = Conductor(running.services, await self._clients.enter_async_context(client))
            self.servers.append(conductor)
            try:
                yield running
            finally:
                self.servers.remove(conductor)


async def keep_starting(balancer: Balancer, ids: list[str]) -> None:
    while True:
        with suppress(httpx.HTTPError):
            ids.append(await balancer.choose().start("w", {"n": len(ids)}))
        await asyncio.sleep(0.01)


async def test_servers_come_and_go_under_load(settings: Settings) -> None:
    workers = Workers("work")
    ids: list[str] = []

    async with Balancer() as balancer, balancer.join(settings) as first:
        script = node("INLINE", "script", {"evaluatorType": "javascript", "expression": "40 + 2"})
        await first.conductor.register(workflow("w", simple("work"), script, simple("more", name="work")))
        async with workers.at(*[balancer.choose] * 4):
            starting = asyncio.create_task(keep_starting(balancer, ids))
            async with balancer.join(settings) as second:
                await until(lambda: evenly_spread([first.services, second.services]), 30)
                async with balancer.join(settings) as third:
                    await until(lambda: evenly_spread([each.services for each in (first, second, third)]), 30)
                await until(lambda: evenly_spread([first.services, second.services]), 30)
            await until(lambda: evenly_spread([first.services]), 30)
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await all_completed(first.conductor, ids, 90)
    twice = {task_id: times for task_id, times in workers.seen.items() if times > 1}
    assert not twice, f"{len(twice)} of {len(workers.seen)} tasks were handed out more than once"
    assert len(workers.seen) >= 2 * len(ids)


async def test_a_system_task_goes_on_while_its_workflow_moves(settings: Settings) -> None:
    calls, moved = 0, asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        await reader.readuntil(b"\r\n\r\n")
        calls += 1
        await moved.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    slow = await asyncio.start_server(answer, "127.0.0.1", 0)
    uri = f"http://127.0.0.1:{slow.sockets[0].getsockname()[1]}/"
    async with slow, Balancer() as balancer, balancer.join(settings) as first:
        http = node("HTTP", "call", {"http_request": {"uri": uri, "method": "GET", "readTimeOut": 60_000}})
        await first.conductor.register(workflow("w", http))
        ids = [await first.conductor.start("w") for _ in range(20)]
        await until(lambda: calls == 20)
        async with balancer.join(settings) as second:
            await until(lambda: evenly_spread([first.services, second.services]), 30)
            assert await second.conductor.status(ids[0]) == "RUNNING", "nobody waited for the calls"
            moved.set()
            await all_completed(second.conductor, ids, 30)
    assert calls == 20
