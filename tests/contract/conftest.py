"""Stores of each kind, for tests of what every store guarantees."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tenuto.store.postgres import commit, purge, reads
from tenuto.store.protocol import Store
from tenuto.store.urls import open_store
from tests.contract.rows import P
from tests.support.postgres import postgres_url


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Names one store for all who open it in this test."""
    match request.param:
        case "memory":
            yield f"memory://{uuid4()}"
        case "sqlite":
            yield f"sqlite:///{tmp_path / 'store.db'}"
        case "postgres":
            in_one_partition(monkeypatch)
            with postgres_url() as url:
                yield url


def in_one_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests put executions into partition P, whatever their ids, and want what has expired to go at once."""
    for module in (commit, reads):
        monkeypatch.setattr(module, "partition_of", lambda _: P)
    monkeypatch.setattr(purge, "ERAS_WAITED", 0)


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    store = open_store(url)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def twin(url: str, store: Store) -> AsyncIterator[Store]:
    """A second store object on what `store` is on, as another process would have it."""
    twin = open_store(url)
    await twin.open()
    yield twin
    await twin.close()
