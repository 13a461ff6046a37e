"""A backup that was taken while everything ran, restored into another database: all of it goes on to its end there."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import httpx
import pytest

from tenuto import activity, workflow
from tenuto.client import Client
from tenuto.server.app import build_app
from tenuto.server.run import opened
from tenuto.server.settings import Settings
from tenuto.worker import Worker
from tests.support.conductor import Conductor, node, simple, task_def
from tests.support.conductor import workflow as graph
from tests.support.durable import history, serving, until
from tests.support.postgres import connected, postgres_url, programs

KEY = "A" * 43 + "="


class World:
    """What happens outside of the workflows."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.gate = asyncio.Event()


@activity.defn
async def note(text: str) -> str:
    return text


@activity.defn
async def hold() -> str:
    """Runs until it is let go."""
    world.keys.append(activity.info().idempotency_key)
    await world.gate.wait()
    return f"attempt {activity.info().attempt}"


@workflow.defn
class Sleeps:
    @workflow.run
    async def run(self) -> str:
        await asyncio.sleep(1)
        return await note("slept")


@workflow.defn
class Works:
    @workflow.run
    async def run(self) -> str:
        return await hold()


@workflow.defn
class WorksElsewhere:
    @workflow.run
    async def run(self) -> str:
        found: str = await workflow.execute_activity(hold, task_queue="elsewhere")
        return found


@workflow.defn
class Waits:
    def __init__(self) -> None:
        self.heard: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: "end" in self.heard)
        return self.heard

    @workflow.signal
    def hear(self, word: str) -> None:
        self.heard.append(word)


@workflow.defn
class Parent:
    @workflow.run
    async def run(self) -> list[str]:
        return [await workflow.execute_child_workflow(Sleeps.run, id="child"), await note("after the child")]


WORKFLOWS = [Sleeps, Works, WorksElsewhere, Waits, Parent]
world = World()


class Shop:
    """A server with code, and a worker beside it."""

    def __init__(self, client: Client, conductor: Conductor) -> None:
        self.client = client
        self.conductor = conductor


@asynccontextmanager
async def shop(url: str) -> AsyncIterator[Shop]:
    clients: list[Client] = []

    def make_worker(client: Client) -> Worker:
        clients.append(client)
        return Worker(client, workflows=WORKFLOWS, activities=[hold, note])

    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(opened(Settings(db=url, secrets_key=KEY), make_worker=make_worker))
        await stack.enter_async_context(serving(url=url, activities=[hold], task_queue="elsewhere"))
        transport = httpx.ASGITransport(build_app(services))
        http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://shop/api"))
        yield Shop(clients[0], Conductor(services, http))


@pytest.fixture
def url() -> Iterator[str]:
    with postgres_url() as made:
        yield made


@pytest.fixture
async def copy(url: str) -> AsyncIterator[str]:
    """The URL of a store of the same name in a database that is still empty."""
    name = f"copy_{uuid4().hex}"
    async with connected() as connection:
        await connection.execute(f"CREATE DATABASE {name}")
        yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def run(program: str, *arguments: str) -> None:
    found = shutil.which(program) if "DATABASE_URL" in os.environ else str(programs() / program)
    assert found, f"{program} is needed"
    done = await asyncio.to_thread(subprocess.run, [found, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


async def test_a_restored_backup_goes_on_where_it_was_taken(url: str, copy: str, tmp_path: Path) -> None:
    world.__init__()  # type: ignore[misc]  # its events belong to the test's loop
    dump = tmp_path / "tenuto.dump"
    async with shop(url) as first:
        for each in WORKFLOWS:
            await first.client.start_workflow(each.run, id=each.__name__)
        await first.client.get_workflow_handle("Waits").signal(Waits.hear, "before")
        assert await first.client.execute_workflow(Sleeps.run, id="closed") == "slept"
        await first.conductor.client.put("/secrets/door", content="sesame")
        works = graph("graph", simple("work", {"key": "${workflow.secrets.door}"}), node("WAIT", "wait"))
        await first.conductor.register(task_def("work", responseTimeoutSeconds=1, retryCount=3, retryDelaySeconds=0))
        id = await first.conductor.run(works)
        taken = await first.conductor.poll("work")
        await until(lambda: len(world.keys) == 2, 20)
        await until(lambda: both_are_on_record(first.client), 20)

        place = urlsplit(url)
        schema = place.query.partition("schema=")[2].partition("&")[0]
        source = urlunsplit(place._replace(query=""))
        await run("pg_dump", "--format=custom", f"--schema={schema}", f"--file={dump}", source)

        # What is acknowledged from now on is not in the backup.
        await first.client.get_workflow_handle("Waits").signal(Waits.hear, "after")
        await first.client.start_workflow(Waits.run, id="late")
        before, world.keys = sorted(world.keys), []
    await run("pg_restore", "--exit-on-error", f"--dbname={urlunsplit(urlsplit(copy)._replace(query=''))}", str(dump))

    async with shop(copy) as second:
        client, conductor = second.client, second.conductor
        await until(lambda: len(world.keys) == 2, 20)
        assert sorted(world.keys) == before, "the same keys, so that what was done needs not be done again"
        world.gate.set()
        waits = client.get_workflow_handle("Waits")
        await waits.signal(Waits.hear, "end")
        async with asyncio.timeout(60):
            assert await waits.result() == ["before", "end"]
            assert await client.get_workflow_handle("Works").result() == "attempt 2"
            assert await client.get_workflow_handle("WorksElsewhere").result() == "attempt 2"
            assert await client.get_workflow_handle("Sleeps").result() == "slept"
            assert await client.get_workflow_handle("Parent").result() == ["slept", "after the child"]
        handed_out_again = await conductor.poll("work")
        assert handed_out_again["inputData"] == {"key": "sesame"}
        assert handed_out_again["taskId"] != taken["taskId"]
        await conductor.complete(handed_out_again)
        await conductor.update_by_reference(id, "wait")
        await conductor.until(id)
        assert await conductor.get("/secrets/door") == "sesame"
        assert await client.execute_workflow(Sleeps.run, id="new") == "slept"
        seen = [execution async for execution in client.list_workflows()]
        assert {execution.id for execution in seen} == {
            *(each.__name__ for each in WORKFLOWS),
            "child",
            "closed",
            "new",
            id,
        }
        for execution in seen:
            if execution.id != id:
                assert await history(client.get_workflow_handle(execution.id, run_id=execution.run_id))


async def both_are_on_record(client: Client) -> bool:
    """Whether the backup will know that the activities have begun."""
    for id in ("Works", "WorksElsewhere"):
        pending = (await client.get_workflow_handle(id).describe()).pending_activities
        if not pending or pending[0].started_time is None:
            return False
    return True
