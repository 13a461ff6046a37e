"""How steps and instances fail. See `tenuto.activities.step_errors` for the tree."""

from __future__ import annotations

from tenuto.activities.step_errors import (
    NonRetryableError,
    StepError,
    WorkflowFatalError,
    WorkflowInternalError,
    WorkflowTimeoutError,
)

__all__ = [
    "NonRetryableError",
    "StepError",
    "WorkflowFatalError",
    "WorkflowInternalError",
    "WorkflowTimeoutError",
]
