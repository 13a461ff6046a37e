"""Workflows as steps: a class whose `run(event, step)` does named steps, each of them recorded.

    class Publish(WorkflowEntrypoint):
        async def run(self, event, step):
            image = await step.do("fetch", lambda: self.env["BUCKET"].get(event.payload["key"]))
            await step.wait_for_event("approval", type="approved", timeout="24h")
            await step.sleep("cool down", "7 days")
            await step.do("publish", {"retries": {"limit": 10}}, lambda: publish(image))

Recorded work is found by the step's name and the how-manieth of that name it is, so steps may be reordered; a step that
is renamed is a new one. Code between steps runs again whenever an instance is brought back.
"""

from tenuto.steps.binding import Workflow
from tenuto.steps.entrypoint import WorkflowEntrypoint
from tenuto.steps.errors import (
    NonRetryableError,
    StepError,
    WorkflowFatalError,
    WorkflowInternalError,
    WorkflowTimeoutError,
)
from tenuto.steps.instance import WorkflowInstance, WorkflowInstanceError
from tenuto.steps.instance_status import InstanceError, InstanceStatus
from tenuto.steps.step import WorkflowStep

__all__ = [
    "InstanceError",
    "InstanceStatus",
    "NonRetryableError",
    "StepError",
    "Workflow",
    "WorkflowEntrypoint",
    "WorkflowFatalError",
    "WorkflowInstance",
    "WorkflowInstanceError",
    "WorkflowInternalError",
    "WorkflowStep",
    "WorkflowTimeoutError",
]
