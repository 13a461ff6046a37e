"""A server process for the published, unmodified clients."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from conductor.client.configuration.configuration import Configuration
from conductor.client.http.api_client import ApiClient
from conductor.client.orkes_clients import OrkesClients

from tests.clients.server_process import ServerProcess, running_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for all tests of this process: tests take names of their own (`unique`)."""
    with running_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def unique() -> str:
    """The start of names that no other test uses."""
    return f"t{uuid4().hex[:8]}"


@pytest.fixture
def api_clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Closes the connections of the clients that a test makes, which the client itself leaves to the collector."""
    made: list[ApiClient] = []
    before = ApiClient.__init__

    def remember(self: ApiClient, *args: Any, **options: Any) -> None:
        before(self, *args, **options)
        made.append(self)

    monkeypatch.setattr(ApiClient, "__init__", remember)
    yield
    for client in made:
        client.rest_client.connection.close()


@pytest.fixture
def clients(server: ServerProcess, api_clients: None) -> OrkesClients:
    """The published Python client, pointed at the server, as it comes."""
    return OrkesClients(Configuration(server_api_url=server.api))
