"""A durable execution in one line: `workflow.execute(123, durable="sqlite:///profiles.db", id="profile-123")`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenuto.client import Client, WorkflowHandle
from tenuto.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from tenuto.exceptions import WorkflowAlreadyStartedError
from tenuto.sequence.durable import KEYS_QUERY
from tenuto.sequence.state import SharedState
from tenuto.worker import Worker

if TYPE_CHECKING:
    from tenuto.sequence.workflow import Sequence

__all__ = ["execute_durably"]


async def execute_durably(sequence: Sequence, url: str, workflow_id: str | None, arguments: list[Any]) -> Any:
    """Start the execution, or go on with the one of this id, serve it from here, and return its result.

    An execution of the id that has succeeded gives its result again, one that failed is begun anew. Without an id it
    gets a new one. Raises WorkflowFailureError. The sequence's `state` is that of the execution afterwards."""
    workflows: list[Any] = [sequence]  # no class, but a workflow all the same
    async with await Client.connect(url) as client, Worker(client, workflows=workflows):
        handle = await _started(client, sequence, workflow_id or client.gateway.new_id(), arguments)
        try:
            return await handle.result()
        finally:
            await _take_state(sequence, handle)


async def _started(client: Client, sequence: Sequence, workflow_id: str, arguments: list[Any]) -> WorkflowHandle[Any]:
    try:
        return await client.start_workflow(
            sequence,
            args=arguments,
            id=workflow_id,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )
    except WorkflowAlreadyStartedError:
        return client.get_workflow_handle_for(sequence, workflow_id)


async def _take_state(sequence: Sequence, handle: WorkflowHandle[Any]) -> None:
    keys, outputs = await handle.query(KEYS_QUERY)
    sequence.state = SharedState(keys)
    sequence.state.outputs.update(outputs)
