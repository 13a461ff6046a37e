"""What a store does: the verbs, and what each guarantees.

A store keeps executions in a fixed number of partitions. An engine process leases partitions and is then the only one
that may change what is in them: every `commit` names the epochs under which it was decided and is refused as a whole
when one of them is no longer current. Everybody else only reads, sends messages to a partition's inbox, and claims the
tasks that an owner left for others to do.

Times are nanoseconds since the epoch and come from the caller, but for leases and claims: a store that many machines
share measures those with a clock of its own. Every verb raises `StoreError` (or a subclass
that says more) when the store can't do it, and then has changed nothing, except that a `commit` whose answer got
lost may have been written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from enum import IntEnum
from functools import lru_cache
from hashlib import blake2b
from typing import Generic, Protocol, TypeVar

from msgspec import Struct, field

from tenuto.model.events import AnyEvent, ExecutionRef
from tenuto.model.graph import GraphEvent
from tenuto.model.policies import ExecutionStatus
from tenuto.model.search import SearchQuery
from tenuto.model.tasks import AttemptNote

PARTITIONS = 256
#: How the problem of a paused run begins.
PAUSED = "paused"

R = TypeVar("R")


@lru_cache(maxsize=16_384)
def partition_of(workflow_id: str, partitions: int = PARTITIONS) -> int:
    """The partition that an execution lives in; the same in every process and for ever."""
    return int.from_bytes(blake2b(workflow_id.encode(), digest_size=8).digest()) % partitions


class Rank(IntEnum):
    """What a process can do with the partitions that it owns. Those that can do most own them: partitions are spread
    over the live members of the highest rank."""

    CLIENT = 0
    """Takes requests in, and owns partitions for a moment when nobody else does."""
    WORKER = 1
    """Has code."""
    SERVER = 2
    """Decides about graphs, too."""


class Lease(Struct, gc=False):
    """What a member owns now."""

    epochs: dict[int, int]
    """The partitions that it holds, with their epochs."""
    surplus: int = 0
    """How many of them belong to others: to be released, a few at a time, once nothing is under way in them."""
    peers: int = 0
    """How many other members are alive."""


class Hint(Struct, frozen=True):
    """Something may have happened elsewhere. A hint may be lost and may be wrong: it saves waiting, nothing rests on
    it. The default says nothing."""

    partitions: frozenset[int] = frozenset()
    """Whose inboxes have got something."""
    task_queues: frozenset[str] = frozenset()
    """In which tasks wait."""
    answers: bool = False
    """Requests of other processes have been answered."""
    closed: bool = False
    """Runs have closed."""
    leases: bool = False
    """Partitions are free."""


class ExecutionRow(Struct, kw_only=True, gc=False):
    """One run as listings show it. The first group never changes, the second is what `ExecutionChange` replaces."""

    partition: int
    workflow_id: str
    run_id: str
    first_run_id: str
    workflow_type: str
    task_queue: str
    start_time: int
    parent_workflow_id: str | None = None
    parent_run_id: str | None = None
    memo: bytes = b""
    request_id: str = ""
    """Of the request that started it: a repetition of that request is answered with this run."""

    status: ExecutionStatus = ExecutionStatus.RUNNING
    close_time: int | None = None
    wake_at: int | None = 0
    """When an engine must look at it without being told: 0 while it is being worked on, None when only a message can
    move it. May be earlier than necessary, never later."""
    problem: str | None = None
    """Why it does not go on, if it is stuck or paused."""
    history_length: int = 0
    """Events; kept up to date only in runs that have closed."""

    @property
    def paused(self) -> bool:
        """Has somebody paused it?"""
        return self.problem is not None and self.problem.startswith(PAUSED)


class ExecutionChange(Struct, gc=False):
    """New values of the changeable columns of one run. A closed run may be opened again: status RUNNING, no
    `close_time`."""

    partition: int
    run_id: str
    status: ExecutionStatus
    close_time: int | None
    wake_at: int | None
    problem: str | None
    history_length: int


class HistoryRow(Struct, gc=False):
    """Some consecutive events of one run, encoded by `encode_events`."""

    partition: int
    run_id: str
    first_event_id: int
    events: bytes
    run_start: int = 0
    """When the run started, as its row says: a store may keep together what can be forgotten together."""


class NoteRow(Struct, gc=False):
    """What is known of pending work (see `AttemptNote`); replaces the note under the same key. None deletes it."""

    partition: int
    run_id: str
    key: int
    note: AttemptNote | None


class TaskKind(IntEnum):
    WORKFLOW = 0
    ACTIVITY = 1
    QUERY = 2
    GRAPH = 3
    """A task of a graph; its queue is named after its type and domain."""


class TaskRow(Struct, frozen=True, gc=False):
    """A task that waits for somebody to claim it: the process that owns the execution has no worker for it. A run has
    one row of a key at a time."""

    partition: int
    task_queue: str
    workflow_id: str
    run_id: str
    key: int
    """An activity's scheduled event id, 0 for a workflow task, a negative number for a query, a graph task's number."""
    kind: TaskKind = TaskKind.WORKFLOW
    data: bytes = b""
    """What whoever claims it needs to know, beside the history."""
    claimed_by: str = ""
    """The member that is at it; empty while it waits."""
    claimed_at: int = 0


class Claim(Struct, frozen=True, gc=False):
    """A task that somebody is at."""

    task: TaskRow
    lost: bool
    """Is the member that claimed it gone?"""


class InboxRow(Struct, gc=False):
    """A message that waits for the owner of its partition. Ids grow in the order in which messages were recorded."""

    id: int
    partition: int
    data: bytes


class WorkflowIndexRow(Struct, kw_only=True, gc=False):
    """What a search knows of one run. Of several with one run id, the last one counts; the ids and the type of a run
    never change."""

    partition: int
    workflow_id: str
    run_id: str
    workflow_type: str
    version: int
    status: str
    """In Conductor's words: RUNNING, PAUSED, COMPLETED, ..."""
    start_time: int
    update_time: int
    end_time: int | None = None
    correlation_id: str | None = None
    parent_workflow_id: str = ""
    priority: int = 0
    created_by: str | None = None
    event: str | None = None
    reason: str | None = None
    classifier: str = "workflow"
    idempotency_key: str | None = None
    failed_references: list[str] = field(default_factory=list)
    failed_tasks: list[str] = field(default_factory=list)
    task_to_domain: dict[str, str] = field(default_factory=dict)
    input: str = ""
    """JSON, as `output` is."""
    output: str = ""
    run_start: int = 0
    """As in `HistoryRow`; not part of what a search returns."""


class TaskIndexRow(Struct, kw_only=True, gc=False):
    """What a search knows of one task. Of several with one task id, the last one counts; the ids, names and types of a
    task never change."""

    partition: int
    task_id: str
    workflow_id: str
    run_id: str
    workflow_type: str
    task_type: str
    task_def_name: str
    reference_name: str
    status: str
    scheduled_time: int
    update_time: int
    start_time: int | None = None
    end_time: int | None = None
    correlation_id: str | None = None
    reason: str | None = None
    domain: str | None = None
    priority: int = 0
    input: str = ""
    """JSON, as `output` is."""
    output: str = ""
    run_start: int = 0
    """As in `HistoryRow`; not part of what a search returns."""


class Document(Struct, gc=False):
    """Some bytes under a key in a collection."""

    collection: str
    key: str
    data: bytes
    revision: int = 0
    """How often it was written since it was created; the store counts, whatever a writer says."""
    updated: int = 0
    workflow_id: str = ""
    """The execution that it belongs to and is purged with, if any."""


class SearchPage(Struct, Generic[R]):
    """Some of the rows that match, and how many do."""

    total: int
    rows: list[R]


class Commit(Struct, gc=False):
    """Everything that one commit changes. Rows are of partitions named in `epochs` only, but for `sent` and documents.
    What is taken away goes last: a task or document that the same commit writes too is gone after it."""

    epochs: dict[int, int] = field(default_factory=dict)
    started: list[ExecutionRow] = field(default_factory=list)
    changed: list[ExecutionChange] = field(default_factory=list)
    history: list[HistoryRow] = field(default_factory=list)
    notes: list[NoteRow] = field(default_factory=list)
    tasks: list[TaskRow] = field(default_factory=list)
    tasks_done: list[TaskRow] = field(default_factory=list)
    sent: list[tuple[int, bytes]] = field(default_factory=list)
    """(partition, message) pairs for inboxes, of any partition."""
    received: list[tuple[int, int]] = field(default_factory=list)
    """(partition, id) pairs of inbox messages that are dealt with now."""
    answers: list[tuple[str, bytes, int]] = field(default_factory=list)
    """(request id, answer, now): answers that clients in other processes wait for; kept for an hour after `now`."""
    cancelled: list[tuple[TaskRow, str]] = field(default_factory=list)
    """Tasks that whoever claimed them shall stop, and why (see `held`)."""
    indexed_workflows: list[WorkflowIndexRow] = field(default_factory=list)
    indexed_tasks: list[TaskIndexRow] = field(default_factory=list)
    unindexed_tasks: list[tuple[int, str]] = field(default_factory=list)
    """(partition, task id) pairs of tasks that searches shall not find any more."""
    documents: list[Document] = field(default_factory=list)
    deleted_documents: list[tuple[str, str]] = field(default_factory=list)
    """(collection, key) pairs."""
    removed: list[tuple[int, str]] = field(default_factory=list)
    """(partition, run id) of runs to forget with all that belongs to them, as `purge` does."""


class StoredExecution(Struct, gc=False):
    """A run as the store knows it. Its history, `events` of durable code or `graph_events` of a graph, is empty for a
    closed run unless it was asked for."""

    row: ExecutionRow
    events: list[AnyEvent]
    history_size: int
    notes: dict[int, AttemptNote]
    graph_events: list[GraphEvent] = field(default_factory=list)
    tasks: list[TaskRow] = field(default_factory=list)
    """Those that wait in the store or have been claimed; of an open run."""


class Due(Struct, frozen=True, gc=False):
    """An open run that an engine has to look at."""

    workflow_id: str
    run_id: str
    wake_at: int


class ExecutionFilter(Struct, kw_only=True, frozen=True):
    """Which runs to list; None means any. Newest start first."""

    workflow_id: str | None = None
    workflow_id_prefix: str | None = None
    workflow_types: tuple[str, ...] | None = None
    statuses: tuple[ExecutionStatus, ...] | None = None
    task_queue: str | None = None
    stuck: bool | None = None
    started_after: int | None = None
    started_before: int | None = None
    closed_after: int | None = None
    closed_before: int | None = None
    parent_workflow_id: str | None = None


class Store(Protocol):
    """The verbs. A store belongs to the event loop that opened it."""

    url: str
    shared: bool
    """May several members own partitions and claim each other's tasks?"""

    async def open(self) -> None:
        """Make the store usable: create what is missing, migrate what is old, refuse what is foreign, damaged or newer
        (`StoreFormatError`, naming both versions). Safe when several processes do it at once."""
        ...

    async def close(self) -> None:
        """Release everything, leases too. Afterwards the file may be opened or moved at once."""
        ...

    def watch(self, hinted: Callable[[Hint], None] | None) -> None:
        """Call `hinted`, on the event loop, when something may have happened elsewhere; None to stop. A store without
        such news never calls."""
        ...

    async def lease(self, owner: str, now: int, until: int, rank: Rank = Rank.WORKER) -> Lease:
        """Join as member `owner`, or stay one, until `until`; take free partitions, up to a fair share. A partition
        that changes hands gets a higher epoch. A member whose time is over, or whose process is known to have ended,
        loses what it holds to whoever asks next. Raises `StoreOwnedError` naming the owner where a store has only
        one."""
        ...

    async def release(self, owner: str, partitions: Collection[int] | None = None) -> None:
        """Give partitions back, so that another process can take them at once; all of them, with the membership, if
        none are named."""
        ...

    async def commit(self, commit: Commit) -> None:
        """Write all of it durably, or nothing. Raises `LeaseLostError` if an epoch in it is no longer current."""
        ...

    async def load(self, refs: Sequence[ExecutionRef], *, closed_history: bool = False) -> list[StoredExecution | None]:
        """The runs that `refs` name (the latest of a workflow id where a ref has no run id), None for what there is
        not. Sees every commit that was acknowledged before the call."""
        ...

    async def rows(self, refs: Sequence[ExecutionRef]) -> list[ExecutionRow | None]:
        """As `load`, without what belongs to the runs."""
        ...

    async def due(self, partitions: Sequence[int], before: int, after: Due | None, limit: int) -> list[Due]:
        """Open runs of these partitions with `wake_at < before`, by (wake_at, run_id), from behind `after`."""
        ...

    async def receive(self, partitions: Sequence[int], known: Collection[int], limit: int) -> list[InboxRow]:
        """Messages of these partitions whose ids are not `known`, oldest first. They stay until a commit removes
        them."""
        ...

    async def send(self, messages: Sequence[tuple[int, bytes]]) -> None:
        """Put (partition, message) pairs into inboxes, durably and in order. Needs no lease."""
        ...

    async def answers(self, request_ids: Sequence[str]) -> dict[str, bytes]:
        """The recorded answers to these requests, as far as there are any."""
        ...

    async def waiting_tasks(self, partitions: Sequence[int], task_queue: str, limit: int) -> list[TaskRow]:
        """Workflow and activity tasks of this queue that nobody has claimed, oldest first. They stay until a commit
        removes them."""
        ...

    async def claim(
        self, owner: str, task_queue: str, kinds: Collection[TaskKind], limit: int, now: int
    ) -> list[TaskRow]:
        """Claim at most `limit` tasks that wait in this queue, of any partition, for member `owner`: nobody else gets
        them. Where it matters, the oldest of a partition first. A store with one owner has none to give."""
        ...

    async def held(self, owner: str, tasks: Sequence[TaskRow]) -> list[str | None]:
        """Of each task that `owner` has claimed: an empty text if it is to go on, why if it is to stop, None if it is
        no longer its task."""
        ...

    async def claims(self, partitions: Sequence[int], since: int) -> list[Claim]:
        """The claims on tasks of these partitions that were made at or after `since`, and all that are lost."""
        ...

    async def find(self, filter: ExecutionFilter, limit: int, offset: int) -> list[ExecutionRow]:
        """Runs that match, newest start first."""
        ...

    async def count(self, filter: ExecutionFilter) -> dict[ExecutionStatus, int]:
        """How many runs match, by status."""
        ...

    async def purge(self, closed_before: int, now: int, limit: int) -> int:
        """Forget at most `limit` runs that closed before then, with all that belongs to them, and answers older than an
        hour; returns how many runs went. A document belongs to the last run of its workflow id."""
        ...

    async def document(self, collection: str, key: str) -> Document | None:
        """One document, None if there is none."""
        ...

    async def documents(
        self, collection: str, *, prefix: str = "", after: str = "", limit: int = 1000
    ) -> list[Document]:
        """At most `limit` documents whose key starts with `prefix` and comes behind `after`, by key."""
        ...

    async def count_documents(self, collection: str, prefix: str = "") -> int:
        """How many documents have such a key."""
        ...

    async def put_document(self, document: Document, expected: int | None = None) -> int:
        """Create or replace a document, durably; returns its new revision, one more than the old. Needs no lease.
        Raises `ConflictError` if `expected` is 0 and there is one, or is a revision and there is another or none."""
        ...

    async def delete_document(self, collection: str, key: str) -> bool:
        """Delete a document, durably; False if there was none. Needs no lease."""
        ...

    async def search_workflows(self, query: SearchQuery) -> SearchPage[WorkflowIndexRow]:
        """Runs that match. Sees every commit that was acknowledged before the call. Raises `ValueError` for a field
        that can't be searched, or a value that is none of its type."""
        ...

    async def search_tasks(self, query: SearchQuery) -> SearchPage[TaskIndexRow]:
        """Tasks that match; as `search_workflows`."""
        ...

    async def find_tasks(self, task_ids: Sequence[str]) -> list[TaskIndexRow | None]:
        """The tasks of these ids, None for what there is not."""
        ...

    async def owner(self) -> str | None:
        """Who owns the partitions now, in words for people; None if nobody does."""
        ...
