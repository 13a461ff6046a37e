"""What an owner leaves to workers elsewhere isn't forgotten, whichever of its commits fails."""

from __future__ import annotations

import asyncio

import pytest

from tenuto import activity, workflow
from tenuto.clients import client as clients
from tenuto.model.errors import StoreError
from tenuto.testing.faults import FaultyStore
from tests.support.durable import an_id, history
from tests.support.processes import a_store, owning, working


@activity.defn
async def double(number: int) -> int:
    return 2 * number


@workflow.defn
class Sum:
    @workflow.run
    async def run(self, count: int) -> int:
        return sum(await asyncio.gather(*[double(number) for number in range(count)]))


@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("after", [False, True])
async def test_a_commit_of_the_owner_fails(number: int, after: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    url, made = a_store(), []
    open_store = clients.open_store

    def open_faulty(url: str) -> FaultyStore:
        made.append(FaultyStore(open_store(url)))
        return made[-1]

    with monkeypatch.context() as patch:
        patch.setattr(clients, "open_store", open_faulty)
        owner = owning(url)
        await owner.__aenter__()
    try:
        async with working(url, Sum, activities=[double]) as client:
            store = made[0]
            store.fail("commit", store.calls["commit"] + number, after=after, error=StoreError("out of order"))
            handle = await client.start_workflow(Sum.run, 5, id=an_id(), request_id="once")
            async with asyncio.timeout(20):
                assert await handle.result() == 20
            await history(handle)
    finally:
        await owner.__aexit__(None, None, None)
