"""The end of a server process in the midst of work: what waits is answered, what runs goes on with the next start."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.cli_processes import Shop, shop_with
from tests.integration.server.test_process import begin
from tests.support.conductor import node, simple, workflow


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with shop_with(tmp_path, "") as made:
        yield made


class SlowService:
    """Answers HTTP requests when it is told to."""

    def __init__(self) -> None:
        self.url = ""
        self.called = asyncio.Event()
        self.answers = asyncio.Event()


@asynccontextmanager
async def slow_service() -> AsyncIterator[SlowService]:
    service = SlowService()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            service.called.set()
            await service.answers.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n42")
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the server has gone
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        service.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        yield service
        service.answers.set()


async def register(client: httpx.AsyncClient, *definitions: dict[str, Any]) -> None:
    assert (await client.put("/api/metadata/workflow", json=list(definitions))).status_code == 200


async def waiting(client: httpx.AsyncClient, polls: int) -> None:
    """Wait until so many polls wait."""
    async with asyncio.timeout(30):
        while True:
            if f'tenuto_queue_pollers{{domain="",type="nothing"}} {polls}.0' in (await client.get("/metrics")).text:
                return
            await asyncio.sleep(0.02)


async def test_polls_are_answered_and_system_tasks_left_for_the_next_start(shop: Shop) -> None:
    process, url = await asyncio.to_thread(begin, shop)
    async with slow_service() as service:
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            call = node("HTTP", "call", {"http_request": {"uri": service.url, "method": "GET"}})
            await register(client, workflow("calls", call))
            id = (await client.post("/api/workflow/calls", json={})).text
            await service.called.wait()
            poll = asyncio.create_task(client.get("/api/tasks/poll/batch/nothing?timeout=60000"))
            single = asyncio.create_task(client.get("/api/tasks/poll/nothing?timeout=60000"))
            await waiting(client, 2)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert ((await poll).status_code, (await poll).json()) == (200, [])
            assert (await single).status_code == 204
            assert await asyncio.to_thread(process.wait, 30) == 0
            assert time.monotonic() - began < 9, "well before the grace of 10 s"
        service.called.clear()
        service.answers.set()
        _, url = await asyncio.to_thread(begin, shop)
        async with httpx.AsyncClient(base_url=url) as client, asyncio.timeout(30):
            while True:
                view = (await client.get(f"/api/workflow/{id}")).json()
                if view["status"] != "RUNNING":
                    break
                await asyncio.sleep(0.02)
        assert service.called.is_set()
        assert view["status"] == "COMPLETED"
        assert [task["retryCount"] for task in view["tasks"]] == [0]


async def test_a_server_that_lost_its_store_ends_with_the_reason(shop: Shop) -> None:
    process, url = await asyncio.to_thread(begin, shop)
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        await register(client, workflow("w", simple("work")))
        with sqlite3.connect(shop.folder / "tenuto.db", timeout=10) as thief:
            thief.execute("UPDATE lease SET epoch = epoch + 1")
        answer = await client.post("/api/workflow/w", json={})
        assert answer.status_code == 503
        assert answer.json()["retryable"]
        assert await asyncio.to_thread(process.wait, 30) == 5
    assert "engine_failed" in shop.said()
    assert shop.said().splitlines()[-1].startswith("tenuto: ")
