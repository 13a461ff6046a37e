"""Workflows by the name of their module."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tenuto.replay.definition import WorkflowDefinition

__all__ = ["workflows_at"]


def workflows_at(place: str) -> list[object]:
    """The workflows of a module, or the one that `module:Name` names. Raises ImportError if there is no such module,
    ValueError if it has no such workflow."""
    module_name, _, name = place.partition(":")
    module = import_module(module_name)
    if name:
        found: Any = getattr(module, name, None)
        if not _is_workflow(found):
            raise ValueError(f"{module_name} has no workflow {name}")
        return [found]
    classes = [thing for thing in vars(module).values() if _is_workflow(thing)]
    if not classes:
        raise ValueError(f"{module_name} has no workflows")
    return classes


def _is_workflow(thing: Any) -> bool:
    try:
        return isinstance(thing, type) and bool(WorkflowDefinition.of(thing))
    except TypeError:
        return False
