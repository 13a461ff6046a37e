"""Runs a server: store, engine and HTTP on one event loop, from its start to a clean stop."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any

import uvicorn

from tenuto.client import Client
from tenuto.engine.clock import Clock, SystemClock
from tenuto.engine.gateway import PATIENCE, Gateway
from tenuto.engine.ids import id_source
from tenuto.model.limits import Limits
from tenuto.server.app import build_app
from tenuto.server.services import Services
from tenuto.server.settings import Settings, SettingsError, without_credentials
from tenuto.store.urls import open_store
from tenuto.worker import Worker

logger = logging.getLogger("tenuto.server")

BACKLOG = 2048
#: Seconds for which an idle connection stays open: longer than clients (5) and load balancers (60) keep theirs, because
#: a request that meets its connection's end is lost.
KEEP_ALIVE = 75
DAY = 86_400.0


#: Makes the worker for durable code that runs beside the server, from a client of the server's engine.
MakeWorker = Callable[[Client], Worker]


@asynccontextmanager
async def opened(
    settings: Settings, clock: Clock | None = None, make_worker: MakeWorker | None = None
) -> AsyncIterator[Services]:
    """The store opened, the engine started and the services ready; all is stopped at the end. With `make_worker` this
    process also serves durable code, which graphs can call, and which can call graphs.

    Raises SettingsError for a store URL that can't be understood, StoreOwnedError if another process has the store."""
    clock = clock or SystemClock()
    try:
        store = open_store(settings.db)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    await store.open()
    gateway = Gateway(
        store,
        clock,
        Limits(),
        id_source(clock),
        retention=settings.retention_days * DAY,
        lease=settings.lease_seconds,
    )
    try:
        services = Services(gateway, settings)
        worker = None if make_worker is None else make_worker(Client(gateway))
        # The worker first: a graph that is taken up may call its code at once.
        async with worker or nullcontext():
            await services.start(PATIENCE)
            try:
                yield services
            finally:
                await _stop(services, worker)
    finally:
        await gateway.close()


async def _stop(services: Services, worker: Worker | None) -> None:
    try:
        if worker is not None and not services.failed.done():
            # While its activities come to their end, graphs go on; what their scripts and system tasks need stops last.
            await worker.shutdown()
    finally:
        await services.stop()


@asynccontextmanager
async def listening(services: Services, listener: socket.socket) -> AsyncIterator[Listener]:
    """Serve HTTP on `listener` inside the block. At its end no connection is taken any more, waiting polls are
    answered, and other requests may go on for the grace that the settings give."""
    http = Listener(services)
    serving = asyncio.create_task(http.serve([listener]), name="tenuto: http")
    try:
        while not http.started and not serving.done():  # noqa: ASYNC110
            await asyncio.sleep(0.001)  # uvicorn has no event for it
        if serving.done():
            serving.result()
        http.serving = serving
        yield http
    finally:
        services.release_pollers()
        http.should_exit = True
        await serving


class Listener(uvicorn.Server):
    """Uvicorn, without its handling of signals: whoever runs the process decides what they mean."""

    serving: asyncio.Task[None]

    def __init__(self, services: Services) -> None:
        settings = services.settings
        app = build_app(services)
        super().__init__(
            uvicorn.Config(
                app if services.tracing is None else services.tracing.traced(app),
                loop="none",
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=max(1, round(settings.shutdown_grace)),
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that listens on the address. Raises SettingsError that says why it can't."""
    listener = _bound(host, port)
    # Connections inherit it. asyncio doesn't set it on them, since it can't tell that they are TCP, and then an answer
    # in two packets waits 40 ms for the client to acknowledge the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _bound(host: str, port: int) -> socket.socket:
    try:
        if not host:
            return socket.create_server(
                ("", port),
                family=socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET,
                dualstack_ipv6=socket.has_dualstack_ipv6(),
                backlog=BACKLOG,
            )
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = "another process listens there" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise SettingsError(f"can't listen on {host or '*'}:{port}: {reason}") from None


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104  # compared, not bound
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(listener: socket.socket) -> bool:
    """Whether only this machine reaches the address."""
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


async def serve(
    settings: Settings, listener: socket.socket, stop: asyncio.Event, make_worker: MakeWorker | None = None
) -> None:
    """Serve until `stop` is set. Raises what stopped the engine, if something did."""
    async with opened(settings, make_worker=make_worker) as services:
        async with listening(services, listener) as http:
            _announce(services, listener)
            asked = asyncio.create_task(stop.wait())
            try:
                ends: set[asyncio.Future[Any]] = {asked, services.failed, http.serving}
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                asked.cancel()
            await _turn_away(services, http)
            logger.info("stopping: requests may go on for %g s", settings.shutdown_grace)
        if services.failed.done():
            services.failed.result()
    logger.info("stopped; what is unfinished goes on with the next start")


async def _turn_away(services: Services, http: Listener) -> None:
    """Say that the server stops, and give load balancers the time to see it before connections are refused."""
    services.release_pollers()
    await asyncio.wait({services.failed, http.serving}, timeout=services.settings.shutdown_delay)


def _announce(services: Services, listener: socket.socket) -> None:
    logger.info(
        "serving %s on %s (API at /api, documentation at /docs, pid %d)",
        without_credentials(services.settings.db),
        url_of(listener),
        os.getpid(),
    )
    if not is_loopback(listener) and services.is_open:
        logger.warning(
            "THIS SERVER IS OPEN: it listens on %s and has no access key, so everybody who reaches it may do"
            " everything. Create an application and an access key (POST /api/applications, .../accessKeys),"
            " set TENUTO_ADMIN_KEY, or listen on 127.0.0.1",
            url_of(listener),
        )
