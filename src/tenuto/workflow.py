"""What workflow code is written with.

    from datetime import timedelta
    from tenuto import workflow

    @workflow.defn
    class Greeting:
        @workflow.run
        async def run(self, name: str) -> str:
            await workflow.sleep(timedelta(days=1))
            return await workflow.execute_activity(greet, name)

Workflow code must be deterministic: what reaches out of it belongs in an activity, time, random numbers and ids come
from here. `asyncio` works as usual, and where it waits, the wait is durable.
"""

from __future__ import annotations

from tenuto.model.policies import ParentClosePolicy
from tenuto.replay.calls import ActivityCancellationType, ChildWorkflowCancellationType
from tenuto.replay.errors import ContinueAsNewError, NotInWorkflowError, ReadOnlyContextError
from tenuto.replay.matching import NondeterminismError
from tenuto.workflows.activities import ActivityHandle, execute_activity, start_activity
from tenuto.workflows.children import ChildWorkflowHandle, continue_as_new, execute_child_workflow, start_child_workflow
from tenuto.workflows.context import (
    Info,
    ParentInfo,
    all_handlers_finished,
    cancellation_reason,
    in_workflow,
    info,
    instance,
    memo,
    memo_value,
    now,
    random,
    time,
    time_ns,
    uuid4,
)
from tenuto.workflows.declaring import defn, init, query, run, signal, update
from tenuto.workflows.external import ExternalWorkflowHandle, get_external_workflow_handle
from tenuto.workflows.logger import logger
from tenuto.workflows.waiting import sleep, wait_condition

__all__ = [
    "ActivityCancellationType",
    "ActivityHandle",
    "ChildWorkflowCancellationType",
    "ChildWorkflowHandle",
    "ContinueAsNewError",
    "ExternalWorkflowHandle",
    "Info",
    "NondeterminismError",
    "NotInWorkflowError",
    "ParentClosePolicy",
    "ParentInfo",
    "ReadOnlyContextError",
    "all_handlers_finished",
    "cancellation_reason",
    "continue_as_new",
    "defn",
    "execute_activity",
    "execute_child_workflow",
    "get_external_workflow_handle",
    "in_workflow",
    "info",
    "init",
    "instance",
    "logger",
    "memo",
    "memo_value",
    "now",
    "query",
    "random",
    "run",
    "signal",
    "sleep",
    "start_activity",
    "start_child_workflow",
    "time",
    "time_ns",
    "update",
    "uuid4",
    "wait_condition",
]
