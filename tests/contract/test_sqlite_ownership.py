"""One engine owns a SQLite file: across processes, kills and forks."""

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tenuto.model.errors import StoreError, StoreOwnedError
from tenuto.store.file_lock import FileLock
from tenuto.store.sqlite import SqliteStore
from tests.contract.processes import finish, line_of, python

OWNER = """
    import asyncio, os, sys, time
    from tenuto.store.sqlite import SqliteStore

    async def main():
        store = SqliteStore("sqlite", sys.argv[1])
        await store.open()
        epochs = (await store.lease("other-engine", time.time_ns(), 0)).epochs
        if "fork" in sys.argv:
            child = os.fork()
            if child == 0:
                sys.stdin.readline()
                os._exit(0)
        print(epochs[0], flush=True)
        sys.stdin.readline()
        await store.close()

    asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "owned.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore("sqlite", str(path))
    await store.open()
    yield store
    await store.close()


async def test_another_process_that_owns_the_file_is_named(store: SqliteStore, path: Path) -> None:
    with python(OWNER, path) as other:
        line_of(other)
        with pytest.raises(StoreOwnedError) as refused:
            await store.lease("mine", 0, 0)
        said = str(refused.value)
        assert str(path) in said
        assert re.search(rf"other-engine: pid {other.pid} on .+ \(.*python.*\) since 20\d\d-", said)
        assert f"pid {other.pid}" in (await store.owner() or "")
        finish(other, "close\n")
    assert await store.owner() is None
    assert (await store.lease("mine", 0, 0)).epochs[0] == 2


@pytest.mark.parametrize("fork", ["", "fork"])
async def test_a_killed_owner_holds_nothing_nor_does_its_child(store: SqliteStore, path: Path, fork: str) -> None:
    with python(OWNER, path, fork) as other:
        epoch = int(line_of(other))
        other.kill()
        other.wait()
        assert await store.owner() is None
        assert (await store.lease("mine", 0, 0)).epochs[0] == epoch + 1


async def test_looking_at_the_owner_takes_no_lock_away(store: SqliteStore, path: Path) -> None:
    """Closing a file drops this process's POSIX locks on it, so looking must not open it."""
    await store.lease("mine", 0, 0)
    twin = SqliteStore("sqlite", str(path))
    await twin.open()
    for one in (store, twin):
        assert f"pid {os.getpid()}" in (await one.owner() or "")
    await twin.close()
    with python(OWNER.replace("print(epochs[0]", 'print("owned"'), path) as other:
        assert line_of(other) == ""


async def test_a_deleted_lock_file_lets_nobody_write_unfenced(store: SqliteStore, path: Path) -> None:
    await store.lease("mine", 0, 0)
    Path(f"{path}-owner").unlink()
    with python(OWNER, path) as other:
        assert line_of(other) == "2"
        finish(other, "close\n")


async def test_a_forked_child_is_told_that_the_store_is_its_parents(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(StoreError, match="forked"):
        await store.owner()


def test_a_lock_is_held_once_however_its_file_is_called(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    one, other = FileLock(str(tmp_path / "file")), FileLock(str(tmp_path / "link"))
    assert other.holder() is None
    assert one.acquire("one")
    assert not other.acquire("other")
    assert not one.acquire("one again")
    other.release()
    assert other.holder() == "one"
    one.release()
    assert other.acquire("other")
    other.release()
    assert one.holder() is None
