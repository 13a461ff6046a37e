"""Store URLs: what each means, and that a wrong one is explained."""

from pathlib import Path

import pytest

from tenuto.store.memory import MemoryStore
from tenuto.store.sqlite import SqliteStore
from tenuto.store.urls import open_store


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///orders.db", "orders.db"),
        ("sqlite:///data/orders.db?synchronous=NORMAL", "data/orders.db"),
        ("sqlite:////var/lib/orders.db", "/var/lib/orders.db"),
        ("sqlite:///with%20space.db?synchronous=FULL", "with space.db"),
    ],
)
def test_a_sqlite_url_names_a_file(url: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store(url)
    assert isinstance(store, SqliteStore)
    assert store.url == url
    assert store.path == str((tmp_path / path).resolve())


def test_a_memory_url_names_a_store_of_this_process() -> None:
    for url in ("memory://", "memory://orders"):
        store = open_store(url)
        assert isinstance(store, MemoryStore)
        assert store.url == url


async def test_unnamed_memory_stores_have_nothing_in_common() -> None:
    one, other = open_store("memory://"), open_store("memory://")
    await one.open()
    await other.open()
    await one.send([(1, b"x")])
    assert await other.receive([1], (), 10) == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("orders.db", "sqlite:///relative.db"),
        ("mysql://host/db", "sqlite:///relative.db"),
        ("", "names no store"),
        ("postgresql://host/db?sslmode=require&mode=ro", "there is no option mode"),
        ("sqlite://orders.db", "three slashes"),
        ("sqlite:///", "names no file"),
        ("sqlite:///data/", "names no file"),
        ("sqlite:///:memory:", "memory://"),
        ("sqlite:///x.db?synchronous=OFF", "synchronous=FULL, synchronous=NORMAL"),
        ("sqlite:///x.db?mode=ro", "mode=ro"),
        ("memory://x?synchronous=FULL", "Allowed: none"),
    ],
)
def test_a_wrong_url_is_explained(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        open_store(url)
