"""What has expired goes slot by slot; run by run only what would keep others waiting."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tenuto.model.events import ExecutionRef
from tenuto.model.policies import ExecutionStatus
from tenuto.model.search import SearchQuery
from tenuto.model.tasks import AttemptNote
from tenuto.store.postgres.store import SLOTS, PostgresStore
from tenuto.store.protocol import (
    Commit,
    Document,
    ExecutionChange,
    ExecutionFilter,
    NoteRow,
    TaskKind,
    TaskRow,
    partition_of,
)
from tests.contract.rows import ALL, HOUR, MINUTE, events, history, run, task_entry, workflow_entry
from tests.support.postgres import connected, postgres_url

ERA = 3 * 24 * HOUR
EVERY = ExecutionFilter()


@pytest.fixture
def url() -> Iterator[str]:
    with postgres_url() as url:
        yield url


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url)
    await store.open()
    yield store
    await store.close()


class Owner:
    def __init__(self, store: PostgresStore, epochs: dict[int, int]) -> None:
        self.store = store
        self.epochs = epochs

    async def start(self, name: str, start: int, **rows: Any) -> None:
        """A run called `name` with a bit of everything that belongs to runs."""
        partition = partition_of(name)
        of_run = {"partition": partition, "run_start": start}
        rows_of_run: list[Any] = [history(name, 1), workflow_entry(name, name), task_entry(f"{name}-t", name, name)]
        for row in rows_of_run:
            for key, value in of_run.items():
                setattr(row, key, value)
        events_row, workflow_row, task_row = rows_of_run
        await self.store.commit(
            Commit(
                epochs=self.epochs,
                started=[run(name, name, partition=partition, start_time=start)],
                history=[events_row],
                indexed_workflows=[workflow_row],
                indexed_tasks=[task_row],
                notes=[NoteRow(partition, name, 1, AttemptNote())],
                tasks=[TaskRow(partition, "orders", name, name, 5, TaskKind.ACTIVITY)],
                documents=[Document("c", name, b"", workflow_id=name)],
            )
        )

    async def close(self, name: str, time: int) -> None:
        change = ExecutionChange(partition_of(name), name, ExecutionStatus.COMPLETED, time, None, None, 1)
        await self.store.commit(Commit(epochs=self.epochs, changed=[change]))


@pytest.fixture
async def owner(store: PostgresStore) -> Owner:
    return Owner(store, (await store.lease("owner", 0, MINUTE)).epochs)


async def there(store: PostgresStore) -> list[str]:
    """The runs that are there; what belongs to them is there exactly if they are."""
    names = sorted(row.run_id for row in await store.find(EVERY, 1000, 0))
    assert sorted(row.run_id for row in (await store.search_workflows(SearchQuery(size=1000))).rows) == names
    assert sorted(row.run_id for row in (await store.search_tasks(SearchQuery(size=1000))).rows) == names
    assert sorted(row.run_id for row in await store.waiting_tasks(ALL, "orders", 1000)) == names
    assert [document.key for document in await store.documents("c")] == names
    for found in await store.load([ExecutionRef(name) for name in names], closed_history=True):
        assert found is not None
        assert (found.events, found.notes) == (events(1), {1: AttemptNote()})
    return names


async def rows_in(url: str, table: str) -> int:
    async with connected() as admin:
        return int(await admin.fetchval(f'SELECT count(*) FROM "{url.partition("schema=")[2]}".{table}'))


async def file_of(url: str, table: str) -> int:
    """Which file a table is in: a table that was emptied as a whole gets a new one."""
    async with connected() as admin:
        name = f'"{url.partition("schema=")[2]}".{table}'
        return int(await admin.fetchval("SELECT pg_relation_filenode($1::text::regclass)", name))


async def test_a_slot_goes_as_a_whole_once_all_of_its_runs_have_expired(
    store: PostgresStore, owner: Owner, url: str
) -> None:
    names = [f"a{number}" for number in range(10)]
    for number, name in enumerate(names):
        await owner.start(name, ERA + number)
    await owner.start("b", 2 * ERA)
    for number, name in enumerate(names[:9]):
        await owner.close(name, ERA + 100 + number)
    before = {table: await file_of(url, table) for table in ("history_1", "closed_executions_1", "history_2")}
    assert await store.purge(ERA + 1000, 0, 100) == 0
    assert await there(store) == [*names, "b"]
    await owner.close("a9", ERA + 999)
    assert await store.purge(ERA + 999, 0, 100) == 0
    assert await store.purge(ERA + 1000, 0, 1) == 10
    assert await there(store) == ["b"]
    after = {table: await file_of(url, table) for table in before}
    assert {table: after[table] != before[table] for table in before} == {
        "history_1": True, "closed_executions_1": True, "history_2": False,
    }  # fmt: skip
    assert await rows_in(url, "history") == 1
    assert await store.purge(ERA + 1000, 0, 100) == 0


async def test_a_run_that_goes_on_and_on_keeps_others_no_longer_than_an_era(store: PostgresStore, owner: Owner) -> None:
    await owner.start("long", ERA)
    for number in range(5):
        await owner.start(f"a{number}", ERA + number)
        await owner.close(f"a{number}", ERA + 100 + number)
    assert await store.purge(ERA + 1000, 0, 100) == 0
    assert await store.purge(2 * ERA + 102, 0, 100) == 2
    assert await there(store) == ["a2", "a3", "a4", "long"]
    assert await store.purge(3 * ERA, 0, 2) == 2
    assert await store.purge(3 * ERA, 0, 2) == 1
    assert await there(store) == ["long"]
    await owner.close("long", 3 * ERA)
    assert await store.purge(3 * ERA + 1, 0, 2) == 1
    assert await there(store) == []


async def test_eras_share_slots_in_turn(store: PostgresStore, owner: Owner) -> None:
    await owner.start("old", ERA)
    await owner.start("new", (SLOTS + 1) * ERA)
    await owner.close("old", ERA + 5)
    assert await store.purge(ERA + 6, 0, 100) == 0
    assert await store.purge(2 * ERA + 6, 0, 100) == 1
    assert await there(store) == ["new"]
    await owner.start("newer", (2 * SLOTS + 1) * ERA)
    await owner.close("new", (SLOTS + 1) * ERA + 5)
    assert await there(store) == ["new", "newer"]


async def test_whoever_reads_is_not_made_to_wait(store: PostgresStore, owner: Owner, url: str) -> None:
    """A slot that somebody reads is emptied another time, and what is not in use goes all the same."""
    for number in (1, 2):
        await owner.start(f"a{number}", number * ERA)
        await owner.close(f"a{number}", 2 * ERA + 5)
    async with connected() as reader, reader.transaction():
        await reader.fetch(f'SELECT * FROM "{url.partition("schema=")[2]}".history_1')
        assert await store.purge(2 * ERA + 6, 0, 100) == 1
        assert await there(store) == ["a1"]
    assert await store.purge(2 * ERA + 6, 0, 100) == 1
    assert await there(store) == []


async def test_one_process_at_a_time_purges(store: PostgresStore, owner: Owner, url: str) -> None:
    await owner.start("a", ERA)
    await owner.close("a", ERA + 5)
    other = PostgresStore(url)
    await other.open()

    gone = await asyncio.gather(*(one.purge(ERA + 6, 0, 100) for one in (store, other, store, other)))
    await other.close()
    assert sorted(gone) == [0, 0, 0, 1]


async def test_a_document_stays_as_long_as_its_last_run(store: PostgresStore, owner: Owner) -> None:
    partition = partition_of("a")
    await owner.start("a", ERA)
    await owner.close("a", ERA + 5)
    again = run("a-2", "a", partition=partition, start_time=2 * ERA)
    await store.commit(Commit(epochs=owner.epochs, started=[again]))
    assert await store.purge(ERA + 6, 0, 100) == 1
    assert [document.key for document in await store.documents("c")] == ["a"]
    change = ExecutionChange(partition, "a-2", ExecutionStatus.COMPLETED, 2 * ERA + 5, None, None, 1)
    await store.commit(Commit(epochs=owner.epochs, changed=[change]))
    assert await store.purge(2 * ERA + 6, 0, 100) == 1
    assert await store.documents("c") == []
