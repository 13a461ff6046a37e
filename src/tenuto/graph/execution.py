"""One graph execution: its state, and what has happened since its events and effects were last taken.

What happens between two commits is written as one event a task: nobody ever sees the steps in between, since nothing
leaves the engine before the commit. A task that was scheduled since the last commit is therefore just written as it is
when the commit comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tenuto.graph.definitions import TaskDef, WorkflowTask, decode_task_def, decode_workflow_task
from tenuto.graph.effects import Effect
from tenuto.graph.state import GraphState
from tenuto.model import graph as ev
from tenuto.model.graph import Task
from tenuto.model.json_values import Json

#: Of a worker's task that has no definition: 3 retries, 60 s apart, an answer within an hour.
_WORKER_DEFAULTS = TaskDef(name="")
_SYSTEM_DEFAULTS = TaskDef(name="", retry_count=0, response_timeout_seconds=0)


class GraphExecution:
    """An execution in memory. Every change goes through `schedule`, `change_task`, `change` or `hide`."""

    __slots__ = (
        "_hot",
        "_own_nodes",
        "_own_task_defs",
        "_scheduled",
        "changed_tasks",
        "effects",
        "evaluating",
        "growth",
        "hidden_tasks",
        "history_size",
        "now",
        "offered",
        "quiet_until",
        "running",
        "state",
        "unfinished",
        "unwritten",
        "version",
    )

    def __init__(self) -> None:
        self.state = GraphState()
        self.unwritten: list[ev.GraphEvent] = []
        self.effects: list[Effect] = []
        self.history_size = 0
        #: Goes up with every change; tells whether a decision got any further.
        self.version = 0
        #: About how many bytes were added since the events were last taken.
        self.growth = 0
        #: The time of the decision that is being made.
        self.now = 0
        #: Tasks whose search entries are out of date; task ids that are no longer shown.
        self.changed_tasks: dict[int, Task] = {}
        self.hidden_tasks: list[str] = []
        #: Until when nothing is to be decided about a task by itself, by number; while it doesn't change.
        self.quiet_until: dict[int, int] = {}
        #: The last decision was left off before it was done; it goes on after the commit.
        self.unfinished = False
        #: Known to the engine as long as the execution is in memory: tasks in a queue, being run, being evaluated.
        self.offered: set[int] = set()
        self.running: set[int] = set()
        self.evaluating: set[int] = set()
        #: Decoded definitions of tasks that carry their own, by number.
        self._own_nodes: dict[int, WorkflowTask] = {}
        self._own_task_defs: dict[int, TaskDef] = {}
        self._hot: dict[int, ev.GraphTaskChanged] = {}
        self._scheduled: set[int] = set()

    @classmethod
    def restore(cls, events: Iterable[ev.GraphEvent], history_size: int) -> GraphExecution:
        """The execution as the store knows it."""
        execution = cls()
        for event in events:
            execution.state.apply(event)
        execution.history_size = history_size
        return execution

    @property
    def workflow_id(self) -> str:
        return self.state.started.workflow_id

    @property
    def next_event_id(self) -> int:
        return self.state.last_event_id + 1

    # -- changes -----------------------------------------------------------------------------------------------------

    def begin(self, started: ev.GraphStarted) -> None:
        self._append(started)

    def schedule(self, task: Task) -> None:
        self._append(ev.GraphTaskScheduled(self.next_event_id, self.now, task))
        self._scheduled.add(task.number)
        self.changed_tasks[task.number] = task

    def change_task(self, task: Task, cause: str, **changes: Json) -> None:
        """Give fields of `task` new values; `cause` says in a word why. What grows without an end is better added to
        (`output+`, see `state.apply_change`) than written anew each time."""
        changes.setdefault("update_time", self.now)
        hot = self._hot.get(task.number)
        if task.number in self._scheduled:
            self.state.change_task(task, changes)
        elif hot is not None:
            self.state.change_task(task, changes)
            for name, value in changes.items():
                _merge(hot.changes, name, value, task)
        else:
            hot = ev.GraphTaskChanged(self.next_event_id, self.now, task.number, cause, changes)
            self._hot[task.number] = hot
            self._append(hot)
        self.version += 1
        self.quiet_until.pop(task.number, None)
        self.state.update_time = self.now
        self.changed_tasks[task.number] = task

    def change(self, cause: str, variables: dict[str, Json] | None = None, **changes: Json) -> None:
        """Give fields of the workflow new values."""
        latest = self.unwritten[-1] if self.unwritten else None
        if isinstance(latest, ev.GraphChanged):
            latest.changes.update(changes)
            latest.variables.update(variables or {})
            self.state.change(changes, variables or {})
            self.state.update_time = self.now
            self.version += 1
            return
        self.quiet_until.clear()
        self._append(ev.GraphChanged(self.next_event_id, self.now, cause, changes, dict(variables or {})))

    def hide(self, cause: str, tasks: Sequence[Task]) -> None:
        """Let these tasks count, and be seen, no longer."""
        if not tasks:
            return
        self.hidden_tasks += [task.task_id for task in tasks]
        for task in tasks:
            self.changed_tasks.pop(task.number, None)
        self._append(ev.GraphTasksHidden(self.next_event_id, self.now, cause, [task.number for task in tasks]))

    def _append(self, event: ev.GraphEvent) -> None:
        self.unwritten.append(event)
        self.state.apply(event)
        self.version += 1

    def take_unwritten(self) -> list[ev.GraphEvent]:
        """The events to be written now."""
        events, self.unwritten = self.unwritten, []
        self._hot.clear()
        self._scheduled.clear()
        self.growth = 0
        return events

    def take_effects(self) -> list[Effect]:
        effects, self.effects = self.effects, []
        return effects

    # -- what the definitions say ------------------------------------------------------------------------------------

    def node(self, task: Task) -> WorkflowTask:
        """The part of the definition that `task` comes from."""
        if task.node is not None:
            own = self._own_nodes.get(task.number)
            if own is None:
                own = self._own_nodes[task.number] = decode_workflow_task(task.node)
            return own
        node = self.state.plan.node(task.base)
        assert node is not None, f"task {task.reference} is in no definition"
        return node

    def template_of(self, task: Task) -> dict[str, Json]:
        """What the input of `task` was made from."""
        return {**self.task_def(task).input_template, **self.node(task).input_parameters}

    def task_def(self, task: Task) -> TaskDef:
        """The task definition that applies to `task`: its own, a registered one, or the defaults."""
        if task.definition is not None:
            own = self._own_task_defs.get(task.number)
            if own is None:
                own = self._own_task_defs[task.number] = decode_task_def(task.definition)
            return own
        node = self.node(task)
        if node.task_definition is not None:
            return node.task_definition
        known = self.state.plan.snapshot.tasks.get(task.def_name)
        if known is not None:
            return known
        return _WORKER_DEFAULTS if task.kind == "SIMPLE" else _SYSTEM_DEFAULTS


def _merge(earlier: dict[str, Json], name: str, value: Json, task: Task) -> None:
    """Add a change of `task`, which is made already, to earlier ones that are not written yet."""
    field = name.rstrip("+-")
    if name == field or field in earlier:
        earlier[field] = getattr(task, field)
        earlier.pop(field + "+", None)
        earlier.pop(field + "-", None)
    elif name.endswith("+"):
        earlier[name] = earlier.get(name, {}) | value
        if field + "-" in earlier:
            earlier[field + "-"] = [key for key in earlier[field + "-"] if key not in value]
    else:
        earlier[name] = [*earlier.get(name, []), *value]
        if field + "+" in earlier:
            earlier[field + "+"] = {key: item for key, item in earlier[field + "+"].items() if key not in value}
