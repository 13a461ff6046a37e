"""One life of a run that touches every verb of a store, for tests of where and how a store runs."""

from __future__ import annotations

from typing import Any

from tenuto.model.events import ExecutionRef
from tenuto.model.policies import ExecutionStatus
from tenuto.model.search import SearchQuery
from tenuto.model.tasks import AttemptNote
from tenuto.store.protocol import (
    Commit,
    Document,
    ExecutionChange,
    ExecutionFilter,
    NoteRow,
    Store,
    TaskKind,
    TaskRow,
    partition_of,
)
from tests.contract.rows import MINUTE, events, history, run, task_entry, workflow_entry


async def smoke(store: Store, name: str = "smoke") -> None:
    """Start, run, search, close and purge a run called `name`; the store's member owns its partition."""
    run_id = f"{name}-1"
    partition = partition_of(name)
    lease = await store.lease("smoker", 0, MINUTE)

    async def commit(**rows: Any) -> None:
        await store.commit(Commit(epochs={partition: lease.epochs[partition]}, **rows))

    def of_run(row: Any) -> Any:
        row.partition = partition
        return row

    await commit(
        started=[run(run_id, name, partition=partition)],
        history=[of_run(history(run_id, 1))],
        notes=[NoteRow(partition, run_id, 1, AttemptNote())],
        tasks=[TaskRow(partition, "orders", name, run_id, 5, TaskKind.ACTIVITY)],
        sent=[(partition, b"hello")],
        answers=[(name, b"yes", 0)],
        indexed_workflows=[of_run(workflow_entry(run_id, name))],
        indexed_tasks=[of_run(task_entry(f"{name}-t", run_id, name))],
        documents=[Document("smoke", name, b"{}", workflow_id=name)],
    )
    (found,) = await store.load([ExecutionRef(name)])
    assert found is not None
    assert (found.events, found.notes) == (events(1), {1: AttemptNote()})
    assert [due.run_id for due in await store.due([partition], 1, None, 10)] == [run_id]
    (message,) = await store.receive([partition], (), 10)
    assert (await store.answers([name])) == {name: b"yes"}
    (task,) = await store.claim("smoker", "orders", [TaskKind.ACTIVITY], 10, 0)
    assert await store.held("smoker", [task]) == [""]
    assert [claim.task for claim in await store.claims([partition], 0)] == [task]
    await _look(store, name, run_id)
    gone = ExecutionChange(partition, run_id, ExecutionStatus.COMPLETED, 200, None, None, 2)
    await commit(
        changed=[gone],
        history=[of_run(history(run_id, 2))],
        notes=[NoteRow(partition, run_id, 1, None)],
        tasks_done=[task],
        received=[(partition, message.id)],
    )
    (found,) = await store.load([ExecutionRef(name)], closed_history=True)
    assert found is not None
    assert found.events == events(1, 2)
    await commit(removed=[(partition, run_id)])
    assert await store.rows([ExecutionRef(name)]) == [None]
    assert await store.count_documents("smoke") == 0
    await store.purge(closed_before=0, now=0, limit=10)


async def _look(store: Store, name: str, run_id: str) -> None:
    """What users see of a run that is open."""
    assert [row.run_id for row in await store.find(ExecutionFilter(workflow_id=name), 10, 0)] == [run_id]
    assert await store.count(ExecutionFilter(workflow_id=name)) == {ExecutionStatus.RUNNING: 1}
    assert [row.run_id for row in (await store.search_workflows(SearchQuery(free_text=name))).rows] == [run_id]
    assert (await store.search_tasks(SearchQuery())).total >= 1
    assert (await store.find_tasks([f"{name}-t"]))[0] is not None
    assert await store.put_document(Document("smoke", name, b"[]", workflow_id=name), 1) == 2
    assert [document.data for document in await store.documents("smoke", prefix=name)] == [b"[]"]
    assert await store.document("smoke", "other") is None
    assert "smoker" in (await store.owner() or "")
