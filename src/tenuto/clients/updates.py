"""Updates that were sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenuto.clients.errors import WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from tenuto.durations import Duration
from tenuto.failures import from_failure
from tenuto.model import messages as msg
from tenuto.model.errors import RPCError, RPCStatusCode
from tenuto.model.events import ExecutionRef

if TYPE_CHECKING:
    from tenuto.clients.client import Client


class WorkflowUpdateStage:
    """How far an update must get before the caller goes on."""

    ADMITTED = "admitted"
    ACCEPTED = "accepted"
    COMPLETED = "completed"


class WorkflowUpdateHandle:
    """An update that was accepted."""

    def __init__(
        self, client: Client, id: str, workflow_id: str, workflow_run_id: str | None, result_type: Any
    ) -> None:
        self._client = client
        self._id = id
        self._target = ExecutionRef(workflow_id, workflow_run_id)
        self._result_type = result_type
        self._outcome: msg.Outcome | None = None

    @property
    def id(self) -> str:
        return self._id

    @property
    def workflow_id(self) -> str:
        return self._target.workflow_id

    @property
    def workflow_run_id(self) -> str | None:
        return self._target.run_id

    async def result(self, *, rpc_timeout: Duration | None = None) -> Any:
        """Wait for the outcome. Raises WorkflowUpdateFailedError if the update failed,
        WorkflowUpdateRPCTimeoutOrCancelledError after `rpc_timeout`."""
        await self._wait(rpc_timeout)
        self._raise_failure()
        assert self._outcome is not None
        result = self._outcome.result
        return self._client.data_converter.decode(result[0], self._result_type) if result else None

    async def _wait(self, rpc_timeout: Duration | None) -> None:
        if self._outcome is not None:
            return
        try:
            answer = await self._client.ask(self._target, msg.PollUpdate(self._id), rpc_timeout)
        except RPCError as error:
            if error.status is RPCStatusCode.DEADLINE_EXCEEDED:
                raise WorkflowUpdateRPCTimeoutOrCancelledError(str(error)) from error
            raise
        assert isinstance(answer, msg.Outcome)
        self._outcome = answer

    def _raise_failure(self) -> None:
        if self._outcome is not None and self._outcome.failure is not None:
            raise WorkflowUpdateFailedError(from_failure(self._outcome.failure, self._client.data_converter))
