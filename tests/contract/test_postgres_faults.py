"""A PostgreSQL store when connections break, the server goes away, others hold locks, or a process is killed."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from tenuto.model.errors import LeaseLostError, StoreError
from tenuto.model.events import ExecutionRef
from tenuto.store.postgres import driver
from tenuto.store.postgres.store import PostgresStore
from tenuto.store.protocol import Commit, Rank
from tests.contract.conftest import in_one_partition
from tests.contract.processes import line_of, python
from tests.contract.rows import ALL, HOUR, MINUTE, Engine, P, events, history, run
from tests.support.durable import until
from tests.support.postgres import connected, postgres_server, postgres_url

ORDER = ExecutionRef("order")
NAME = f"faults_{os.getpid()}"
"""As which the database knows the stores of these tests: others may be using it at the same time."""


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    in_one_partition(monkeypatch)
    with postgres_url(application_name=NAME) as url:
        yield url


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    async with opened(url) as store:
        yield store


@pytest.fixture
async def twin(url: str, store: PostgresStore) -> AsyncIterator[PostgresStore]:
    async with opened(url) as twin:
        yield twin


@pytest.fixture
async def admin() -> AsyncIterator[Any]:
    """A connection beside those of the store."""
    async with connected() as connection:
        yield connection


@pytest.fixture
async def engine(store: PostgresStore) -> Engine:
    engine = await Engine(store).lease()
    await engine.commit(started=[run("r1")], history=[history("r1", 1)])
    return engine


def schema_of(url: str) -> str:
    return url.partition("schema=")[2].partition("&")[0]


async def cut(admin: Any, *stores: PostgresStore) -> None:
    """End all sessions of these stores, also one that is just being opened, and see that they have noticed."""
    lines = [line for store in stores for line in (store._writer, *store._pool._idle)]

    async def gone() -> bool:
        await admin.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{NAME}'")
        return not any(line._session is not None and line._session.usable for line in lines)

    await until(gone)


async def cut_those_that_wait(admin: Any) -> None:
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE application_name = '{NAME}' AND wait_event_type = 'Lock'"
    )


async def number_of_events(store: PostgresStore) -> int:
    (found,) = await store.load([ORDER])
    assert found is not None
    assert found.events == events(1, len(found.events))
    return len(found.events)


async def waiting(admin: Any, number: int = 1) -> None:
    """Until so many of the store's sessions wait for a lock."""

    async def wait() -> bool:
        await admin.execute("SELECT pg_stat_clear_snapshot()")
        query = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{NAME}' AND wait_event_type = 'Lock'"
        return bool(await admin.fetchval(query) == number)

    await until(wait)


# -- connections --------------------------------------------------------------------------------


async def test_idle_connections_that_were_cut_are_made_anew(store: PostgresStore, engine: Engine, admin: Any) -> None:
    for number in range(2, 5):
        await cut(admin, store)
        await engine.commit(history=[history("r1", number)])
        assert await number_of_events(store) == number
    assert (await store.lease(engine.name, 0, MINUTE)).epochs == engine.epochs


async def test_a_commit_that_is_cut_off_says_so_and_has_no_late_effect(
    store: PostgresStore, engine: Engine, admin: Any, url: str
) -> None:
    """The server still works on it, or has it still to begin, when the connection is lost. What is read after that is
    what will be true."""
    async with admin.transaction():
        await admin.execute(f'SELECT 1 FROM "{schema_of(url)}".members FOR UPDATE')
        commit = asyncio.create_task(engine.commit(history=[history("r1", 2)]))
        await waiting(admin)
        assert store._writer._session is not None
        store._writer._session.drop()
        with pytest.raises(StoreError, match="connection to the database was lost"):
            await commit
        read = asyncio.create_task(number_of_events(store))
        await waiting(admin, 2)
    found = await read
    for _ in range(3):
        assert await number_of_events(store) == found
    await engine.commit(history=[history("r1", found + 1)])
    assert await number_of_events(store) == found + 1


async def test_a_commit_whose_session_is_ended_is_not_written(
    store: PostgresStore, engine: Engine, admin: Any, url: str
) -> None:
    async with admin.transaction():
        await admin.execute(f'SELECT 1 FROM "{schema_of(url)}".members FOR UPDATE')
        commit = asyncio.create_task(engine.commit(history=[history("r1", 2)]))
        await waiting(admin)
        await cut_those_that_wait(admin)
        with pytest.raises(StoreError):
            await commit
    assert await number_of_events(store) == 1
    await engine.commit(history=[history("r1", 2)])


async def test_reads_that_are_cut_off_say_so_and_the_next_goes_on(
    store: PostgresStore, engine: Engine, admin: Any, url: str
) -> None:
    async with admin.transaction():
        await admin.execute(f'LOCK TABLE "{schema_of(url)}".executions IN ACCESS EXCLUSIVE MODE')
        reads = [asyncio.create_task(store.load([ORDER])) for _ in range(10)]
        await waiting(admin, 4)
        await cut_those_that_wait(admin)
        await waiting(admin, 4)
    results = await asyncio.gather(*reads, return_exceptions=True)
    assert sum(isinstance(result, StoreError) for result in results) == 4
    assert await number_of_events(store) == 1


async def test_a_caller_that_goes_away_leaves_nothing_half_done(
    store: PostgresStore, engine: Engine, admin: Any, url: str
) -> None:
    async with admin.transaction():
        await admin.execute(f'LOCK TABLE "{schema_of(url)}".history IN ACCESS EXCLUSIVE MODE')
        commit = asyncio.create_task(engine.commit(history=[history("r1", 2)]))
        reads = [asyncio.create_task(store.load([ORDER])) for _ in range(3)]
        await waiting(admin, 4)
        for task in (commit, *reads):
            task.cancel()
        results = await asyncio.gather(commit, *reads, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results)
    known = await number_of_events(store)
    assert known in (1, 2)  # as a commit whose answer got lost; from now on it is one or the other
    await engine.commit(history=[history("r1", known + 1)])
    for _ in range(5):
        assert await number_of_events(store) == known + 1


async def test_connections_are_few_whatever_is_asked(url: str, engine: Engine, admin: Any) -> None:
    async with opened(f"{url}&pool=2") as store:
        store.watch(lambda _: None)
        before = set(await sessions(admin))
        most = 0

        async def read() -> None:
            nonlocal most
            for _ in range(5):
                await store.load([ORDER])
                most = max(most, len(set(await asyncio.shield(sessions_of(admin))) - before))

        sessions_of = _one_at_a_time(sessions)
        await asyncio.gather(*(read() for _ in range(20)))
    assert 1 <= most <= 3  # of the pool, and the one that listens


async def sessions(admin: Any) -> list[int]:
    rows = await admin.fetch(f"SELECT pid FROM pg_stat_activity WHERE application_name = '{NAME}'")
    return [row[0] for row in rows]


def _one_at_a_time(ask: Any) -> Any:
    lock = asyncio.Lock()

    async def asked(*arguments: Any) -> Any:
        async with lock:
            return await ask(*arguments)

    return asked


async def test_a_value_that_cant_be_stored_is_said_to_be_that(store: PostgresStore, engine: Engine) -> None:
    for row in (run("r2", wake_at=2**63), run("r2", problem="\ud800")):
        with pytest.raises(StoreError, match="A value can't be stored"):
            await engine.commit(started=[row])
    await engine.commit(started=[run("r2", "other", wake_at=2**63 - 1, problem="\ud7ff")])


# -- time-outs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("pooler", ["none", "transaction"])
async def test_a_statement_that_takes_too_long_is_given_up(url: str, engine: Engine, admin: Any, pooler: str) -> None:
    async with opened(f"{url}&statement_timeout=2&pooler={pooler}") as store:
        async with admin.transaction():
            await admin.execute(f'LOCK TABLE "{schema_of(url)}".executions IN ACCESS EXCLUSIVE MODE')
            with pytest.raises(StoreError, match="locked by others for too long"):
                await store.load([ORDER])
            with pytest.raises(StoreError, match="locked by others for too long"):
                await store.commit(Commit(removed=[(P, "r1")]))
        assert await number_of_events(store) == 1


async def test_a_connection_is_not_waited_for_for_ever() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        store = PostgresStore(f"postgresql://me:secret@127.0.0.1:{port}/db?connect_timeout=0.2")
        with pytest.raises(StoreError, match=r"me:\*\*\*@127\.0\.0\.1.* can't be connected to") as error:
            await store.open()
        assert "secret" not in str(error.value)


async def test_failed_connections_are_tried_again_ever_more_slowly(
    store: PostgresStore, engine: Engine, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[float] = []
    connect = driver.connect

    async def refuse(_: object) -> Any:
        attempts.append(asyncio.get_running_loop().time())
        raise StoreError("away")

    await cut(admin, store)
    monkeypatch.setattr(driver, "connect", refuse)
    for _ in range(5):
        with pytest.raises(StoreError, match="away"):
            await store.lease(engine.name, 0, MINUTE)
    with pytest.raises(ExceptionGroup) as failed:
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(store.lease(engine.name, 0, MINUTE))
    assert failed.group_contains(StoreError, match="away")
    assert len(attempts) == 6  # who waited for the same attempt failed with it
    waits = [later - earlier for earlier, later in pairwise(attempts)][:4]
    assert [wait >= 0.05 * 2**number for number, wait in enumerate(waits)] == [True] * 4
    monkeypatch.setattr(driver, "connect", connect)
    assert (await store.lease(engine.name, 0, MINUTE)).epochs == engine.epochs


# -- processes ----------------------------------------------------------------------------------

MEMBER = """
    import asyncio, sys
    from tenuto.store.postgres.store import PostgresStore

    async def main():
        store = PostgresStore(sys.argv[1])
        await store.open()
        lease = await store.lease("victim", 0, 3600 * 10**9)
        print(len(lease.epochs), flush=True)
        await asyncio.sleep(3600)

    asyncio.run(main())
"""


async def test_a_killed_process_is_replaced_long_before_its_lease_ends(url: str) -> None:
    async with opened(url) as store:
        with python(MEMBER, url) as victim:
            assert await asyncio.to_thread(line_of, victim) == "256"
            assert (await store.lease("heir", 0, HOUR)).epochs == {}
            await asyncio.sleep(1.2)  # it has not renewed for so long, and lives
            assert (await store.lease("heir", 0, HOUR)).epochs == {}
            victim.kill()

            async def inherited() -> bool:
                return len((await store.lease("heir", 0, HOUR)).epochs) == 256

            await until(inherited, 15)


async def test_a_member_whose_connection_was_cut_has_time_to_come_back(
    store: PostgresStore, twin: PostgresStore, engine: Engine, admin: Any
) -> None:
    await twin.lease("other", 0, HOUR)
    await cut(admin, store, twin)
    assert (await twin.lease("other", 0, HOUR)).epochs == {}
    await engine.commit(history=[history("r1", 2)])
    for _ in range(3):
        await asyncio.sleep(0.5)
        assert (await twin.lease("other", 0, HOUR)).epochs == {}
    await engine.commit(history=[history("r1", 3)])


async def test_a_member_that_was_replaced_while_frozen_is_fenced(
    store: PostgresStore, twin: PostgresStore, engine: Engine
) -> None:
    await store.lease(engine.name, 0, 1)
    lease = await twin.lease("other", 0, HOUR, Rank.WORKER)
    assert lease.epochs[P] > engine.epochs[P]
    with pytest.raises(LeaseLostError):
        await engine.commit(history=[history("r1", 2)])
    with pytest.raises(LeaseLostError):
        await engine.commit()


async def test_whoever_takes_over_waits_for_the_last_commit(
    store: PostgresStore, twin: PostgresStore, engine: Engine, admin: Any, url: str
) -> None:
    """Between the look at the fence and the end of the commit nobody else can become the owner."""
    await store.lease(engine.name, 0, 1)
    async with admin.transaction():
        # Where the commit must wait, its fence passed: another row of the same key, of which nobody knows yet whether
        # it will be there.
        await admin.execute(
            f'INSERT INTO "{schema_of(url)}".history (partition, slot, first_event_id, run_id, events)'
            " VALUES ($1, 0, 2, 'r1', '')",
            P,
        )
        commit = asyncio.create_task(engine.commit(history=[history("r1", 2)]))
        await waiting(admin)
        taken = asyncio.create_task(twin.lease("other", 0, HOUR))
        await waiting(admin, 2)
        await admin.execute(f"DELETE FROM \"{schema_of(url)}\".history WHERE run_id = 'r1' AND first_event_id = 2")
    await commit
    assert (await taken).epochs[P] > engine.epochs[P]
    assert await number_of_events(twin) == 2


# -- the server ---------------------------------------------------------------------------------


@pytest.mark.timeout(120)
async def test_a_server_that_crashed_is_waited_for_and_nobody_loses_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    in_one_partition(monkeypatch)
    with postgres_server(fsync="off") as server:
        async with opened(server.url) as store, opened(server.url) as twin:
            engine = await Engine(store).lease()
            await twin.lease("other", 0, HOUR)
            await store.lease(engine.name, 0, HOUR)
            await engine.commit(started=[run("r1")], history=[history("r1", 1)])
            server.stop("immediate")
            for _ in range(3):
                with pytest.raises(StoreError):
                    await engine.commit(history=[history("r1", 2)])
            with pytest.raises(StoreError):
                await twin.load([ORDER])
            server.start()

            async def back() -> bool:
                try:
                    await twin.lease("other", 0, HOUR)
                except StoreError:
                    return False
                return True

            await until(back, 20)
            assert (await twin.lease("other", 0, HOUR)).epochs == {}
            assert (await store.lease(engine.name, 0, HOUR)).epochs == engine.epochs
            await engine.commit(history=[history("r1", 2)])
            assert await number_of_events(twin) == 2
            assert await store.receive(ALL, (), 10) == []
