"""The tasks of a definition with the places where they stand."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from tenuto.graph.checks.problem import under
from tenuto.graph.definitions import WorkflowDef, WorkflowTask


class Site(Struct, frozen=True, eq=False):
    """A task, the path to it, the list in which it stands, and the task that holds this list."""

    node: WorkflowTask
    path: str
    siblings: list[WorkflowTask]
    index: int
    parent: Site | None

    @property
    def previous(self) -> WorkflowTask | None:
        return self.siblings[self.index - 1] if self.index else None

    @property
    def next(self) -> WorkflowTask | None:
        return self.siblings[self.index + 1] if self.index + 1 < len(self.siblings) else None


def sites(definition: WorkflowDef) -> Iterator[Site]:
    """Every task of the workflow, those inside of others too, but not those of sub-workflows."""
    yield from _sites(definition.tasks, "tasks", None)


def _sites(tasks: list[WorkflowTask], path: str, parent: Site | None) -> Iterator[Site]:
    for index, node in enumerate(tasks):
        site = Site(node, f"{path}[{index}]", tasks, index, parent)
        yield site
        for inner_path, inner in inner_lists(node, site.path):
            yield from _sites(inner, inner_path, site)


def inner_lists(node: WorkflowTask, path: str) -> Iterator[tuple[str, list[WorkflowTask]]]:
    """The lists of tasks that a task holds, with their paths."""
    for case, tasks in node.decision_cases.items():
        yield under(f"{path}.decisionCases", case), tasks
    yield f"{path}.defaultCase", node.default_case
    for index, branch in enumerate(node.fork_tasks):
        yield f"{path}.forkTasks[{index}]", branch
    yield f"{path}.loopOver", node.loop_over
