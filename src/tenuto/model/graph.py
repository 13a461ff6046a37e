"""Graph executions as they are stored: the record of a task, and the events of a graph's history.

A graph's history says what changed, one event a thing and commit: the workflow began, a task was scheduled, fields of a
task or of the workflow got new values, tasks were hidden by a rerun. The state is the fold of it. Times are nanoseconds
since the epoch (0: not yet), durations are seconds.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from tenuto.model.events import AnyEvent, Event, ParentRef
from tenuto.model.json_values import Json

TaskStatus = Literal[
    "SCHEDULED",
    "IN_PROGRESS",
    "COMPLETED",
    "COMPLETED_WITH_ERRORS",
    "SKIPPED",
    "FAILED",
    "TIMED_OUT",
    "FAILED_WITH_TERMINAL_ERROR",
    "CANCELED",
]
GraphStatus = Literal["RUNNING", "PAUSED", "COMPLETED", "FAILED", "TIMED_OUT", "TERMINATED"]

OPEN_STATUSES = frozenset(("SCHEDULED", "IN_PROGRESS"))
SUCCESSFUL_STATUSES = frozenset(("SCHEDULED", "IN_PROGRESS", "COMPLETED", "COMPLETED_WITH_ERRORS", "SKIPPED"))
RETRIABLE_STATUSES = frozenset(("FAILED", "TIMED_OUT"))


class Task(Struct, kw_only=True, omit_defaults=True):
    """One attempt of one task of a graph. A retry is a task of its own."""

    number: int
    """1, 2, 3 ... in the order of creation; never used again, not even after a rerun."""
    task_id: str
    seq: int
    """The place in the list that people see; 0 for a task that was skipped in advance."""
    reference: str
    """The reference name, with `__1` and so on in loops."""
    base: str
    """The reference name as the definition has it."""
    kind: str
    """The type in the definition: SIMPLE, SWITCH ... Tells which rules apply."""
    task_type: str
    """The type that people and queues see; that of a SIMPLE task is its name."""
    def_name: str
    status: TaskStatus = "SCHEDULED"
    scope: tuple[int, ...] = ()
    """The current iterations of the loops around it, outermost first."""
    input: dict[str, Json] = {}
    output: dict[str, Json] = {}
    node: Json = None
    """Its part of the definition, if that is not in the workflow's definition (branches of a dynamic fork)."""
    definition: Json = None
    """Its task definition, if that was looked up when the task was scheduled (DYNAMIC, dynamic forks)."""
    retry_count: int = 0
    retried_task_id: str = ""
    retried: bool = False
    executed: bool = False
    """Its end has been dealt with: what comes after it is scheduled, or it was retried or tolerated."""
    first_scheduled: int = 0
    """When the first attempt was scheduled; `total_timeout_seconds` counts from here."""
    scheduled_time: int = 0
    start_time: int = 0
    end_time: int = 0
    update_time: int = 0
    available_at: int = 0
    """Not to be handed out, or looked at again, before this time."""
    start_delay: float = 0.0
    callback_after: float = 0.0
    poll_count: int = 0
    worker_id: str = ""
    reason: str = ""
    domain: str = ""
    parent_task_id: str = ""
    sub_workflow_id: str = ""
    sub_workflow_changed: bool = False
    memory: dict[str, Json] = {}
    """What the rules of its kind have to remember, beside what people see."""

    @property
    def open(self) -> bool:
        """Has it not ended?"""
        return self.status in OPEN_STATUSES

    @property
    def successful(self) -> bool:
        return self.status in SUCCESSFUL_STATUSES

    @property
    def iteration(self) -> int:
        """The iteration of the innermost loop around it; 0 outside of loops."""
        return self.scope[-1] if self.scope else 0


class GraphStarted(Event, tag=101):
    """The execution began. `definition` is the encoded snapshot of all definitions that it uses (graph.definitions)."""

    workflow_id: str
    run_id: str
    workflow_type: str
    version: int
    definition: bytes
    input: dict[str, Json] = {}
    variables: dict[str, Json] = {}
    correlation_id: str = ""
    priority: int = 0
    task_to_domain: dict[str, str] = {}
    created_by: str = ""
    caused_by: str = ""
    """The event that started it, if an event handler did."""
    idempotency_key: str = ""
    parent: ParentRef | None = None
    parent_task_id: str = ""
    queued: bool = False
    """It waits for one of the places that `rateLimitConfig` allows."""
    depth: int = 0
    """How many executions it is inside of, as a sub-workflow of a sub-workflow ..."""


class GraphTaskScheduled(Event, tag=102):
    task: Task


class GraphTaskChanged(Event, tag=103):
    """Fields of a task have new values: `field+` adds entries to an object, `field-` takes entries away. `cause` says
    in a word what happened."""

    number: int
    cause: str
    changes: dict[str, Json]


class GraphChanged(Event, tag=104):
    """Fields of the workflow have new values; `variables` are merged into those there are."""

    cause: str
    changes: dict[str, Json] = {}
    variables: dict[str, Json] = {}


class GraphTasksHidden(Event, tag=105):
    """These tasks no longer count and are no longer shown."""

    cause: str
    numbers: list[int]


GraphEvent = GraphStarted | GraphTaskScheduled | GraphTaskChanged | GraphChanged | GraphTasksHidden

_decoder: msgspec.msgpack.Decoder[list[AnyEvent] | list[GraphEvent]] = msgspec.msgpack.Decoder(
    list[AnyEvent | GraphEvent]
)


def decode_stored(data: bytes, code: list[AnyEvent], graph: list[GraphEvent]) -> None:
    """Add the events that `encode_events` wrote to `code` or to `graph`, whichever they are of.

    Raises `msgspec.ValidationError` on anything else."""
    events = _decoder.decode(data)
    if events and isinstance(events[0], GraphEvent):
        graph += events
    else:
        code += events  # type: ignore[arg-type]
