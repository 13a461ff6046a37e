"""For tests of many processes within one: each client of a shared store has an engine of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

import pytest

from tenuto import activity
from tenuto.client import Client
from tenuto.clients import client as clients
from tenuto.store.protocol import Rank
from tenuto.testing.faults import FaultyStore, ProcessDiedError
from tenuto.worker import Worker

#: The queue that owners without code serve.
NOWHERE = "nowhere"


def a_store() -> str:
    """The URL of a store that no other test uses and many engines share."""
    return f"memory://{uuid4().hex}"


@activity.defn
def nothing() -> None:
    """What an owner can do."""


@asynccontextmanager
async def owning(url: str, **connect: Any) -> AsyncIterator[Client]:
    """A client whose engine owns all partitions, or shares them with others of its kind, and has no code that matters,
    as that of a server; it leaves when the block ends."""
    async with await Client.connect(url, **connect) as client:
        engine = await client.gateway.acquire(rank=Rank.SERVER)
        try:
            async with Worker(client, task_queue=NOWHERE, activities=[nothing]):
                assert engine.ownership.rank is Rank.SERVER
                yield client
        finally:
            await client.gateway.release()


@asynccontextmanager
async def working(url: str, *workflows: type[Any], **worker: Any) -> AsyncIterator[Client]:
    """A client whose engine owns nothing while others own all, and has code."""
    connect = worker.pop("connect", {})
    async with await Client.connect(url, **connect) as client, Worker(client, workflows=workflows, **worker):
        yield client


@asynccontextmanager
async def dying(url: str, *workflows: type[Any], **worker: Any) -> AsyncIterator[tuple[Client, FaultyStore]]:
    """As `working`, for a process that dies when the block ends, if not before. The others don't hear from it any more;
    what it is at goes on, for all it knows."""
    made: list[FaultyStore] = []
    open_store = clients.open_store

    def open_faulty(url: str) -> FaultyStore:
        made.append(FaultyStore(open_store(url)))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clients, "open_store", open_faulty)
        client = await Client.connect(url, lease=1.0, **worker.pop("connect", {}))
    store = made[0]
    with suppress(ProcessDiedError):
        async with Worker(client, workflows=workflows, **worker):
            yield client, store
            store.kill()
    with suppress(ProcessDiedError):
        await client.close()
