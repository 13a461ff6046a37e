"""Stores of each kind, for tests of what every store guarantees."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from tenuto.store.protocol import Store
from tenuto.store.urls import open_store


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Names one store for all who open it in this test."""
    if request.param == "memory":
        return f"memory://{uuid4()}"
    return f"sqlite:///{tmp_path / 'store.db'}"


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
