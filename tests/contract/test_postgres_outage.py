"""When nobody could reach PostgreSQL for a while, whoever is back first doesn't take everything from the others."""

import asyncio
from collections.abc import Iterator

import pytest

from tenuto.store.postgres.store import PostgresStore
from tenuto.store.protocol import PARTITIONS
from tests.support.durable import until
from tests.support.postgres import postgres_url

SECOND = 1_000_000_000


@pytest.fixture
def url() -> Iterator[str]:
    with postgres_url() as made:
        yield made


async def test_members_that_could_not_renew_keep_what_they_had_if_they_come_back(url: str) -> None:
    one, other = PostgresStore(url), PostgresStore(url)
    await one.open()
    await other.open()
    try:
        await one.lease("a", 0, SECOND)
        await other.lease("b", 0, SECOND)
        surplus = (await one.lease("a", 0, SECOND)).surplus
        await one.release("a", range(surplus))
        mine = (await other.lease("b", 0, SECOND)).epochs
        assert len(mine) == PARTITIONS // 2
        await asyncio.sleep(2.5)  # longer than their leases, and than a renewal is ever late
        lease = await one.lease("a", 0, 60 * SECOND)
        assert (len(lease.epochs), lease.peers) == (PARTITIONS // 2, 1)
        assert (await other.lease("b", 0, SECOND)).epochs == mine
        # One of them does not come back.
        await until(lambda: _owns_all(one), 15)
    finally:
        await one.close()
        await other.close()


async def _owns_all(store: PostgresStore) -> bool:
    await asyncio.sleep(0.2)
    return len((await store.lease("a", 0, 60 * SECOND)).epochs) == PARTITIONS
