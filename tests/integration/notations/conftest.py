"""A server, and a worker for durable code in the same process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tenuto.client import Client
from tenuto.worker import Worker
from tests.integration.notations.flows import ACTIVITIES, WORKFLOWS
from tests.integration.server.conftest import Served, conductor, db, server

__all__ = ["conductor", "db", "server"]


@pytest.fixture
def client(server: Served) -> Client:
    """A client of the server's own engine."""
    return Client(server.services.gateway)


@pytest.fixture
async def worker(client: Client) -> AsyncIterator[Worker]:
    async with Worker(client, workflows=WORKFLOWS, activities=ACTIVITIES) as running:
        yield running
