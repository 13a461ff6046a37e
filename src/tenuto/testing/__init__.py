"""Testing workflows: environments in which time is skipped, mocks, replay, crashes.

Nothing here needs a server, a network or a download."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenuto.testing.activities import ActivityEnvironment
    from tenuto.testing.crash import CrashPoint, crash_points
    from tenuto.testing.environment import WorkflowEnvironment
    from tenuto.testing.introspection import UnreachableError, introspect_workflow, introspect_workflow_instance
    from tenuto.testing.mocks import ActivityMock, mock_activity
    from tenuto.testing.replayer import MissingCodeError, Replayer, WorkflowReplayResult, WorkflowReplayResults

__all__ = [
    "ActivityEnvironment",
    "ActivityMock",
    "CrashPoint",
    "MissingCodeError",
    "Replayer",
    "UnreachableError",
    "WorkflowEnvironment",
    "WorkflowReplayResult",
    "WorkflowReplayResults",
    "crash_points",
    "introspect_workflow",
    "introspect_workflow_instance",
    "mock_activity",
]

_HOMES = {
    "ActivityEnvironment": "activities",
    "ActivityMock": "mocks",
    "CrashPoint": "crash",
    "MissingCodeError": "replayer",
    "Replayer": "replayer",
    "UnreachableError": "introspection",
    "WorkflowEnvironment": "environment",
    "WorkflowReplayResult": "replayer",
    "WorkflowReplayResults": "replayer",
    "crash_points": "crash",
    "introspect_workflow": "introspection",
    "introspect_workflow_instance": "introspection",
    "mock_activity": "mocks",
}


def __getattr__(name: str) -> Any:
    # pytest imports this package in every project where Tenuto is installed, for its plugin: that must cost nothing.
    if name in _HOMES:
        return getattr(import_module(f"tenuto.testing.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
