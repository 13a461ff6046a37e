"""Each test of this suite runs on the store that it names, in memory or in a file, and once more on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tenuto.clients import client
from tenuto.store.protocol import Store
from tenuto.store.urls import open_store
from tests.support.postgres import FEW, postgres_url


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    alone = metafunc.definition.get_closest_marker("own_store") is not None
    metafunc.parametrize("stores", ["own"] if alone else ["own", "postgres"], indirect=True)


@pytest.fixture(autouse=True)
def stores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """With "postgres", every URL that a test opens stands for an empty PostgreSQL store of its own."""
    with ExitStack() as stack:
        made: dict[str, str] = {}

        def open_elsewhere(url: str) -> Store:
            if url.startswith("postgresql:"):
                return open_store(url)
            if url == "memory://" or url not in made:
                made[url] = stack.enter_context(postgres_url(**FEW))
            return open_store(made[url])

        if request.param == "postgres":
            monkeypatch.setattr(client, "open_store", open_elsewhere)
        yield str(request.param)


@pytest.fixture
def url(stores: str, tmp_path: Path) -> Iterator[str]:
    """A store that several processes can open."""
    if stores == "postgres":
        with postgres_url(**FEW) as made:
            yield made
    else:
        yield f"sqlite:///{tmp_path}/a.db"
