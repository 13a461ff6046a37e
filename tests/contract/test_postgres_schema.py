"""The schema of a PostgreSQL store: who makes it, who may use it, which version of the code."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest

from tenuto.model.errors import StoreError, StoreFormatError
from tenuto.model.events import ExecutionRef
from tenuto.store.migrations import Migration, load_migrations
from tenuto.store.postgres import schema
from tenuto.store.postgres.store import PostgresStore
from tenuto.store.protocol import Hint
from tests.contract.processes import finish, python
from tests.contract.rows import MINUTE, run
from tests.contract.smoke import smoke
from tests.support.postgres import connected, database_url, drop, new_schema, postgres_url, url_of


@pytest.fixture
def fresh() -> Iterator[str]:
    """The name of a schema that isn't there."""
    name = new_schema()
    yield name
    drop(name)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def execute(statement: str) -> list[Any]:
    async with connected() as connection:
        return list(await connection.fetch(statement))


# -- who makes it -------------------------------------------------------------------------------


async def test_the_first_who_comes_makes_the_tables(fresh: str) -> None:
    async with opened(url_of(fresh)) as store:
        await smoke(store)
    async with opened(url_of(fresh)) as store:
        await smoke(store)


async def test_several_who_come_first_at_once_make_them_once(fresh: str) -> None:
    stores = [PostgresStore(url_of(fresh)) for _ in range(6)]
    await asyncio.gather(*(store.open() for store in stores))
    await smoke(stores[3])
    await asyncio.gather(*(store.close() for store in stores))
    assert len(await execute(f'SELECT 1 FROM "{fresh}".migrations')) == len(load_migrations("postgres"))


def test_several_processes_migrate_at_once(fresh: str) -> None:
    source = """
        import asyncio, sys
        from tenuto.store.postgres.store import PostgresStore

        async def main():
            store = PostgresStore(sys.argv[1])
            print(len(await store.migrate()))
            await store.open()
            await store.close()

        asyncio.run(main())
    """
    url = url_of(fresh)
    with ExitStack() as stack:
        processes = [stack.enter_context(python(source, url)) for _ in range(3)]
        applied = [int(finish(process)) for process in processes]
    assert sorted(applied) == [0, 0, len(load_migrations("postgres"))]


async def test_the_name_of_a_schema_may_need_quotes(fresh: str) -> None:
    name = f"{fresh}_User"
    try:
        async with opened(url_of(name)) as store:
            await smoke(store)
    finally:
        await execute(f'DROP SCHEMA "{name}" CASCADE')


async def test_deployments_in_one_database_have_nothing_in_common() -> None:
    with postgres_url() as one_url, postgres_url() as other_url:
        async with opened(one_url) as one, opened(other_url) as other:
            heard: list[Hint] = []
            other.watch(heard.append)
            assert len((await one.lease("smoker", 0, MINUTE)).epochs) == 256
            lease = await other.lease("a", 0, MINUTE)
            assert (len(lease.epochs), lease.peers) == (256, 0)
            await one.send([(1, b"x")])
            await smoke(one)
            assert await other.receive(range(256), (), 10) == []
            assert await other.rows([ExecutionRef("smoke")]) == [None]
            assert heard == []


# -- who may use it -----------------------------------------------------------------------------


@pytest.fixture
async def role(fresh: str) -> AsyncIterator[str]:
    name = f"{fresh}_role"
    await execute(f'CREATE ROLE "{name}" LOGIN')
    yield name
    await execute(f'DROP OWNED BY "{name}"')
    await execute(f'DROP ROLE "{name}"')


def url_as(role: str, schema: str) -> str:
    return re.sub(r"//[^/]*@", f"//{role}@", url_of(schema))


@pytest.mark.skipif("@" not in database_url(), reason="the database's URL names no user to replace")
async def test_a_role_that_may_create_nothing_is_enough_after_a_migration(fresh: str, role: str) -> None:
    with pytest.raises(StoreError, match=r"may not do .*permission denied.* tenuto db migrate --grant ROLE"):
        await PostgresStore(url_as(role, fresh)).open()
    assert await PostgresStore(url_of(fresh)).migrate(grant=role) == [m.name for m in load_migrations("postgres")]
    async with opened(url_as(role, fresh)) as store:
        await smoke(store)
        epochs = (await store.lease("smoker", 0, MINUTE)).epochs
        assert len(epochs) == 256
        await empties_a_slot(store, epochs)
    assert await PostgresStore(url_of(fresh)).migrate(grant=role) == []


async def empties_a_slot(store: PostgresStore, epochs: dict[int, int]) -> None:
    from tenuto.store.protocol import Commit

    await store.commit(Commit(epochs={3: epochs[3]}, started=[run("old", "old", close_time=7, wake_at=None)]))
    assert await store.purge(closed_before=8, now=0, limit=10) == 1


# -- which version of the code ------------------------------------------------------------------


def migration(number: int, kind: str, source: str) -> Migration:
    return Migration(number, f"{number:04}_{kind}_test", source)


ADDITIVE = migration(
    9001,
    "pre",
    """
    DO $$
    DECLARE name text;
    BEGIN
        FOR name IN
            SELECT relname FROM pg_class
            WHERE relnamespace = '{schema}'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
        LOOP
            EXECUTE format('ALTER TABLE {schema}.%I ADD COLUMN added_later text', name);
        END LOOP;
    END
    $$;
    CREATE TABLE {schema}.added_later (partition smallint PRIMARY KEY);
    """,
)


async def apply(name: str, *migrations: Migration, post: bool = False) -> list[str]:
    store = PostgresStore(url_of(name))
    known = [*load_migrations("postgres"), *migrations]
    return await store._alone(lambda session: schema.migrate(session, store._statements, known, post=post))


async def test_this_code_goes_on_beside_the_next_additive_schema(fresh: str) -> None:
    async with opened(url_of(fresh)) as store:
        await smoke(store)
        assert await apply(fresh, ADDITIVE) == ["9001_pre_test"]
        await smoke(store)
        assert (await store.inspect()).version == 9001
    async with opened(url_of(fresh)) as store:
        await smoke(store)


async def test_code_that_a_later_schema_has_nothing_for_is_refused(fresh: str) -> None:
    destructive = migration(9002, "post", "DROP TABLE {schema}.answers CASCADE")
    assert await apply(fresh, ADDITIVE, destructive) == [
        *(m.name for m in load_migrations("postgres")), "9001_pre_test",
    ]  # fmt: skip
    async with opened(url_of(fresh)):
        pass
    assert await apply(fresh, ADDITIVE, destructive, post=True) == ["9002_post_test"]
    with pytest.raises(StoreFormatError, match=r"version 9002, for code of version 9002 and later.*Upgrade Tenuto"):
        await PostgresStore(url_of(fresh)).open()


async def test_an_older_schema_is_left_alone_until_it_is_migrated(fresh: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await apply(fresh)
    known = [*load_migrations("postgres"), ADDITIVE]
    monkeypatch.setattr("tenuto.store.postgres.store.load_migrations", lambda _: known)
    with pytest.raises(StoreFormatError, match=r"has version \d+, and this Tenuto needs version 9001.*db migrate"):
        await PostgresStore(url_of(fresh)).open()
    assert await apply(fresh, ADDITIVE) == ["9001_pre_test"]
    assert await apply(fresh, ADDITIVE) == []
    async with opened(url_of(fresh)) as store:
        await smoke(store)


async def test_a_migration_that_fails_leaves_nothing_behind(fresh: str) -> None:
    broken = migration(9001, "pre", "CREATE TABLE {schema}.half (id integer); SELECT 1 / 0;")
    with pytest.raises(StoreError, match="division by zero"):
        await apply(fresh, broken)
    assert (await PostgresStore(url_of(fresh)).inspect()).version == load_migrations("postgres")[-1].number
    assert await execute(f"SELECT 1 WHERE to_regclass('\"{fresh}\".half') IS NOT NULL") == []


async def test_tables_that_vanish_are_missed_with_a_hint(fresh: str) -> None:
    async with opened(url_of(fresh)) as store:
        await store.lease("a", 0, MINUTE)
        await execute(f'DROP SCHEMA "{fresh}" CASCADE')
        with pytest.raises(StoreFormatError, match=f"The schema {fresh} is not what .* tenuto db migrate"):
            await store.rows([ExecutionRef("x")])
