"""The file of a SQLite store: durable, created by many at once, and refused when it is not sound."""

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tenuto.model.errors import StoreError, StoreFormatError, StoreFullError
from tenuto.model.events import ExecutionRef
from tenuto.model.search import SearchQuery
from tenuto.store.migrations import Migration, load_migrations
from tenuto.store.sqlite import SqliteStore
from tenuto.store.sqlite_errors import Patience
from tenuto.store.sqlite_file import prepare
from tests.contract.processes import finish, line_of, python
from tests.contract.rows import ALL, Engine, closed, events, history, run, task_entry, workflow_entry


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.db"


@contextlib.asynccontextmanager
async def opened(path: Path, synchronous: str = "FULL") -> AsyncIterator[SqliteStore]:
    store = SqliteStore("sqlite", str(path), synchronous=synchronous)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@contextlib.contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


# -- durable ------------------------------------------------------------------------------------


@pytest.mark.parametrize("synchronous", ["FULL", "NORMAL"])
async def test_what_was_committed_is_there_after_reopening(path: Path, synchronous: str) -> None:
    async with opened(path, synchronous) as store:
        engine = await Engine(store).lease()
        await engine.commit(started=[run("r1")], history=[history("r1", 1)], sent=[(1, b"x")])
    async with opened(path) as store:
        (found,) = await store.load([ExecutionRef("order")])
        assert found is not None
        assert found.events == events(1)
        assert [row.data for row in await store.receive(ALL, (), 10)] == [b"x"]
        assert (await store.lease("engine", 0, 0)).epochs == dict.fromkeys(ALL, 2)


async def test_a_closed_file_is_whole_by_itself(path: Path, tmp_path: Path) -> None:
    async with opened(path) as store:
        await store.send([(1, b"x")])
    moved = path.rename(tmp_path / "moved.db")
    assert [file.name for file in tmp_path.iterdir()] == ["moved.db"]
    async with opened(moved) as store:
        assert len(await store.receive(ALL, (), 10)) == 1


KILLED = """
    import asyncio, sys
    from tenuto.store.sqlite import SqliteStore

    async def main():
        store = SqliteStore("sqlite", sys.argv[1])
        await store.open()
        number = 0
        while True:
            await store.send([(1, b"%d" % number)])
            print(number, flush=True)
            number += 1

    asyncio.run(main())
"""


async def test_what_a_killed_process_acknowledged_is_there(path: Path) -> None:
    with python(KILLED, path) as process:
        while line_of(process) != "50":
            pass
        process.kill()
        assert process.stdout is not None
        acknowledged = int((process.stdout.read().split() or ["50"])[-1])
    async with opened(path) as store:
        received = [int(row.data) for row in await store.receive(ALL, (), 100_000)]
    assert received == list(range(len(received)))
    assert len(received) in (acknowledged + 1, acknowledged + 2)


async def test_synchronous_is_what_was_asked_for(path: Path) -> None:
    for name, number in (("FULL", 2), ("NORMAL", 1)):
        async with opened(path, name) as store:
            for thread in store._threads:
                assert await thread.submit(_pragma, "synchronous") == number
                assert await thread.submit(_pragma, "journal_mode") == "wal"
    with pytest.raises(ValueError, match="FULL, NORMAL"):
        SqliteStore("sqlite", str(path), synchronous="OFF")


def _pragma(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


# -- migrations ---------------------------------------------------------------------------------

OPENERS = """
    import asyncio, os, sys, traceback
    from tenuto.store.sqlite import SqliteStore

    async def main(number):
        store = SqliteStore("sqlite", sys.argv[1])
        await store.open()
        await store.send([(number, b"here")])
        await store.close()

    ready, go = os.pipe()
    children = []
    for number in range(8):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.close(go)
                os.read(ready, 1)  # returns for all at once, when the parent closes the other end
                asyncio.run(main(number))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        children.append(child)
    os.close(go)
    print(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


async def test_many_processes_create_the_file_at_once(path: Path) -> None:
    for attempt in range(5):
        file = path.with_name(f"new-{attempt}.db")
        with python(OPENERS, file) as openers:
            assert finish(openers).strip() == "0"
        async with opened(file) as store:
            found = await store.receive(ALL, (), 100)
            assert sorted(row.partition for row in found) == list(range(8))


async def test_an_older_file_is_migrated_step_by_step(path: Path) -> None:
    async with opened(path) as store:
        await store.send([(1, b"x")])
    newest = load_migrations("sqlite")[-1].number
    more = [
        Migration(newest + 1, "pre", "CREATE TABLE one (x); -- ; no end\nINSERT INTO one VALUES (';');\n"),
        Migration(newest + 2, "post", "DROP TABLE one;\nCREATE TABLE two (x);\n"),
    ]
    for _ in range(2):
        prepare(str(path), Patience(str(path), 1), [*load_migrations("sqlite"), *more])
    with raw(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (newest + 2,)
        assert connection.execute("SELECT count(*) FROM two").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM inbox").fetchone() == (1,)


async def test_what_an_older_version_left_can_be_searched_and_purged(path: Path) -> None:
    prepare(str(path), Patience(str(path), 1), load_migrations("sqlite")[:1])
    with raw(path) as connection:
        connection.execute(
            "INSERT INTO executions VALUES (7, 3, 'order', 'r7', NULL, 'Order', 'q', 5, NULL, NULL, '', '', 1, NULL,"
            " NULL, NULL, 0)"
        )
    async with opened(path) as store:
        engine = await Engine(store).lease()
        await engine.commit(indexed_workflows=[workflow_entry("r7")], indexed_tasks=[task_entry("t", "r7")])
        assert (await store.search_workflows(SearchQuery())).rows == [workflow_entry("r7")]
        await engine.commit(changed=[closed("r7", 9)])
        assert await store.purge(closed_before=10, now=10, limit=5) == 1
        assert (await store.search_tasks(SearchQuery())).total == 0


async def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    async with opened(path):
        pass
    newest = load_migrations("sqlite")[-1].number
    broken = Migration(newest + 1, "pre", "CREATE TABLE one (x);\nINSERT INTO nowhere VALUES (1);\n")
    with pytest.raises(StoreError, match="nowhere"):
        prepare(str(path), Patience(str(path), 1), [*load_migrations("sqlite"), broken])
    with raw(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (newest,)
    async with opened(path):
        pass


def test_migrations_are_numbered_without_gaps() -> None:
    migrations = load_migrations("sqlite")
    assert [migration.number for migration in migrations] == list(range(1, len(migrations) + 1))
    assert all(migration.name[4:].startswith(("_pre_", "_post_")) for migration in migrations)


# -- refused ------------------------------------------------------------------------------------


def foreign(path: Path) -> None:
    with raw(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")


def numbered(path: Path) -> None:
    with raw(path) as connection:
        connection.execute("PRAGMA user_version = 7")


def newer(path: Path) -> None:
    prepare(str(path), Patience(str(path), 1))
    with raw(path) as connection:
        connection.execute("PRAGMA user_version = 99")


def text(path: Path) -> None:
    path.write_text("Dear diary,\n" * 500)


def few_bytes(path: Path) -> None:
    path.write_bytes(b"x")


def cut_short(path: Path) -> None:
    prepare(str(path), Patience(str(path), 1))
    path.write_bytes(path.read_bytes()[:6000])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (foreign, "another application"),
        (numbered, "another application"),
        (newer, r"version 99, and this Tenuto knows versions up to \d+.*Upgrade"),
        (text, "not a Tenuto database"),
        (few_bytes, "not a Tenuto database"),
        (cut_short, "damaged.*backup"),
    ],
)
async def test_a_file_that_is_not_ours_is_refused_untouched(path: Path, spoil: object, said: str) -> None:
    spoil(path)  # type: ignore[operator]
    before = path.read_bytes()
    store = SqliteStore("sqlite", str(path))
    with pytest.raises(StoreFormatError, match=said) as refused:
        await store.open()
    assert str(path) in str(refused.value)
    assert path.read_bytes() == before
    await store.close()


async def test_damage_met_later_is_named(path: Path) -> None:
    async with opened(path) as store:
        for _ in range(20):
            await store.send([(1, b"x" * 3000)])
    page = bytearray(path.read_bytes())
    start = page.rindex(b"x" * 3000) // 4096 * 4096
    page[start : start + 4096] = b"\xff" * 4096
    path.write_bytes(page)
    async with opened(path) as store:
        with pytest.raises(StoreFormatError, match=r"file\.db is damaged"):
            await store.receive(ALL, (), 100)


async def test_a_blank_file_is_taken(path: Path) -> None:
    path.touch()
    async with opened(path) as store:
        await store.send([(1, b"x")])


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    store = SqliteStore("sqlite", str(tmp_path / "nowhere" / "file.db"))
    with pytest.raises(StoreError, match=r"no directory .*nowhere .*Create it"):
        await store.open()
    store = SqliteStore("sqlite", str(tmp_path))
    with pytest.raises(StoreError, match="is a directory"):
        await store.open()


@pytest.fixture
def plain_user() -> Iterator[Path]:
    """A directory that the test, now surely without a superuser's rights, may write to."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        if os.geteuid() != 0:
            yield directory
            return
        os.chown(directory, 65534, 65534)
        os.seteuid(65534)
        try:
            yield directory
        finally:
            os.seteuid(0)


async def test_a_file_or_directory_that_is_read_only_is_named(plain_user: Path) -> None:
    path = plain_user / "file.db"
    async with opened(path):
        pass
    for locked in (path, plain_user):
        mode = locked.stat().st_mode
        locked.chmod(0o500)
        with pytest.raises(StoreError, match=r"can't be written to.*right to write"):
            async with opened(path):
                pass
        locked.chmod(mode)
    async with opened(path):
        pass


# -- full ---------------------------------------------------------------------------------------


async def test_a_full_disk_loses_nothing_and_the_store_goes_on(path: Path) -> None:
    async with opened(path) as store:
        engine = await Engine(store).lease()
        await engine.commit(started=[run("r1")], history=[history("r1", 1)])
        await store._writer.submit(_pragma, "max_page_count = 1")  # what it has, and no more
        large = history("r1", 2)
        large.events += b"\0" * 100_000
        for rows in ({"history": [large]}, {"history": [large], "sent": [(1, b"x")]}):
            with pytest.raises(StoreFullError, match=r"No room left.*file\.db.*Free some"):
                await engine.commit(**rows)
        await store._writer.submit(_pragma, "max_page_count = 1000000")
        assert await store.receive(ALL, (), 10) == []
        await engine.commit(history=[history("r1", 2)], sent=[(1, b"y")])
        (found,) = await store.load([ExecutionRef("order")])
        assert found is not None
        assert found.events == events(1, 2)


LIMITED = """
    import asyncio, resource, sys
    from tenuto.model.errors import StoreError
    from tenuto.store.sqlite import SqliteStore

    async def main():
        store = SqliteStore("sqlite", sys.argv[1])
        await store.open()
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))
        sent = 0
        try:
            while True:
                await store.send([(1, b"x" * 10_000)])
                sent += 1
        except StoreError as error:
            assert "file.db" in str(error), error
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await store.send([(2, b"after")])
        print(sent)
        await store.close()

    asyncio.run(main())
"""


async def test_a_file_that_may_not_grow_loses_nothing(path: Path) -> None:
    with python(LIMITED, path) as limited:
        sent = int(finish(limited))
    async with opened(path) as store:
        received = await store.receive(ALL, (), 1000)
    assert [row.partition for row in received] == [1] * sent + [2]
    assert sent > 5
