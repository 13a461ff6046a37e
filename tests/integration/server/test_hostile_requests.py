"""Every route with requests that nobody should send: each is answered, none with an internal error, and the server
goes on."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import httpx
import pytest

from tenuto.system_tasks.settings import HttpSettings
from tests.integration.server.conftest import Served, ServerMaker
from tests.support.conductor import Conductor, node, simple, task_def, workflow
from tests.support.hostile_requests import HostileRequest, HostileRequests

#: What a server may say that it can't do; any other 5xx is a fault.
EXCUSED = (501, 503)


async def _answer(url: str, request: HostileRequest) -> tuple[int, bytes]:
    """The status and body of the answer. Written by hand, because HTTP clients refuse to send some of this."""
    address = httpx.URL(url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        lines = [f"{request.method} {request.path} HTTP/1.1", "Host: x", "Connection: close"]
        if request.body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(request.body)}"]
        with suppress(ConnectionError):
            writer.write("\r\n".join([*lines, "", ""]).encode() + (request.body or b""))
            await writer.drain()
        async with asyncio.timeout(15):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        return int(head.split()[1]), body
    finally:
        writer.close()


async def _names(conductor: Conductor) -> list[str]:
    await conductor.register(workflow("wf", simple("t1"), simple("t2")), workflow("w", node("WAIT", "wait")))
    await conductor.register(task_def("t1", retryCount=3), task_def("t2"))
    ids = [await conductor.start(name) for name in ("wf", "wf", "w")]
    task = await conductor.poll("t1")
    return ["wf", "w", "t1", "wait", "COMPLETED", "conductor:q", "k", "1", "javascript", "u@x", task["taskId"], *ids]


@pytest.mark.parametrize("seed", [1, 2])
async def test_all_routes(make_server: ServerMaker, seed: int) -> None:
    async with make_server(http=HttpSettings(deny=("0.0.0.0/0", "::/0"))) as server:
        conductor = Conductor(server.services, server.client)
        names = await _names(conductor)
        requests = HostileRequests((await server.client.get("/openapi.json")).json(), names, seed)
        for request in requests.each(2):
            if "timeout" in request.path.lower() or "wait" in request.path.lower():
                continue  # they may wait as long as they say
            status, body = await _answer(server.url, request)
            assert status < 500 or status in EXCUSED, f"{request.method} {request.path} {request.body!r}: {body!r}"
        await _still_works(server)


async def _still_works(server: Served) -> None:
    assert not server.services.failed.done()
    conductor = Conductor(server.services, server.client)
    id = await conductor.run(workflow("after_all", simple("after_all")))
    await conductor.work("after_all")
    await conductor.until(id)


@pytest.mark.parametrize("chunked", [False, True])
async def test_bodies_above_the_limit(make_server: ServerMaker, chunked: bool) -> None:
    async def chunks():  # type: ignore[no-untyped-def]
        for _ in range(20):
            yield b" " * 1_000

    async with make_server(body_limit=10_000) as server:
        content = chunks() if chunked else b" " * 20_000
        response = await server.client.post("/workflow", content=content)
        assert response.status_code == 413
        await _still_works(server)


async def test_requests_one_behind_the_other(make_server: ServerMaker) -> None:
    async with make_server() as server:
        address = httpx.URL(server.url)
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"GET /api/version HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        async with asyncio.timeout(15):
            for _ in range(50):
                assert b" 200 " in await reader.readuntil(b"\r\n")
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(len((await server.client.get("/version")).text))
        writer.close()
