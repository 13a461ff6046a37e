"""A batch: all that happened while the commit before it was under way. It is written in one transaction."""

from __future__ import annotations

from collections.abc import Callable

from tenuto.engine import graph_rows
from tenuto.engine.observer import Transition
from tenuto.engine.resident import Resident
from tenuto.model.errors import StoreError
from tenuto.model.events import encode_events
from tenuto.store.protocol import Commit, Document, TaskRow

#: A run is loaded for these; see `Residents.visit`.
Visitor = Callable[[Resident | None], None]


class Batch:
    """What one commit will hold, and what follows from it."""

    __slots__ = (
        "answers",
        "cancelled",
        "deleted_documents",
        "documents",
        "effects",
        "failed",
        "received",
        "redo",
        "removed",
        "residents",
        "seconds",
        "sent",
        "tasks",
        "tasks_done",
        "transitions",
    )

    def __init__(self) -> None:
        self.residents: dict[Resident, None] = {}
        self.sent: list[tuple[int, bytes]] = []
        #: (partition, id) of messages of the inbox that are dealt with.
        self.received: list[tuple[int, int]] = []
        self.answers: list[tuple[str, bytes, int]] = []
        self.documents: list[Document] = []
        self.deleted_documents: list[tuple[str, str]] = []
        self.tasks: list[TaskRow] = []
        self.tasks_done: list[TaskRow] = []
        #: Tasks that whoever claimed them shall stop, and why.
        self.cancelled: list[tuple[TaskRow, str]] = []
        #: (partition, run id) of runs to forget.
        self.removed: list[tuple[int, str]] = []
        #: To be called, in order, once the commit is durable.
        self.effects: list[Callable[[], None]] = []
        #: To be called if it was not written: whoever waits for an acknowledgement must not get one.
        self.failed: list[Callable[[StoreError], None]] = []
        #: To be called if the commit fails: facts that nobody else will report again.
        self.redo: list[Callable[[], None]] = []
        #: For observers: what changed, and how long the commit took; None if there was nothing to write.
        self.transitions: list[Transition] = []
        self.seconds: float | None = None

    def __bool__(self) -> bool:
        return bool(
            self.residents
            or self.effects
            or self.received
            or self.answers
            or self.sent
            or self.tasks
            or self.tasks_done
            or self.cancelled
            or self.documents
            or self.deleted_documents
            or self.removed
        )

    def add(self, resident: Resident) -> None:
        if resident not in self.residents:
            self.residents[resident] = None
            resident.in_flight += 1

    def seal(self, epochs: dict[int, int]) -> Commit | None:
        """The rows to write; None if there is nothing to write."""
        commit = Commit(
            sent=self.sent,
            received=self.received,
            answers=self.answers,
            tasks=self.tasks,
            tasks_done=self.tasks_done,
            cancelled=self.cancelled,
            documents=self.documents,
            deleted_documents=self.deleted_documents,
            removed=self.removed,
        )
        partitions: set[int] = {task.partition for task in self.tasks}
        partitions.update(task.partition for task in self.tasks_done)
        partitions.update(task.partition for task, _ in self.cancelled)
        for resident in self.residents:
            if _add_rows(commit, resident, self.transitions):
                partitions.add(resident.row.partition)
        partitions.update(partition for partition, _ in [*self.received, *self.removed])
        if not partitions and not self.sent and not self.documents and not self.deleted_documents:
            return None
        commit.epochs = {partition: epochs.get(partition, -1) for partition in partitions}
        return commit


def _add_rows(commit: Commit, resident: Resident, transitions: list[Transition]) -> bool:
    """Put what changed in one run into `commit`. False if nothing did."""
    execution, row = resident.execution, resident.row
    if resident.graph is not None:
        return graph_rows.add_rows(commit, resident, resident.graph, transitions)
    if execution is None:
        return False
    written = False
    events = resident.take_unwritten()
    if events:
        encoded = encode_events(events)
        execution.history_size += len(encoded)
        commit.history.append(resident.history_row(events, encoded))
        written = True
    if execution.changed_notes:
        notes = resident.note_rows()
        if notes:
            commit.notes.extend(notes)
            written = True
    if resident.is_new:
        resident.is_new = False
        resident.row_changed = False
        row.history_length = execution.state.last_event_id
        commit.started.append(row)
        written = True
    elif resident.row_changed:
        resident.row_changed = False
        row.history_length = execution.state.last_event_id
        commit.changed.append(resident.change())
        written = True
    return written
