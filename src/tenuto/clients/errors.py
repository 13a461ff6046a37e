"""What requests end with, when not with a result."""

from __future__ import annotations

from tenuto.model.errors import TenutoError
from tenuto.model.policies import ExecutionStatus


class WorkflowFailureError(TenutoError):
    """The workflow did not end with a result; `cause` says why."""

    def __init__(self, *, cause: BaseException) -> None:
        super().__init__(f"the workflow did not complete: {cause}")
        self.__cause__ = cause

    @property
    def cause(self) -> BaseException:
        assert self.__cause__ is not None
        return self.__cause__


class WorkflowContinuedAsNewError(TenutoError):
    """The run continued as new, and the caller did not want to follow; `new_execution_run_id` is the next run."""

    def __init__(self, new_execution_run_id: str) -> None:
        super().__init__(f"the run continued as new in run {new_execution_run_id}")
        self.new_execution_run_id = new_execution_run_id


class WorkflowQueryFailedError(TenutoError):
    """The query's handler raised, or there is no such handler."""


class WorkflowQueryRejectedError(TenutoError):
    """The execution has a status that the caller did not want to query; `status` is it."""

    def __init__(self, status: ExecutionStatus) -> None:
        super().__init__(f"the query was rejected, because the workflow is {status.name}")
        self.status = status


class WorkflowUpdateFailedError(TenutoError):
    """The update was refused, or its handler failed; `cause` says why."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(f"the update failed: {cause}")
        self.__cause__ = cause

    @property
    def cause(self) -> BaseException:
        assert self.__cause__ is not None
        return self.__cause__


class WorkflowUpdateRPCTimeoutOrCancelledError(TenutoError):
    """The update did not get as far as the caller waits for, in time. It may still."""
