"""For tests of many processes within one: each client of a shared store has an engine of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from tenuto.client import Client
from tenuto.store.protocol import Rank


def a_store() -> str:
    """The URL of a store that no other test uses and many engines share."""
    return f"memory://{uuid4().hex}"


@asynccontextmanager
async def owning(url: str, **connect: Any) -> AsyncIterator[Client]:
    """A client whose engine owns all partitions and has no code, as that of a server; leaves when the block ends."""
    async with await Client.connect(url, **connect) as client:
        await client.gateway.acquire(rank=Rank.SERVER)
        try:
            yield client
        finally:
            await client.gateway.release()
