"""Names of workflows and tasks, and reference names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tenuto.graph.checks.problem import Problem
from tenuto.graph.checks.tree import Site

_LONGEST = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: What would end, or begin, something else in an expression that names the task.
_BREAKS_EXPRESSIONS = re.compile(r"""[.$\[\]{}'"`\\]""")
_ITERATION = re.compile(r"(.+?)(?:__\d+)+")
_ROOTS = frozenset(("workflow", "CPEWF_TASK_ID"))


def check_name(name: str, path: str) -> Iterator[Problem]:
    """The name of a workflow or of a task."""
    if not name.strip():
        yield Problem(path, "a name is missing; give one", name)
    elif len(name) > _LONGEST:
        yield Problem(path, f"a name may have {_LONGEST} characters, this one has {len(name)}", name[:_LONGEST])
    elif _CONTROL.search(name):
        yield Problem(path, "a name can't have control characters", name)


def check_references(found: list[Site]) -> Iterator[Problem]:
    """The reference names of a workflow."""
    first: dict[str, str] = {}
    looped = {site.node.task_reference_name for site in found if _in_loop(site)}
    for site in found:
        name, path = site.node.task_reference_name, f"{site.path}.taskReferenceName"
        before = len(name) and first.setdefault(name, site.path)
        if not name.strip():
            yield Problem(path, "a reference name is missing; give one that no other task has", name)
            continue
        yield from check_name(name, path)
        iteration = _ITERATION.fullmatch(name)
        if before != site.path:
            yield Problem(path, f"the reference name {name!r} is used already, by {before}", name)
        elif name in _ROOTS:
            yield Problem(path, f"{name!r} can't be a reference name: it means something else in expressions", name)
        elif _BREAKS_EXPRESSIONS.search(name):
            yield Problem(path, f"{name!r} can't be named in an expression; use letters, digits, - and _", name)
        elif iteration is not None and iteration[1] in looped:
            yield Problem(path, f"{name!r} is what {iteration[1]!r} is called in an iteration of its loop", name)


def _in_loop(site: Site) -> bool:
    parent = site.parent
    while parent is not None:
        if parent.node.type == "DO_WHILE":
            return True
        parent = parent.parent
    return False
