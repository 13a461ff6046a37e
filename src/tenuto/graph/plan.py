"""A definition as a plan: every task by its reference name, and what comes after it."""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from tenuto.graph.definitions import Snapshot, WorkflowTask, decode_snapshot, decode_workflow_task
from tenuto.model.json_values import Json

#: After the end of a branch of these nothing is scheduled: their JOIN, or the loop itself, is there already.
_CLOSED_BODIES = frozenset(("FORK_JOIN", "DO_WHILE"))


class Place(Struct, frozen=True):
    """Where a task stands: in which list, and inside which other task."""

    node: WorkflowTask
    siblings: list[WorkflowTask]
    index: int
    parent: str | None


class Plan:
    """The places of all tasks of one definition."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.places: dict[str, Place] = {}
        self._inner: dict[str, list[str]] = {}
        self._add(snapshot.workflow.tasks, None)

    def _add(self, tasks: list[WorkflowTask], parent: str | None) -> None:
        for index, node in enumerate(tasks):
            self.places[node.task_reference_name] = Place(node, tasks, index, parent)
            for inner in inner_lists(node):
                self._add(inner, node.task_reference_name)

    @property
    def first(self) -> WorkflowTask | None:
        tasks = self.snapshot.workflow.tasks
        return tasks[0] if tasks else None

    def node(self, base: str) -> WorkflowTask | None:
        place = self.places.get(base)
        return None if place is None else place.node

    def after(self, base: str) -> WorkflowTask | None:
        """What is scheduled after `base` has ended; None at the end of the workflow, of a branch, of a loop's body."""
        place = self.places.get(base)
        while place is not None:
            if place.index + 1 < len(place.siblings):
                return place.siblings[place.index + 1]
            if place.parent is None:
                return None
            place = self.places[place.parent]
            if place.node.type in _CLOSED_BODIES:
                return None
        return None

    def with_inner(self, base: str, node: Json) -> Plan:
        """This plan with the tasks inside of `node`, a task that came at run time (a branch of a dynamic fork)."""
        if not any(node.get(name) for name in ("decisionCases", "defaultCase", "forkTasks", "loopOver")):
            return self
        plan = Plan.__new__(Plan)
        plan.snapshot = self.snapshot
        plan.places = dict(self.places)
        plan._inner = {}
        if base not in plan.places:
            plan._add([decode_workflow_task(node)], None)
        return plan

    def inner_names(self, loop: str) -> list[str]:
        """The reference names of all tasks somewhere inside of `loop`, in the order of the definition."""
        if loop not in self._inner:
            self._inner[loop] = [base for base in self.places if self.inside(base, loop)]
        return self._inner[loop]

    def inside(self, base: str, loop: str) -> bool:
        """Is `base` somewhere inside of `loop`?"""
        place = self.places.get(base)
        while place is not None and place.parent is not None:
            if place.parent == loop:
                return True
            place = self.places.get(place.parent)
        return False


def inner_lists(node: WorkflowTask) -> list[list[WorkflowTask]]:
    """The lists of tasks that a task holds."""
    lists = [*node.decision_cases.values(), *node.fork_tasks]
    if node.default_case:
        lists.append(node.default_case)
    if node.loop_over:
        lists.append(node.loop_over)
    return lists


@lru_cache(maxsize=512)
def plan_of(definition: bytes) -> Plan:
    """The plan of an encoded snapshot; executions of one definition share it."""
    return Plan(decode_snapshot(definition))
