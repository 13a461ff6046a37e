"""Testing workflows: environments in which time is skipped, mocks, replay, crashes.

Nothing here needs a server, a network or a download."""

from tenuto.testing.activities import ActivityEnvironment
from tenuto.testing.environment import WorkflowEnvironment
from tenuto.testing.mocks import ActivityMock, mock_activity
from tenuto.testing.replayer import MissingCodeError, Replayer, WorkflowReplayResult, WorkflowReplayResults

__all__ = [
    "ActivityEnvironment",
    "ActivityMock",
    "MissingCodeError",
    "Replayer",
    "WorkflowEnvironment",
    "WorkflowReplayResult",
    "WorkflowReplayResults",
    "mock_activity",
]
