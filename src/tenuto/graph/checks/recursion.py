"""Workflows that contain themselves, whatever happens: they would never end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from tenuto.graph.checks.problem import Problem
from tenuto.graph.checks.tree import Site, sites
from tenuto.graph.definitions import WorkflowDef

#: The definition of a name and version (None: the latest), or None.
Find: TypeAlias = Callable[[str, int | None], WorkflowDef | None]

_CONDITIONAL = frozenset(("SWITCH", "DECISION", "DO_WHILE"))


def check_recursion(definition: WorkflowDef, found: list[Site], find: Find) -> Iterator[Problem]:
    """Sub-workflows that lead back to `definition` without a way out."""
    for site in _certain(found):
        child = _child(site, definition, find)
        if child is not None and _leads_to(definition, child, find):
            name = child.name
            message = f"the workflow would never end: {name} starts it again without any condition"
            if child is definition:
                message = "the workflow would never end: it starts itself without any condition"
            yield Problem(f"{site.path}.subWorkflowParam.name", message, name)


def _leads_to(target: WorkflowDef, start: WorkflowDef, find: Find) -> bool:
    waiting, seen = [start], set[tuple[str, int]]()
    while waiting:
        definition = waiting.pop()
        if definition is target:
            return True
        if (definition.name, definition.version) in seen:
            continue
        seen.add((definition.name, definition.version))
        children = (_child(site, target, find) for site in _certain(list(sites(definition))))
        waiting += [child for child in children if child is not None]
    return False


def _certain(found: list[Site]) -> list[Site]:
    """The sub-workflow tasks that every execution reaches, if nothing fails."""
    if any(site.node.type == "TERMINATE" for site in found):
        return []
    return [site for site in found if site.node.type == "SUB_WORKFLOW" and not _conditional(site)]


def _conditional(site: Site) -> bool:
    parent = site.parent
    while parent is not None:
        if parent.node.type in _CONDITIONAL:
            return True
        parent = parent.parent
    return False


def _child(site: Site, target: WorkflowDef, find: Find) -> WorkflowDef | None:
    """The definition that a task starts, as it would be once `target` is registered; None if that can't be known."""
    given = site.node.sub_workflow_param
    if given is None or given.workflow_definition is not None or not given.name or "${" in given.name:
        return None
    version = given.version
    if isinstance(version, str):
        if version and not (version.isdecimal() and len(version) < 20):
            return None
        version = int(version) if version else None
    if given.name == target.name:
        latest = find(given.name, None)
        if version == target.version or (version is None and (latest is None or latest.version <= target.version)):
            return target
    return find(given.name, version)
