"""Servers on loopback for system tasks to talk to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route


async def echo(request: Request) -> Response:
    body = await request.body()
    return JSONResponse(
        {
            "method": request.method,
            "path": request.url.path,
            "query": request.url.query,
            "headers": {name: ", ".join(request.headers.getlist(name)) for name in request.headers},
            "body": body.decode(),
        }
    )


async def answer(request: Request) -> Response:
    """Whatever the query asks for: ?status=404&body=...&type=text/plain."""
    query = request.query_params
    return Response(query.get("body", ""), int(query.get("status", "200")), media_type=query.get("type"))


async def redirect(request: Request) -> Response:
    return RedirectResponse(request.query_params["to"], 302)


async def cookie(request: Request) -> Response:
    response = JSONResponse({"cookies": request.cookies})
    response.set_cookie("session", "of-another-workflow")
    return response


def counting() -> Callable[[Request], Awaitable[Response]]:
    """Answers how often it was asked."""
    calls = count(1)

    async def counted(_: Request) -> Response:
        return JSONResponse(next(calls))

    return counted


@asynccontextmanager
async def http_server() -> AsyncIterator[str]:
    """A well-behaved server; gives its base address."""
    every = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    app = Starlette(
        routes=[
            Route("/echo/{rest:path}", echo, methods=every),
            Route("/answer", answer, methods=every),
            Route("/redirect", redirect, methods=every),
            Route("/cookie", cookie),
            Route("/counted", counting()),
        ]
    )
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


@asynccontextmanager
async def raw_server(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A server that does with each connection, once a request's head has come, what `serve` says; gives its address."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            await serve(reader, writer)
        except (asyncio.CancelledError, OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
