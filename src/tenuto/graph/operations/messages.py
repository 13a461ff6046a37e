"""Messages for PULL_WORKFLOW_MESSAGES."""

from __future__ import annotations

from tenuto.graph.context import Context
from tenuto.graph.execution import GraphExecution
from tenuto.graph.operations.pause import refuse_closed
from tenuto.graph.refusal import Refusal
from tenuto.model.errors import RPCStatusCode
from tenuto.model.graph_messages import GraphPush

#: Messages that may wait in one workflow.
LIMIT = 1000


def push(execution: GraphExecution, context: Context, request: GraphPush) -> None:
    """Keep a message until a task of the workflow pulls it."""
    state = execution.state
    refuse_closed(execution, "sent messages")
    if len(state.messages) >= LIMIT:
        raise Refusal(
            f"{LIMIT} messages wait in workflow {execution.workflow_id}, the limit; it takes more when some are pulled",
            RPCStatusCode.RESOURCE_EXHAUSTED,
        )
    message = {
        "id": request.message_id,
        "workflowId": execution.workflow_id,
        "payload": request.payload,
        "receivedAt": context.now // 1_000_000,
    }
    execution.change("message", messages=[*state.messages, message])
