"""Clients: start workflows, talk to them, see what became of them.

    client = await Client.connect("sqlite:///orders.db")
    receipt = await client.execute_workflow(Checkout.run, order, id="order-42")

A client works whether or not this process runs the workflows: `connect` only opens the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenuto.clients.client import Client
from tenuto.clients.descriptions import (
    PendingActivity,
    WorkflowExecution,
    WorkflowExecutionCount,
    WorkflowExecutionDescription,
)
from tenuto.clients.errors import (
    WorkflowContinuedAsNewError,
    WorkflowFailureError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from tenuto.clients.handle import WorkflowHandle
from tenuto.clients.updates import WorkflowUpdateHandle, WorkflowUpdateStage
from tenuto.model.policies import ExecutionStatus as WorkflowExecutionStatus

if TYPE_CHECKING:
    from tenuto.export import WorkflowHistory

__all__ = [
    "Client",
    "PendingActivity",
    "WorkflowContinuedAsNewError",
    "WorkflowExecution",
    "WorkflowExecutionCount",
    "WorkflowExecutionDescription",
    "WorkflowExecutionStatus",
    "WorkflowFailureError",
    "WorkflowHandle",
    "WorkflowHistory",
    "WorkflowQueryFailedError",
    "WorkflowQueryRejectedError",
    "WorkflowUpdateFailedError",
    "WorkflowUpdateHandle",
    "WorkflowUpdateRPCTimeoutOrCancelledError",
    "WorkflowUpdateStage",
]


def __getattr__(name: str) -> Any:
    # The tables of the export form take as long to import as all the rest here, and few programs need them.
    if name == "WorkflowHistory":
        from tenuto.export import WorkflowHistory

        return WorkflowHistory
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
