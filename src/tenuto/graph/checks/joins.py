"""What joins wait for: it must exist, and be able to end before them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

from tenuto.graph.checks.problem import Problem
from tenuto.graph.checks.tree import Site, inner_lists
from tenuto.graph.definitions import WorkflowDef, WorkflowTask

#: Of the task with a reference name: it begins, it ends, and what stands inside of it is over.
_Moment: TypeAlias = tuple[str, Literal["begin", "end", "over"]]


def check_joins(definition: WorkflowDef, found: list[Site]) -> Iterator[Problem]:
    """References that are no task's, and joins that could never end."""
    known = {site.node.task_reference_name for site in found}
    circle = _circles(_requirements(definition))
    for site in found:
        node = site.node
        if node.type not in ("JOIN", "EXCLUSIVE_JOIN") or _branches_come_later(site):
            continue
        for index, name in enumerate(node.join_on):
            path = f"{site.path}.joinOn[{index}]"
            mine = circle.get((node.task_reference_name, "end"))
            if name not in known:
                yield Problem(path, f"there is no task with the reference name {name!r}", name)
            elif name == node.task_reference_name:
                yield Problem(path, f"{name} can't wait for itself", name)
            elif _waits_for_all(node) and mine is not None and mine == circle.get((name, "end")):
                yield Problem(path, f"{node.task_reference_name} waits for {name}, which can't end before it", name)
        for index, name in enumerate(node.default_exclusive_join_task):
            if name not in known:
                path = f"{site.path}.defaultExclusiveJoinTask[{index}]"
                yield Problem(path, f"there is no task with the reference name {name!r}", name)


def _branches_come_later(site: Site) -> bool:
    return site.previous is not None and site.previous.type == "FORK_JOIN_DYNAMIC"


def _waits_for_all(node: WorkflowTask) -> bool:
    return node.type == "JOIN" and not node.expression


def _requirements(definition: WorkflowDef) -> dict[_Moment, list[_Moment]]:
    """What must have happened before each moment."""
    before: dict[_Moment, list[_Moment]] = {}

    def need(moment: _Moment, *earlier: _Moment) -> None:
        before.setdefault(moment, []).extend(earlier)

    def add(tasks: list[WorkflowTask], holder: _Moment | None) -> None:
        previous = holder
        for node in tasks:
            name = node.task_reference_name
            need((name, "begin"), *(() if previous is None else (previous,)))
            need((name, "end"), (name, "begin"))
            need((name, "over"), (name, "end"))
            for _, inner in inner_lists(node, ""):
                add(inner, (name, "begin"))
                if inner and node.type != "FORK_JOIN":  # after a fork comes its join, whatever the branches do
                    need((name, "end" if node.type == "DO_WHILE" else "over"), (inner[-1].task_reference_name, "over"))
            if _waits_for_all(node):
                need((name, "end"), *((joined, "end") for joined in node.join_on if joined != name))
            previous = (name, "over")

    add(definition.tasks, None)
    return before


def _circles(before: dict[_Moment, list[_Moment]]) -> dict[_Moment, _Moment]:
    """Moments that wait for each other, by one of them that stands for all (strongly connected components)."""
    after: dict[_Moment, list[_Moment]] = {}
    for moment, requirements in before.items():
        for requirement in requirements:
            after.setdefault(requirement, []).append(moment)
    member: dict[_Moment, _Moment] = {}
    for start in reversed(_by_finish(before)):
        waiting = [start]
        while waiting:
            moment = waiting.pop()
            if moment not in member:
                member[moment] = start
                waiting += after.get(moment, ())
    return member


def _by_finish(graph: dict[_Moment, list[_Moment]]) -> list[_Moment]:
    """The moments in the order in which a depth-first search is done with them."""
    order: list[_Moment] = []
    seen: set[_Moment] = set()
    for start in graph:
        waiting = [(start, False)]
        while waiting:
            moment, done = waiting.pop()
            if done:
                order.append(moment)
            elif moment not in seen:
                seen.add(moment)
                waiting.append((moment, True))
                waiting += [(requirement, False) for requirement in graph.get(moment, ())]
    return order
