"""A server in the test's own event loop, on a free loopback port."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tenuto.engine.clock import Clock
from tenuto.server.run import bound_socket, listening, opened, url_of
from tenuto.server.services import Services
from tenuto.server.settings import Settings
from tenuto.testing.clock import ManualClock
from tests.support.conductor import Conductor


class Served:
    """A running server and a client that talks to it."""

    def __init__(self, services: Services, url: str, client: httpx.AsyncClient) -> None:
        self.services = services
        self.url = url
        self.client = client


#: Made once: reading the certificates takes longer than many a test.
TLS = ssl.create_default_context()


@asynccontextmanager
async def served(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Served]:
    with bound_socket(settings.host, settings.port) as listener:
        async with opened(settings, clock) as services, listening(services, listener):
            url = url_of(listener)
            async with httpx.AsyncClient(base_url=f"{url}/api", timeout=20, verify=TLS) as client:
                yield Served(services, url, client)


@pytest.fixture(params=["memory", "sqlite"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/tenuto.db"


@pytest.fixture
async def server(db: str) -> AsyncIterator[Served]:
    async with served(Settings(db=db, port=0)) as running:
        yield running


@pytest.fixture
def conductor(server: Served) -> Conductor:
    """A server by its REST API, in real time."""
    return Conductor(server.services, server.client)


@pytest.fixture
async def timed(db: str) -> AsyncIterator[Conductor]:
    """A server by its REST API, whose time passes only by `advance`."""
    clock = ManualClock()
    async with served(Settings(db=db, port=0), clock) as running:
        yield Conductor(running.services, running.client, clock)


ServerMaker = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture
def make_server() -> ServerMaker:
    """`make_server(body_limit=...)`: a server in memory with other settings."""

    def make(**settings: object) -> AbstractAsyncContextManager[Served]:
        return served(Settings(**{"db": "memory://", "port": 0, **settings}))  # type: ignore[arg-type]

    return make
