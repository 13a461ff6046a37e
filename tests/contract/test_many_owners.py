"""What stores guarantee that many members share: partitions that are spread and change hands, and claimed tasks."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tenuto.model.errors import LeaseLostError
from tenuto.model.events import ExecutionRef
from tenuto.model.search import SearchQuery
from tenuto.model.tasks import AttemptNote
from tenuto.store.protocol import PARTITIONS, Commit, Hint, NoteRow, Rank, Store, TaskKind, TaskRow
from tenuto.store.urls import open_store
from tests.contract.rows import ALL, HOUR, MINUTE, Engine, P, closed, events, history, run, task, workflow_entry
from tests.support.durable import until

pytestmark = pytest.mark.parametrize("url", ["memory", "postgres"], indirect=True)

BOTH = (TaskKind.WORKFLOW, TaskKind.ACTIVITY)


@pytest.fixture
async def third(url: str, store: Store) -> AsyncIterator[Store]:
    third = open_store(url)
    await third.open()
    yield third
    await third.close()


async def join(store: Store, name: str, rank: Rank = Rank.WORKER) -> dict[int, int]:
    return (await store.lease(name, 0, MINUTE, rank)).epochs


# -- partitions ---------------------------------------------------------------------------------


async def test_partitions_move_gently_until_all_have_a_fair_share(store: Store, twin: Store, third: Store) -> None:
    members = {"a": store, "b": twin, "c": third}
    assert len(await join(store, "a")) == PARTITIONS
    assert await join(twin, "b") == {}
    assert await join(third, "c") == {}
    lease = await store.lease("a", 0, MINUTE)
    assert (lease.surplus, lease.peers) == (PARTITIONS - 86, 2)
    held = {name: (await one.lease(name, 0, MINUTE)).epochs for name, one in members.items()}
    while (lease := await store.lease("a", 0, MINUTE)).surplus:
        given = sorted(lease.epochs)[: min(lease.surplus, 50)]
        await store.release("a", given)
        for name, one in members.items():
            held[name] = (await one.lease(name, 0, MINUTE)).epochs
            assert name == "a" or len(held[name]) <= 86
    owners = Counter(partition for epochs in held.values() for partition in epochs)
    assert sorted(owners) == list(ALL)
    assert set(owners.values()) == {1}
    assert sorted(len(epochs) for epochs in held.values()) == [84, 86, 86]
    assert set(held["a"].values()) == {1}
    assert set(held["b"].values()) | set(held["c"].values()) == {2}


async def test_what_a_member_leaves_behind_is_spread_over_the_others(store: Store, twin: Store, third: Store) -> None:
    await join(store, "a")
    await join(twin, "b")
    await store.release("a", range(128))
    assert len(await join(twin, "b")) == 128
    await store.release("a")
    assert len(await join(twin, "b")) == PARTITIONS
    await twin.close()
    assert len(await join(third, "c")) == PARTITIONS


async def test_those_who_can_do_most_own_the_partitions(store: Store, twin: Store, third: Store) -> None:
    assert len(await join(store, "client", Rank.CLIENT)) == PARTITIONS
    assert await join(twin, "worker") == {}
    assert (await store.lease("client", 0, MINUTE, Rank.CLIENT)).surplus == PARTITIONS
    await store.release("client", ALL)
    assert await join(store, "client", Rank.CLIENT) == {}
    assert len(await join(twin, "worker")) == PARTITIONS
    await join(third, "server", Rank.SERVER)
    assert (await twin.lease("worker", 0, MINUTE)).surplus == PARTITIONS
    await twin.release("worker", ALL)
    assert len(await join(third, "server", Rank.SERVER)) == PARTITIONS
    await third.release("server")
    assert len(await join(twin, "worker")) == PARTITIONS
    assert (await twin.lease("worker", 0, MINUTE, Rank.SERVER)).surplus == 0


async def test_a_silent_member_loses_everything_and_can_write_nothing(store: Store, twin: Store) -> None:
    old = Engine(store, "old")
    old.epochs = (await store.lease("old", 0, 1)).epochs
    await old.commit(started=[run("r1")], history=[history("r1", 1)])
    new = Engine(twin, "new")
    lease = await twin.lease("new", HOUR, HOUR + MINUTE)
    new.epochs = lease.epochs
    assert (len(lease.epochs), lease.peers) == (PARTITIONS, 0)
    assert all(new.epochs[partition] > old.epochs[partition] for partition in ALL)
    with pytest.raises(LeaseLostError):
        await old.commit(history=[history("r1", 2)], sent=[(1, b"x")])
    await new.commit(history=[history("r1", 2)])
    back = await store.lease("old", HOUR, HOUR + MINUTE)
    assert (back.epochs, back.surplus, back.peers) == ({}, 0, 1)
    with pytest.raises(LeaseLostError):
        await old.commit(history=[history("r1", 3)])
    assert await store.receive(ALL, (), 10) == []
    assert "new" in (await store.owner() or "")
    assert "old" not in (await store.owner() or "")


async def test_a_partition_that_was_released_is_the_others_and_the_rest_stays(store: Store, twin: Store) -> None:
    a, b = await Engine(store, "a").lease(), await Engine(twin, "b").lease()
    await a.commit(started=[run("r1")])
    await store.release("a", [P, *range(100, 227)])
    await b.lease()
    assert P in b.epochs
    with pytest.raises(LeaseLostError):
        await a.commit(history=[history("r1", 1)])
    with pytest.raises(LeaseLostError):
        await store.commit(Commit(epochs={4: a.epochs[4], P: a.epochs[P]}, sent=[(1, b"x")]))
    await store.commit(Commit(epochs={4: a.epochs[4]}, sent=[(P, b"for b")]))
    await b.commit(history=[history("r1", 1)])
    assert [row.data for row in await twin.receive([P], (), 10)] == [b"for b"]
    with pytest.raises(LeaseLostError):
        await twin.commit(Commit(epochs={4: a.epochs[4]}))
    held = (await store.lease("a", 0, MINUTE)).epochs
    assert len(held) == 128
    assert all(held[partition] == a.epochs[partition] for partition in held)


async def test_a_member_that_comes_back_at_once_gets_what_is_free(store: Store, twin: Store) -> None:
    first = await join(store, "a")
    await store.release("a")
    again = await join(store, "a")
    assert all(again[partition] == first[partition] + 1 for partition in ALL)
    await store.commit(Commit(epochs=again, sent=[(1, b"x")]))
    assert "a" in (await twin.owner() or "")


# -- tasks --------------------------------------------------------------------------------------


@pytest.fixture
async def engine(store: Store) -> Engine:
    """An owner of all partitions whose runs r1 to r9 are open."""
    engine = await Engine(store, "owner").lease()
    await engine.commit(started=[run(f"r{number}", f"w{number}") for number in range(1, 10)])
    return engine


def task_of(number: int, key: int = 5, queue: str = "orders", partition: int = P) -> TaskRow:
    return task(f"r{number}", key, queue, f"w{number}", partition)


async def test_a_task_is_claimed_once_and_the_oldest_first(store: Store, twin: Store, engine: Engine) -> None:
    await join(twin, "worker")
    tasks = [task_of(3), task_of(1), task_of(2, 0), task_of(2), task_of(4, queue="mail")]
    await engine.commit(tasks=tasks[:2])
    await engine.commit(tasks=tasks[2:])
    assert await twin.claim("worker", "nobody's", BOTH, 10, 7) == []
    (first,) = await twin.claim("worker", "orders", [TaskKind.ACTIVITY], 1, 7)
    assert (first.run_id, first.key, first.claimed_by) == ("r3", 5, "worker")
    assert first.claimed_at > 0
    rest = await store.claim("owner", "orders", BOTH, 10, 8)
    assert sorted((one.run_id, one.key) for one in rest) == [("r1", 5), ("r2", 0), ("r2", 5)]
    assert [one.run_id for one in rest if one.key] == ["r1", "r2"]
    assert {one.claimed_by for one in rest} == {"owner"}
    assert await twin.claim("worker", "orders", BOTH, 10, 9) == []
    assert await store.waiting_tasks(ALL, "orders", 10) == []
    assert await twin.claim("worker", "mail", [TaskKind.WORKFLOW], 10, 9) == []
    assert [one.run_id for one in await twin.claim("worker", "mail", BOTH, 10, 9)] == ["r4"]


async def test_a_claimed_task_comes_with_all_that_was_said_of_it(store: Store, engine: Engine) -> None:
    asked = TaskRow(P, "orders", "w1", "r1", -7, TaskKind.QUERY, b"\x00what\xff")
    await engine.commit(tasks=[asked])
    (found,) = await store.load([ExecutionRef("w1")])
    assert found is not None
    assert found.tasks == [asked]
    (claimed,) = await store.claim("owner", "orders", [TaskKind.QUERY], 10, 7)
    assert claimed == TaskRow(P, "orders", "w1", "r1", -7, TaskKind.QUERY, b"\x00what\xff", "owner", claimed.claimed_at)
    (found,) = await store.load([ExecutionRef("w1")])
    assert found is not None
    assert found.tasks == [claimed]
    assert await store.waiting_tasks(ALL, "orders", 10) == []


async def test_who_claimed_a_task_learns_whether_to_go_on(store: Store, twin: Store, engine: Engine) -> None:
    await join(twin, "worker")
    await engine.commit(tasks=[task_of(number) for number in (1, 2, 3, 4)])
    tasks = await twin.claim("worker", "orders", BOTH, 10, 7)
    assert await twin.held("worker", tasks) == ["", "", "", ""]
    assert await store.held("owner", tasks) == [None] * 4
    await engine.commit(cancelled=[(tasks[1], "enough: \x00ü"), (tasks[3], "late")], tasks_done=[tasks[2]])
    assert await twin.held("worker", tasks) == ["", "enough: \x00ü", None, "late"]
    await engine.commit(tasks_done=[tasks[0]], cancelled=[(tasks[3], "too late")])
    await engine.commit(tasks=[task_of(1)])
    (again,) = await twin.claim("worker", "orders", BOTH, 10, tasks[0].claimed_at + 1)
    assert await twin.held("worker", [tasks[0], again, tasks[3]]) == [None, "", "too late"]
    assert await twin.held("worker", []) == []


async def test_the_owner_sees_claims_and_which_are_lost(store: Store, twin: Store, engine: Engine) -> None:
    await join(twin, "worker")
    await engine.commit(tasks=[task_of(1), task_of(2)])
    assert await store.claims(ALL, 0) == []
    (first,) = await twin.claim("worker", "orders", BOTH, 1, 7)
    assert [(claim.task, claim.lost) for claim in await store.claims(ALL, 0)] == [(first, False)]
    assert await store.claims(ALL, first.claimed_at + HOUR) == []
    assert await store.claims([P + 1], 0) == []
    await engine.commit(tasks_done=[first])
    assert await store.claims(ALL, 0) == []
    (second,) = await twin.claim("worker", "orders", BOTH, 1, 9)
    await twin.release("worker")
    (lost,) = await store.claims(ALL, second.claimed_at + HOUR)
    assert (lost.task, lost.lost) == (second, True)
    await engine.commit(tasks_done=[second], tasks=[task_of(3)])
    await engine.commit(tasks=[task_of(2)])
    assert await store.claims(ALL, 0) == []
    assert [one.run_id for one in await store.claim("owner", "orders", BOTH, 10, 11)] == ["r3", "r2"]


async def test_a_task_can_be_handed_over_with_its_claim(store: Store, twin: Store, engine: Engine) -> None:
    running = TaskRow(P, "orders", "w1", "r1", 5, TaskKind.ACTIVITY, b"", "owner", 17)
    await engine.commit(tasks=[running])
    assert await store.waiting_tasks(ALL, "orders", 10) == []
    assert await twin.claim("worker", "orders", BOTH, 10, 7) == []
    assert await store.held("owner", [running]) == [""]
    assert [(claim.task, claim.lost) for claim in await twin.claims([P], 17)] == [(running, False)]
    assert await twin.claims([P], 18) == []


async def test_a_run_that_is_removed_leaves_no_claims(store: Store, engine: Engine) -> None:
    await engine.commit(tasks=[task_of(1), task_of(2)])
    claimed = await store.claim("owner", "orders", BOTH, 1, 7)
    await engine.commit(removed=[(P, "r1"), (P, "r2")])
    assert await store.held("owner", claimed) == [None]
    assert await store.claims(ALL, 0) == []
    assert await store.claim("owner", "orders", BOTH, 10, 7) == []


async def test_tasks_of_no_partition_starve(store: Store, engine: Engine) -> None:
    numbers = range(0, PARTITIONS, 16)
    names = [f"p{number}" for number in numbers]
    pairs = list(zip(numbers, names, strict=True))
    await store.commit(Commit(epochs=engine.epochs, started=[run(name, name, partition=p) for p, name in pairs]))
    rows = [TaskRow(p, "many", name, name, key, TaskKind.ACTIVITY) for key in range(1, 5) for p, name in pairs]
    await store.commit(Commit(epochs=engine.epochs, tasks=rows))
    claimed: list[TaskRow] = []
    for _ in range(len(rows) // 2):
        claimed += await store.claim("owner", "many", [TaskKind.ACTIVITY], 2, 7)
    assert len(claimed) == len(rows)
    assert {row.partition for row in claimed[: len(rows) // 2]} >= set(numbers[: len(numbers) // 2])
    for p, name in pairs:
        assert [row.key for row in claimed if row.run_id == name] == [1, 2, 3, 4], p


# -- what others read and hear ------------------------------------------------------------------


async def test_rows_are_read_without_what_belongs_to_them(store: Store, twin: Store, engine: Engine) -> None:
    await engine.commit(
        history=[history("r1", 1)], notes=[NoteRow(P, "r1", 1, AttemptNote())], changed=[closed("r2", 20)]
    )
    refs = [ExecutionRef("w1"), ExecutionRef("w2", "r2"), ExecutionRef("w1", "r2"), ExecutionRef("nobody")]
    rows = await twin.rows(refs)
    assert [row.run_id if row else None for row in rows] == ["r1", "r2", None, None]
    assert [found.row if found else None for found in await store.load(refs)] == rows
    assert await store.rows([]) == []


async def test_texts_may_be_anything(store: Store, engine: Engine) -> None:
    odd = "a\x00b\x01\x02ü\U0001f600'\"\\%_"
    await engine.commit(
        started=[run("r\x00", odd, task_queue=odd, workflow_type=odd, problem=odd, request_id=odd)],
        tasks=[TaskRow(P, odd, odd, "r\x00", 1, TaskKind.ACTIVITY)],
        history=[history("r\x00", 1)],
        answers=[(odd, b"\x00", 0)],
        indexed_workflows=[workflow_entry("r\x00", odd, correlation_id=odd)],
    )
    (found,) = await store.load([ExecutionRef(odd)])
    assert found is not None
    row = found.row
    assert (row.workflow_id, row.run_id, row.task_queue, row.problem, row.request_id) == (odd, "r\x00", odd, odd, odd)
    assert found.events == events(1)
    assert await store.answers([odd, "other"]) == {odd: b"\x00"}
    assert [one.workflow_id for one in (await store.search_workflows(SearchQuery(free_text="\x00b"))).rows] == [odd]
    (claimed,) = await store.claim("owner", odd, BOTH, 10, 7)
    assert await store.held("owner", [claimed]) == [""]


async def test_others_are_told_what_concerns_them(store: Store, twin: Store) -> None:
    heard: list[Hint] = []
    twin.watch(heard.append)
    await join(twin, "client", Rank.CLIENT)
    await store.lease("owner", 0, MINUTE)
    engine = await Engine(store, "owner").lease()
    await twin.release("client", ALL)
    await engine.lease()
    await engine.commit(started=[run("r1")])

    async def is_told(of: Callable[[Hint], bool], act: Callable[[], Awaitable[None]]) -> None:
        """Again and again, for a hint may be lost: nobody listens yet, for instance."""
        heard.clear()

        async def acted() -> bool:
            await act()
            return any(of(hint) for hint in heard)

        await until(acted)

    await is_told(lambda hint: hint.leases, lambda: store.release("owner", [P + 1]))
    await is_told(lambda hint: P + 1 in hint.partitions, lambda: store.send([(P + 1, b"x")]))
    await is_told(lambda hint: "mail" in hint.task_queues, lambda: engine.commit(tasks=[task("r1", 5, "mail")]))
    await is_told(lambda hint: hint.answers, lambda: engine.commit(answers=[("q", b"a", 0)]))
    await is_told(lambda hint: hint.closed, lambda: engine.commit(changed=[closed("r1", 20)]))
    twin.watch(None)
