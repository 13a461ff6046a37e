"""What every store guarantees: one test a promise of `protocol.py`."""

import pytest

from tenuto.model.errors import LeaseLostError, StoreError
from tenuto.model.events import ExecutionRef
from tenuto.model.failures import ApplicationFailure, Failure
from tenuto.model.payloads import Payload
from tenuto.model.policies import ExecutionStatus
from tenuto.model.search import SearchQuery
from tenuto.model.tasks import AttemptNote
from tenuto.store.protocol import (
    Commit,
    Document,
    Due,
    ExecutionChange,
    ExecutionFilter,
    InboxRow,
    NoteRow,
    Store,
)
from tests.contract.rows import (
    ALL,
    HOUR,
    MINUTE,
    Engine,
    P,
    closed,
    events,
    history,
    run,
    task,
    task_entry,
    workflow_entry,
)

ORDER = ExecutionRef("order")
EVERY = ExecutionFilter()


@pytest.fixture
async def engine(store: Store) -> Engine:
    return await Engine(store).lease()


async def ids(store: Store, limit: int = 100, offset: int = 0, **asked: object) -> list[str]:
    rows = await store.find(ExecutionFilter(**asked), limit, offset)  # type: ignore[arg-type]
    return [row.run_id for row in rows]


# -- open, close --------------------------------------------------------------------------------


async def test_a_store_that_is_not_open_says_so(url: str, store: Store) -> None:
    await store.close()
    with pytest.raises(StoreError, match="is not open"):
        await store.find(EVERY, 1, 0)
    await store.close()
    await store.open()
    with pytest.raises(StoreError, match="is open already"):
        await store.open()
    assert await store.find(EVERY, 1, 0) == []


# -- leases -------------------------------------------------------------------------------------


async def test_a_lease_covers_every_partition_and_keeps_its_epochs(store: Store) -> None:
    first = await store.lease("a", now=0, until=MINUTE)
    assert sorted(first.epochs) == list(ALL)
    assert await store.lease("a", now=5, until=MINUTE) == first


async def test_an_owned_store_names_its_owner(store: Store, twin: Store) -> None:
    assert await store.owner() is None
    await store.lease("engine-a", now=0, until=MINUTE)
    for one in (store, twin):
        assert "engine-a" in (await one.owner() or "")


async def test_a_new_owner_gets_higher_epochs(store: Store, twin: Store) -> None:
    before = await store.lease("a", now=0, until=MINUTE)
    await store.release("a")
    assert await twin.owner() is None
    after = await twin.lease("b", now=1, until=MINUTE)
    assert all(after.epochs[p] > before.epochs[p] for p in ALL)


async def test_close_releases_the_lease(store: Store, twin: Store) -> None:
    await store.lease("a", now=0, until=MINUTE)
    await store.close()
    await twin.lease("b", now=1, until=MINUTE)


async def test_only_the_owner_can_release(store: Store, twin: Store) -> None:
    await store.lease("a", now=0, until=MINUTE)
    await twin.release("a")
    await store.release("b")
    assert "a" in (await twin.owner() or "")


# -- commit -------------------------------------------------------------------------------------


async def test_a_commit_after_losing_the_lease_writes_nothing(store: Store, twin: Store) -> None:
    old = await Engine(store, "old").lease()
    await old.commit(started=[run("r1")], history=[history("r1", 1)])
    await store.release("old")
    new = await Engine(twin, "new").lease()
    stale: list[dict[str, object]] = [
        {"history": [history("r1", 2)]},
        {"started": [run("r2", "other")], "sent": [(1, b"x")], "answers": [("q", b"a", 0)]},
        {"changed": [closed("r1", 200)]},
        {},
    ]
    for rows in stale:
        with pytest.raises(LeaseLostError):
            await old.commit(**rows)
    await store.close()
    await store.open()
    for rows in stale:
        with pytest.raises(LeaseLostError):
            await old.commit(**rows)
    assert await ids(twin) == ["r1"]
    assert await twin.receive(ALL, (), 10) == []
    assert await twin.answers(["q"]) == {}
    (found,) = await twin.load([ORDER])
    assert found is not None
    assert found.events == events(1)
    assert found.row.close_time is None
    await new.commit(history=[history("r1", 2)])


async def test_a_released_lease_fences_before_anyone_takes_it(engine: Engine) -> None:
    await engine.store.release(engine.name)
    with pytest.raises(LeaseLostError):
        await engine.commit(started=[run("r1")])


async def test_a_wrong_epoch_is_refused(store: Store, engine: Engine) -> None:
    for epoch in (engine.epochs[P] - 1, engine.epochs[P] + 1):
        with pytest.raises(LeaseLostError):
            await store.commit(Commit(epochs={P: epoch}, sent=[(1, b"x")]))
    with pytest.raises(LeaseLostError):
        await store.commit(Commit(epochs={P: engine.epochs[P], 4: 99}, sent=[(1, b"x")]))
    assert await store.receive(ALL, (), 10) == []


@pytest.mark.parametrize(
    "impossible",
    [
        {"history": [history("nobody", 1)]},
        {"history": [history("r1", 2), history("r1", 1)]},
        {"history": [history("r1", 2), history("r1", 2)]},
        {"started": [run("r1")]},
        {"tasks": [task("nobody")]},
        {"notes": [NoteRow(P, "nobody", 1, AttemptNote())]},
    ],
)
@pytest.mark.parametrize("alone", [True, False])
async def test_a_commit_that_contradicts_what_is_stored_writes_nothing(
    store: Store, engine: Engine, impossible: dict[str, list[object]], alone: bool
) -> None:
    await engine.commit(started=[run("r1")], history=[history("r1", 1)])
    company: dict[str, list[object]] = {} if alone else {"sent": [(1, b"x")], "answers": [("q", b"a", 0)]}
    with pytest.raises(StoreError):
        await engine.commit(**(company | impossible))
    (found,) = await store.load([ORDER])
    assert found is not None
    assert found.events == events(1)
    assert await store.receive(ALL, (), 10) == []
    assert await store.answers(["q"]) == {}
    await engine.commit(history=[history("r1", 2)])


@pytest.mark.parametrize("number", [1, 2, 3, 200, 512, 513, 1300])
async def test_commits_of_any_size(store: Store, engine: Engine, number: int) -> None:
    names = [f"r{i:04}" for i in range(number)]
    await engine.commit(
        started=[run(name, name) for name in names],
        history=[history(name, 1) for name in names],
        notes=[NoteRow(P, name, 1, AttemptNote(attempt=2)) for name in names],
        tasks=[task(name, workflow_id=name) for name in names],
        sent=[(P, name.encode()) for name in names],
        answers=[(name, name.encode(), 0) for name in names],
    )
    await engine.commit(history=[history(name, 2) for name in names])
    found = await store.load([ExecutionRef(name) for name in names])
    for name, one in zip(names, found, strict=True):
        assert one is not None
        assert one.row.run_id == name
        assert one.events == events(1, 2)
        assert one.notes == {1: AttemptNote(attempt=2)}
    assert [row.data.decode() for row in await store.receive(ALL, (), 2000)] == names
    assert [row.run_id for row in await store.waiting_tasks(ALL, "orders", 2000)] == names
    assert await store.answers([names[-1]]) == {names[-1]: names[-1].encode()}
    await engine.commit(
        changed=[closed(name, 200) for name in names],
        notes=[NoteRow(P, name, 1, None) for name in names],
        tasks_done=[task(name) for name in names],
        received=[(row.partition, row.id) for row in await store.receive(ALL, (), 2000)],
    )
    assert await store.count(EVERY) == {ExecutionStatus.COMPLETED: number}
    assert await store.receive(ALL, (), 2000) == []
    assert await store.waiting_tasks(ALL, "orders", 2000) == []
    assert all(one and not one.notes for one in await store.load([ExecutionRef(n) for n in names]))
    assert await store.purge(closed_before=300, now=0, limit=2000) == number


async def test_within_a_commit_the_last_word_counts(store: Store, engine: Engine) -> None:
    await engine.commit(
        started=[run("r1")],
        changed=[closed("r1", 5), closed("r1", 6)],
        notes=[
            NoteRow(P, "r1", 1, AttemptNote(attempt=1)),
            NoteRow(P, "r1", 1, AttemptNote(attempt=2)),
            NoteRow(P, "r1", 2, AttemptNote()),
            NoteRow(P, "r1", 2, None),
        ],
        tasks=[task("r1")],
        tasks_done=[task("r1")],
        answers=[("q", b"first", 0), ("q", b"last", 0)],
    )
    (found,) = await store.load([ORDER])
    assert found is not None
    assert (found.row.close_time, found.row.wake_at, found.row.history_length) == (6, None, 7)
    assert found.notes == {1: AttemptNote(attempt=2)}
    assert await store.waiting_tasks(ALL, "orders", 10) == []
    assert await store.answers(["q"]) == {"q": b"last"}


async def test_what_was_committed_is_not_changed_from_outside(store: Store, engine: Engine) -> None:
    row, note = run("r1"), AttemptNote()
    await engine.commit(started=[row], notes=[NoteRow(P, "r1", 1, note)])
    row.problem = "changed"
    note.attempt = 9
    (found,) = await store.load([ORDER])
    assert found is not None
    found.row.problem = "changed"
    found.notes.clear()
    (again,) = await store.load([ORDER])
    assert again is not None
    assert again.row.problem is None
    assert again.notes == {1: AttemptNote()}


# -- load ---------------------------------------------------------------------------------------


async def test_every_column_comes_back(store: Store, engine: Engine) -> None:
    row = run(
        "r2",
        first_run_id="r1",
        request_id="q1",
        parent_workflow_id="parent",
        parent_run_id="p1",
        memo=b"\x00memo",
        wake_at=17,
        problem="stuck: ü",
        history_length=3,
    )
    note = AttemptNote(2, 5, Failure("failed", ApplicationFailure("Oops")), [Payload(b"\x00\xff")], 6, 7)
    await engine.commit(started=[row], notes=[NoteRow(P, "r2", 5, note)])
    (found,) = await store.load([ORDER])
    assert found is not None
    assert found.row == row
    assert found.notes == {5: note}
    assert await store.find(EVERY, 10, 0) == [row]


async def test_load_finds_the_latest_run_or_the_one_named(store: Store, engine: Engine) -> None:
    await engine.commit(started=[run("r9")], changed=[closed("r9", 1)])
    await engine.commit(started=[run("r1"), run("x1", "other")])
    refs = [
        ORDER,
        ExecutionRef("order", "r9"),
        ExecutionRef("order", "r1"),
        ExecutionRef("other"),
        ExecutionRef("other", "r1"),
        ExecutionRef("nobody"),
        ExecutionRef("order", "nobody"),
        ORDER,
    ]
    found = await store.load(refs)
    assert [one.row.run_id if one else None for one in found] == [
        "r1", "r9", "r1", "x1", None, None, None, "r1",
    ]  # fmt: skip
    assert await store.load([]) == []


async def test_history_comes_in_order_and_for_closed_runs_when_asked(store: Store, engine: Engine) -> None:
    await engine.commit(started=[run("r1"), run("x1", "other")])
    await engine.commit(history=[history("r1", 1, 3), history("x1", 1)])
    await engine.commit(history=[history("x1", 2), history("r1", 4, 2), history("r1", 6)])
    size = sum(len(row.events) for row in (history("r1", 1, 3), history("r1", 4, 2), history("r1", 6)))
    (found,) = await store.load([ORDER])
    assert found is not None
    assert (found.events, found.history_size) == (events(1, 6), size)
    await engine.commit(changed=[closed("r1", 200)])
    bare, other = await store.load([ORDER, ExecutionRef("other")])
    assert bare is not None
    assert other is not None
    assert (bare.events, bare.history_size) == ([], size)
    assert other.events == events(1, 2)
    (whole,) = await store.load([ORDER], closed_history=True)
    assert whole is not None
    assert (whole.events, whole.history_size) == (events(1, 6), size)


async def test_a_commit_is_seen_by_everybody_at_once(engine: Engine, twin: Store) -> None:
    await engine.commit(started=[run("r1")])
    for number in range(1, 20):
        await engine.commit(history=[history("r1", number)])
        (found,) = await twin.load([ORDER])
        assert found is not None
        assert len(found.events) == number


async def test_notes_are_replaced_and_deleted(store: Store, engine: Engine) -> None:
    async def notes() -> dict[int, AttemptNote]:
        (found,) = await store.load([ORDER])
        assert found is not None
        return found.notes

    await engine.commit(started=[run("r1"), run("x1", "other")])
    await engine.commit(notes=[NoteRow(P, "r1", 5, AttemptNote(1)), NoteRow(P, "r1", 6, AttemptNote(1))])
    await engine.commit(notes=[NoteRow(P, "r1", 5, AttemptNote(2)), NoteRow(P, "x1", 5, AttemptNote(3))])
    assert await notes() == {5: AttemptNote(2), 6: AttemptNote(1)}
    await engine.commit(notes=[NoteRow(P, "r1", 5, None), NoteRow(P, "r1", 99, None)])
    assert await notes() == {6: AttemptNote(1)}


# -- tasks, messages, answers -------------------------------------------------------------------


async def test_tasks_wait_oldest_first_until_done(store: Store, engine: Engine) -> None:
    await engine.commit(started=[run("r2", "b"), run("r1", "a", partition=4)])
    await engine.commit(tasks=[task("r2", 9, workflow_id="b"), task("r1", 5, workflow_id="a", partition=4)])
    await engine.commit(tasks=[task("r2", 1, workflow_id="b"), task("r2", 3, "mail", "b")])
    waiting = await store.waiting_tasks(ALL, "orders", 10)
    assert waiting == [
        task("r2", 9, workflow_id="b"),
        task("r1", 5, workflow_id="a", partition=4),
        task("r2", 1, workflow_id="b"),
    ]
    assert await store.waiting_tasks(ALL, "orders", 2) == waiting[:2]
    assert await store.waiting_tasks([4, 5], "orders", 10) == waiting[1:2]
    assert await store.waiting_tasks(ALL, "nobody's", 10) == []
    await engine.commit(tasks=waiting[2:], tasks_done=waiting[:1])
    assert await store.waiting_tasks(ALL, "orders", 10) == waiting[1:]


async def test_messages_keep_their_order_and_stay_until_removed(store: Store, twin: Store) -> None:
    engine = await Engine(store).lease()
    await twin.send([(1, b"a"), (2, b"b"), (1, b"c")])
    await engine.commit(sent=[(1, b"d")])
    await twin.send([(1, b"e")])
    await twin.send([])
    found = await store.receive(ALL, (), 10)
    assert [row.data for row in found] == [b"a", b"b", b"c", b"d", b"e"]
    numbers = [row.id for row in found]
    assert numbers == sorted(set(numbers))
    assert await store.receive(ALL, numbers[:2], 2) == found[2:4]
    assert await store.receive([2, 7], (), 10) == [InboxRow(numbers[1], 2, b"b")]
    await engine.commit(received=[(1, numbers[0]), (1, numbers[3]), (1, 10_000)])
    assert [row.data for row in await twin.receive(ALL, (), 10)] == [b"b", b"c", b"e"]


async def test_ids_of_messages_are_never_used_again(store: Store, engine: Engine) -> None:
    last = 0
    for _ in range(3):
        await store.send([(1, b"x")])
        (row,) = await store.receive(ALL, (), 10)
        assert row.id > last
        last = row.id
        await engine.commit(received=[(1, last)])


async def test_answers_are_kept_for_an_hour(store: Store, engine: Engine) -> None:
    assert await store.answers(["q1"]) == {}
    await engine.commit(answers=[("q1", b"one", 0), ("q2", b"two", 1)])
    assert await store.answers(["q1"]) == {"q1": b"one"}
    assert await store.purge(closed_before=0, now=HOUR, limit=1) == 0
    assert await store.answers(["q1"]) == {"q1": b"one"}
    await store.purge(closed_before=0, now=HOUR + 1, limit=1)
    assert await store.answers(["q1"]) == {}
    assert await store.answers(["q2"]) == {"q2": b"two"}


# -- due ----------------------------------------------------------------------------------------


async def test_due_runs_come_in_pages(store: Store, engine: Engine) -> None:
    await engine.commit(
        started=[
            run("r1", "w1", wake_at=50),
            run("r2", "w2", wake_at=0),
            run("r3", "w3", wake_at=None),
            run("r4", "w4", wake_at=50),
            run("r5", "w5", wake_at=100),
            run("r6", "w6", wake_at=30, partition=4),
        ]
    )
    everything = [Due("w2", "r2", 0), Due("w6", "r6", 30), Due("w1", "r1", 50), Due("w4", "r4", 50)]
    assert await store.due(ALL, 100, None, 10) == everything
    seen: list[Due] = []
    while page := await store.due(ALL, 100, seen[-1] if seen else None, 3):
        seen += page
    assert seen == everything
    assert await store.due([4], 100, None, 10) == everything[1:2]
    assert await store.due([], 100, None, 10) == []
    await engine.commit(
        changed=[ExecutionChange(P, "r2", ExecutionStatus.RUNNING, None, 101, None, 0), closed("r1", 60)]
    )
    assert await store.due(ALL, 102, None, 10) == [
        *everything[1:2],
        everything[3],
        Due("w5", "r5", 100),
        Due("w2", "r2", 101),
    ]


# -- find, count --------------------------------------------------------------------------------


@pytest.fixture
async def listed(engine: Engine) -> None:
    """Five runs, newest last."""
    await engine.commit(
        started=[
            run("r1", "order-1", start_time=10, workflow_type="Order"),
            run("r2", "order-1", start_time=20, workflow_type="Order", problem="no such type"),
            run("r3", "order-2", start_time=30, workflow_type="Refund", task_queue="refunds"),
            run("r4", "orders", start_time=40, workflow_type="Order", parent_workflow_id="order-2"),
            run("r5", "mail%_", start_time=40, workflow_type="Mail"),
        ]
    )
    await engine.commit(changed=[closed("r1", 100), closed("r3", 110, ExecutionStatus.FAILED)])


RUNNING, COMPLETED, FAILED = ExecutionStatus.RUNNING, ExecutionStatus.COMPLETED, ExecutionStatus.FAILED


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, "r5 r4 r3 r2 r1"),
        ({"workflow_id": "order-1"}, "r2 r1"),
        ({"workflow_id": "order-1", "workflow_id_prefix": "order"}, "r2 r1"),
        ({"workflow_id": "order-1", "workflow_id_prefix": "mail"}, ""),
        ({"workflow_id": "order-"}, ""),
        ({"workflow_id_prefix": "order-"}, "r3 r2 r1"),
        ({"workflow_id_prefix": "order"}, "r4 r3 r2 r1"),
        ({"workflow_id_prefix": "mail%"}, "r5"),
        ({"workflow_id_prefix": "%"}, ""),
        ({"workflow_id_prefix": ""}, "r5 r4 r3 r2 r1"),
        ({"workflow_types": ("Mail", "Refund")}, "r5 r3"),
        ({"workflow_types": ()}, ""),
        ({"statuses": (RUNNING,)}, "r5 r4 r2"),
        ({"statuses": (COMPLETED, FAILED)}, "r3 r1"),
        ({"statuses": (RUNNING, FAILED)}, "r5 r4 r3 r2"),
        ({"task_queue": "refunds"}, "r3"),
        ({"stuck": True}, "r2"),
        ({"stuck": False}, "r5 r4 r3 r1"),
        ({"stuck": True, "statuses": (COMPLETED,)}, ""),
        ({"started_after": 20}, "r5 r4 r3"),
        ({"started_before": 20}, "r1"),
        ({"started_after": 10, "started_before": 40}, "r3 r2"),
        ({"closed_after": 100}, "r3"),
        ({"closed_before": 110}, "r1"),
        ({"parent_workflow_id": "order-2"}, "r4"),
        ({"workflow_id_prefix": "order", "statuses": (RUNNING,), "workflow_types": ("Order",)}, "r4 r2"),
    ],
)
@pytest.mark.usefixtures("listed")
async def test_find_and_count_agree_on_what_matches(store: Store, asked: dict[str, object], found: str) -> None:
    matching = found.split()
    assert await ids(store, **asked) == matching
    assert await ids(store, limit=2, offset=1, **asked) == matching[1:3]
    counts = await store.count(ExecutionFilter(**asked))  # type: ignore[arg-type]
    assert sum(counts.values()) == len(matching)
    assert 0 not in counts.values()


@pytest.mark.usefixtures("listed")
async def test_counts_are_by_status(store: Store) -> None:
    assert await store.count(EVERY) == {RUNNING: 3, COMPLETED: 1, FAILED: 1}


# -- opened again, removed ----------------------------------------------------------------------


async def test_a_closed_run_can_be_opened_again(store: Store, engine: Engine) -> None:
    await engine.commit(started=[run("r1")], history=[history("r1", 1)], changed=[closed("r1", 20)])
    again = ExecutionChange(P, "r1", RUNNING, None, 50, None, 2)
    await engine.commit(changed=[again], history=[history("r1", 2)])
    assert await store.purge(closed_before=1000, now=0, limit=10) == 0
    assert await store.due(ALL, 100, None, 10) == [Due("order", "r1", 50)]
    (found,) = await store.load([ORDER])
    assert found is not None
    assert (found.row.status, found.row.close_time, found.row.wake_at) == (RUNNING, None, 50)
    assert found.events == events(1, 2)
    assert await ids(store, statuses=(RUNNING,)) == ["r1"]
    assert await store.count(EVERY) == {RUNNING: 1}
    await engine.commit(changed=[closed("r1", 30, FAILED)])
    assert await store.due(ALL, 100, None, 10) == []
    assert await ids(store, closed_after=20) == ["r1"]
    assert await store.purge(closed_before=31, now=0, limit=10) == 1


async def test_a_removed_run_is_forgotten_with_all_that_is_its(store: Store, engine: Engine) -> None:
    await engine.commit(
        started=[run("r1"), run("r2"), run("r3", "other")],
        history=[history(name, 1) for name in ("r1", "r2", "r3")],
        notes=[NoteRow(P, "r1", 1, AttemptNote())],
        tasks=[task("r1"), task("r3", workflow_id="other")],
        indexed_workflows=[workflow_entry("r1"), workflow_entry("r3", "other")],
        indexed_tasks=[task_entry("t1"), task_entry("t3", "r3", "other")],
        documents=[Document("c", name, b"", workflow_id=name) for name in ("order", "other")],
    )
    await engine.commit(removed=[(P, "r1"), (P, "r1"), (P, "unknown"), (P, "-1")], history=[history("r1", 2)])
    assert await ids(store) == ["r3", "r2"]
    assert await store.load([ExecutionRef("order", "r1")]) == [None]
    assert [row.run_id for row in await store.waiting_tasks(ALL, "orders", 10)] == ["r3"]
    assert [row.run_id for row in (await store.search_workflows(SearchQuery())).rows] == ["r3"]
    assert [row.task_id for row in (await store.search_tasks(SearchQuery())).rows] == ["t3"]
    assert await store.count_documents("c") == 2
    await engine.commit(removed=[(P, "r2"), (P, "r3")])
    assert await ids(store) == []
    assert await store.count_documents("c") == 0
    await engine.commit(started=[run("r1")], history=[history("r1", 1)])
    (found,) = await store.load([ORDER])
    assert found is not None
    assert (found.events, found.notes) == (events(1), {})


async def test_a_run_that_is_started_and_removed_in_one_commit_is_not_there(store: Store, engine: Engine) -> None:
    await engine.commit(
        started=[run("r1")], indexed_tasks=[task_entry("t1")], removed=[(P, "r1")], sent=[(P, b"still sent")]
    )
    assert await ids(store) == []
    assert await store.find_tasks(["t1"]) == [None]
    assert [row.data for row in await store.receive(ALL, (), 10)] == [b"still sent"]


# -- purge --------------------------------------------------------------------------------------


async def test_purge_forgets_the_oldest_closed_runs_and_what_is_theirs(store: Store, engine: Engine) -> None:
    names = ["r1", "r2", "r3", "r4"]
    await engine.commit(
        started=[run(name, name) for name in names],
        history=[history(name, 1) for name in names],
        notes=[NoteRow(P, name, 1, AttemptNote()) for name in names],
        tasks=[task(name, workflow_id=name) for name in names],
    )
    await engine.commit(changed=[closed("r2", 30), closed("r1", 20), closed("r3", 40)])
    assert await store.purge(closed_before=40, now=0, limit=1) == 1
    assert await ids(store) == ["r4", "r3", "r2"]
    assert await store.purge(closed_before=40, now=0, limit=10) == 1
    assert await store.purge(closed_before=40, now=0, limit=10) == 0
    assert await ids(store) == ["r4", "r3"]
    assert [one.run_id for one in await store.waiting_tasks(ALL, "orders", 10)] == ["r3", "r4"]
    assert await store.load([ExecutionRef("r1"), ExecutionRef("r2", "r2")]) == [None, None]
    await engine.commit(started=[run("r1", "r1")], history=[history("r1", 1)])
    (again,) = await store.load([ExecutionRef("r1")])
    assert again is not None
    assert (again.events, again.notes) == (events(1), {})
