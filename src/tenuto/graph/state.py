"""The state of a graph execution: a fold over its history.

Only `GraphState.apply` and the setters it uses change it, so that the same events always give the same state.
"""

from __future__ import annotations

import msgspec

from tenuto.graph.plan import Plan, plan_of
from tenuto.model import graph as ev
from tenuto.model.events import ParentRef
from tenuto.model.graph import GraphStatus, Task
from tenuto.model.json_values import Json


class GraphState:
    """What the history says so far. The first group of attributes is what `GraphChanged` may replace."""

    __slots__ = (
        "_last_seq",
        "archived",
        "by_base",
        "by_reference",
        "correlation_id",
        "definition",
        "end_time",
        "failed_references",
        "failed_tasks",
        "followers",
        "input",
        "last_event_id",
        "last_number",
        "last_retried_time",
        "messages",
        "open",
        "output",
        "plan",
        "queued",
        "reason",
        "start_time",
        "started",
        "status",
        "tasks",
        "update_time",
        "variables",
    )

    started: ev.GraphStarted

    def __init__(self) -> None:
        self.status: GraphStatus = "RUNNING"
        self.definition = b""
        self.input: dict[str, Json] = {}
        self.output: dict[str, Json] = {}
        self.correlation_id = ""
        self.reason = ""
        self.start_time = 0
        self.end_time = 0
        self.last_retried_time = 0
        self.failed_references: list[str] = []
        self.failed_tasks: list[str] = []
        self.queued = False
        self.archived = False
        """It was removed; only searches still find it."""
        self.followers: list[ParentRef] = []
        """Who waits for the end beside the parent: their idempotency key led here."""
        self.messages: list[dict[str, Json]] = []
        """For PULL_WORKFLOW_MESSAGES."""

        self.variables: dict[str, Json] = {}
        self.update_time = 0
        self.last_event_id = 0
        self.last_number = 0
        self._last_seq = 0
        #: What is shown, by number.
        self.tasks: dict[int, Task] = {}
        #: The latest attempt, by reference name with loop suffix and by the name in the definition.
        self.by_reference: dict[str, Task] = {}
        self.by_base: dict[str, Task] = {}
        #: Tasks that have not ended, or whose end has not been dealt with.
        self.open: dict[int, Task] = {}
        self.plan: Plan

    @property
    def closed(self) -> bool:
        """Has it ended?"""
        return self.status not in ("RUNNING", "PAUSED")

    @property
    def version(self) -> int:
        """The version of the definition that it runs by now."""
        return self.plan.snapshot.workflow.version

    @property
    def next_seq(self) -> int:
        return self._last_seq + 1

    def apply(self, event: ev.GraphEvent) -> None:
        self.last_event_id = event.event_id
        self.update_time = event.time
        match event:
            case ev.GraphTaskScheduled():
                self.add(event.task)
            case ev.GraphTaskChanged():
                self.change_task(self.tasks[event.number], event.changes)
            case ev.GraphChanged():
                self.change(event.changes, event.variables)
            case ev.GraphTasksHidden():
                self.hide(event.numbers)
            case ev.GraphStarted():
                self._start(event)

    def _start(self, event: ev.GraphStarted) -> None:
        self.started = event
        self.definition = event.definition
        self.plan = plan_of(event.definition)
        self.input = event.input
        self.variables = dict(event.variables)
        self.correlation_id = event.correlation_id
        self.start_time = event.time
        self.queued = event.queued

    def add(self, task: Task) -> None:
        self.last_number = max(self.last_number, task.number)
        self._last_seq = max(self._last_seq, task.seq)
        self.tasks[task.number] = task
        self.by_reference[task.reference] = task
        self.by_base[task.base] = task
        if task.node is not None:
            self.plan = self.plan.with_inner(task.base, task.node)
        self._note_open(task)

    def change_task(self, task: Task, changes: dict[str, Json]) -> None:
        for name, value in changes.items():
            apply_change(task, name, value)
        self._note_open(task)

    def _note_open(self, task: Task) -> None:
        if task.executed and not task.open:
            self.open.pop(task.number, None)
        else:
            self.open[task.number] = task

    def change(self, changes: dict[str, Json], variables: dict[str, Json]) -> None:
        for name, value in changes.items():
            setattr(self, name, value)
        if "followers" in changes:
            self.followers = msgspec.convert(msgspec.to_builtins(changes["followers"]), list[ParentRef])
        if "definition" in changes:
            self.plan = plan_of(self.definition)
        if variables:
            self.variables = self.variables | variables

    def hide(self, numbers: list[int]) -> None:
        for number in numbers:
            self.tasks.pop(number, None)
            self.open.pop(number, None)
        self._last_seq = max((task.seq for task in self.tasks.values()), default=0)
        self.by_reference = {task.reference: task for task in self.tasks.values()}
        self.by_base = {task.base: task for task in self.tasks.values()}


def apply_change(task: Task, name: str, value: Json) -> None:
    """Give a field of `task` a new value; `field+` adds entries to an object, `field-` takes entries away. These change
    the object itself, or a loop would take ever longer for an iteration."""
    if name.endswith("+"):
        getattr(task, name[:-1]).update(value)
    elif name.endswith("-"):
        for key in value:
            getattr(task, name[:-1]).pop(key, None)
    else:
        setattr(task, name, value)
