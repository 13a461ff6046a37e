"""An execution in memory: its latest run, folded, with the suspended code that belongs to it."""

from __future__ import annotations

from tenuto.engine.hosts import WorkflowInstance
from tenuto.engine.parking import Parked, restore
from tenuto.graph.execution import GraphExecution
from tenuto.history.execution import Execution
from tenuto.model.events import AnyEvent
from tenuto.model.policies import ExecutionStatus
from tenuto.store.protocol import ExecutionChange, ExecutionRow, HistoryRow, NoteRow, TaskRow


class Resident:
    """The latest run of a workflow id. State and code are kept, evicted and loaded together.

    An open run has an `execution` (durable code) or a `graph`. Neither is there for a run that was closed when it was
    loaded: nothing can happen to it any more, except that a graph may be read again to be revived."""

    __slots__ = (
        "_fed",
        "_unseen",
        "execution",
        "graph",
        "in_flight",
        "instance",
        "is_new",
        "missed",
        "parked",
        "removed",
        "row",
        "row_changed",
        "run_elsewhere",
        "settled",
        "stored_notes",
        "warned",
        "whole",
    )

    def __init__(self, row: ExecutionRow, execution: Execution | None) -> None:
        self.row = row
        self.execution = execution
        self.graph: GraphExecution | None = None
        #: It is to be forgotten, with all that belongs to it.
        self.removed = False
        self.instance: WorkflowInstance | None = None
        #: Does `_unseen` begin with the first event, so that a new instance can be made of it?
        self.whole = True
        self._unseen: list[AnyEvent] = []
        self._fed = 0
        #: The store has never heard of this run.
        self.is_new = False
        self.row_changed = False
        #: Commits under way that hold something of this run.
        self.in_flight = 0
        #: Keys of notes that the store has.
        self.stored_notes: set[int] = set()
        #: Attempts that have run long enough to be worth a note.
        self.settled: set[int] = set()
        #: Its tasks that wait in the store for a worker or are done by one of another process, by key.
        self.parked: dict[int, Parked] = {}
        #: Of a graph: system tasks that other processes run, by number.
        self.run_elsewhere: dict[int, TaskRow] = {}
        #: How often in a row code of other processes has decided without having seen all.
        self.missed = 0
        self.warned = False

    @property
    def closed(self) -> bool:
        return self.row.status is not ExecutionStatus.RUNNING

    @property
    def clean(self) -> bool:
        """Does the store have all of it?"""
        if self.in_flight or self.removed:
            return False
        open_run = self.execution or self.graph
        return open_run is None or not open_run.unwritten

    @property
    def history_length(self) -> int:
        """Events so far, with those that are not written yet."""
        open_run = self.execution or self.graph
        return 0 if open_run is None else open_run.next_event_id

    @property
    def rebuildable(self) -> bool:
        """Can the code be brought up to date without asking the store?"""
        return self.instance is not None or self.whole

    def restore(self, events: list[AnyEvent], notes: set[int], tasks: list[TaskRow]) -> None:
        """Start from what the store had: the whole history."""
        self._unseen = events
        self.stored_notes = notes
        self.parked = restore(tasks)

    def take_unseen(self) -> list[AnyEvent]:
        """The events that the instance has not been shown."""
        assert self.execution is not None
        unwritten = self.execution.unwritten
        unseen = self._unseen + unwritten[self._fed :] if self._unseen else unwritten[self._fed :]
        self._unseen = []
        self._fed = len(unwritten)
        return unseen

    def take_unwritten(self) -> list[AnyEvent]:
        """The events that the store does not have."""
        assert self.execution is not None
        events = self.execution.take_unwritten()
        if self.rebuildable:
            self._unseen += events[self._fed :]
        self._fed = 0
        return events

    def drop_instance(self) -> None:
        """Forget the suspended code; from now on it can only be rebuilt from the store."""
        if self.instance is not None:
            self.instance.discard()
            self.instance = None
        self.whole = False
        self._unseen = []

    def note_rows(self) -> list[NoteRow]:
        """What changed beside the history, without attempts so young that they may be over before anybody asks."""
        execution = self.execution
        assert execution is not None
        rows: list[NoteRow] = []
        changed, execution.changed_notes = execution.changed_notes, set()
        for key in changed:
            note = execution.note(key)
            if note is None:
                self.settled.discard(key)
                if key in self.stored_notes:
                    self.stored_notes.discard(key)
                    rows.append(NoteRow(self.row.partition, self.row.run_id, key, None))
            elif key in self.stored_notes or key in self.settled or note.started_time is None:
                self.stored_notes.add(key)
                rows.append(NoteRow(self.row.partition, self.row.run_id, key, note))
        return rows

    def history_row(self, events: list[AnyEvent], encoded: bytes) -> HistoryRow:
        return HistoryRow(self.row.partition, self.row.run_id, events[0].event_id, encoded, self.row.start_time)

    def change(self) -> ExecutionChange:
        row = self.row
        return ExecutionChange(
            row.partition,
            row.run_id,
            row.status,
            row.close_time,
            row.wake_at,
            row.problem,
            row.history_length,
        )
