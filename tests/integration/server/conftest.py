"""A server in the test's own event loop, on a free loopback port."""

from __future__ import annotations

import base64
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from itertools import cycle
from pathlib import Path
from unittest.mock import patch

import httpx
import pytest

from tenuto.engine import ownership
from tenuto.engine.clock import Clock
from tenuto.server.run import bound_socket, listening, opened, url_of
from tenuto.server.services import Services
from tenuto.server.settings import Settings
from tenuto.store.protocol import PARTITIONS
from tenuto.testing.clock import ManualClock
from tests.support.conductor import Conductor
from tests.support.durable import until
from tests.support.postgres import FEW, postgres_url

#: What servers that share a store encrypt secrets with.
KEY = base64.urlsafe_b64encode(bytes(32)).decode()
#: Made once: reading the certificates takes longer than many a test.
TLS = ssl.create_default_context()


class Served:
    """A running server, perhaps one of several, and a client that talks to it, or to all in turn."""

    def __init__(
        self,
        services: Services,
        url: str,
        client: httpx.AsyncClient,
        clock: Clock | None = None,
        others: Sequence[Served] = (),
    ) -> None:
        self.services = services
        self.url = url
        self.client = client
        self.clock = clock
        self.others = others

    @property
    def conductor(self) -> Conductor:
        others = [(each.services, _manual(each)) for each in self.others]
        return Conductor(self.services, self.client, _manual(self), others)


def _manual(server: Served) -> ManualClock | None:
    return server.clock if isinstance(server.clock, ManualClock) else None


@asynccontextmanager
async def served(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Served]:
    with bound_socket(settings.host, settings.port) as listener:
        async with opened(settings, clock) as services, listening(services, listener):
            url = url_of(listener)
            async with httpx.AsyncClient(base_url=f"{url}/api", timeout=60, verify=TLS) as client:
                yield Served(services, url, client, clock)


class InTurn(httpx.AsyncBaseTransport):
    """What a load balancer does: each request goes to the next server."""

    def __init__(self, urls: Iterable[str]) -> None:
        self._urls = cycle(httpx.URL(url) for url in urls)
        self._transport = httpx.AsyncHTTPTransport(verify=TLS)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = next(self._urls)
        request.url = request.url.copy_with(scheme=url.scheme, host=url.host, port=url.port)
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        await self._transport.aclose()


@asynccontextmanager
async def balanced(
    settings: Settings, servers: int, make_clock: Callable[[], ManualClock] | None = None
) -> AsyncIterator[Served]:
    """Several servers on one store, each of which owns its share, behind a client that takes them in turn."""
    clocks = [None if make_clock is None else make_clock() for _ in range(servers)]
    async with AsyncExitStack() as stack:
        running = [await stack.enter_async_context(served(settings, clock)) for clock in clocks]
        with patch.object(ownership, "GENTLE", PARTITIONS):  # at one go: how they move is for other tests
            await until(lambda: evenly_spread([each.services for each in running]), 20)
        transport = InTurn(each.url for each in running)
        url = f"{running[0].url}/api"
        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url=url, timeout=60, verify=TLS)
        )
        yield Served(running[0].services, running[0].url, client, clocks[0], running[1:])


def evenly_spread(servers: Sequence[Services]) -> bool:
    """Does each server own its share of the partitions?"""
    owned = [len(services.engine.ownership.partitions) for services in servers]
    return sum(owned) == PARTITIONS and max(owned) <= -(-PARTITIONS // len(servers))


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "postgres":
        with postgres_url(**FEW) as url:
            yield url
    else:
        yield "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/tenuto.db"


#: For what is about one server: what each keeps to itself, and what a process bears.
one_server = pytest.mark.parametrize("db", ["memory", "sqlite"], indirect=True)


def is_shared(db: str) -> bool:
    """Is the store one that several servers use?"""
    return db.startswith("postgresql:")


@asynccontextmanager
async def served_as(db: str, make_clock: Callable[[], ManualClock] | None = None) -> AsyncIterator[Served]:
    """As many servers as the store allows."""
    if is_shared(db):
        async with balanced(Settings(db=db, port=0, secrets_key=KEY), 2, make_clock) as running:
            yield running
    else:
        async with served(Settings(db=db, port=0), None if make_clock is None else make_clock()) as running:
            yield running


@pytest.fixture
async def server(db: str) -> AsyncIterator[Served]:
    async with served_as(db) as running:
        yield running


@pytest.fixture
def conductor(server: Served) -> Conductor:
    """A server by its REST API, in real time; or two that take turns."""
    return server.conductor


@pytest.fixture
async def timed(db: str) -> AsyncIterator[Conductor]:
    """As `conductor`, but time passes only by `advance`."""
    async with served_as(db, ManualClock) as running:
        yield running.conductor


ServerMaker = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture
def make_server() -> ServerMaker:
    """`make_server(body_limit=...)`: a server in memory with other settings."""

    def make(**settings: object) -> AbstractAsyncContextManager[Served]:
        return served(Settings(**{"db": "memory://", "port": 0, **settings}))  # type: ignore[arg-type]

    return make
