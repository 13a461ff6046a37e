"""The published clients, pointed at a load balancer with two servers on one PostgreSQL behind it: the same tests."""

import asyncio
import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import cycle
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from tests.clients.server_process import running_server
from tests.clients.test_javascript_client import node, test_smoke
from tests.clients.test_python_client_operations import *  # noqa: F403
from tests.clients.test_python_client_workers import (
    test_a_bit_of_everything,
    test_a_worker_of_a_domain,
    test_an_exception_is_retried,
    test_arguments_and_results,
    test_many_workflows,
    workers,
)
from tests.clients.test_python_client_workflow_code import *  # noqa: F403
from tests.support.postgres import postgres_url

__all__ = [
    "node",
    "test_a_bit_of_everything",
    "test_a_worker_of_a_domain",
    "test_an_exception_is_retried",
    "test_arguments_and_results",
    "test_many_workflows",
    "test_smoke",
    "workers",
]

pytestmark = [
    pytest.mark.timeout(220),
    pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """As `server` of the other tests: where the clients are to go."""
    key = {"TENUTO_SECRETS_KEY": base64.urlsafe_b64encode(bytes(32)).decode()}
    with (
        postgres_url() as db,
        running_server(tmp_path_factory.mktemp("first"), key, db) as first,
        running_server(tmp_path_factory.mktemp("second"), key, db) as second,
        balancing(first.url, second.url) as url,
    ):
        yield SimpleNamespace(url=url, api=f"{url}/api")


@contextmanager
def balancing(*urls: str) -> Iterator[str]:
    """A load balancer that gives each connection to the next server, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="load balancer")
    thread.start()
    ports = cycle(urlsplit(url).port for url in urls)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", next(ports))
        try:
            await asyncio.gather(_pass_on(reader, server_writer), _pass_on(server_reader, writer))
        finally:
            for each in (writer, server_writer):
                each.transport.abort()

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(connected, "127.0.0.1", 0)

    async def stop(server: asyncio.Server) -> None:
        server.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await asyncio.sleep(0)  # connections that were cut are closed in the next turn

    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        asyncio.run_coroutine_threadsafe(stop(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
