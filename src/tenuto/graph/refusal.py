"""Why an operation on an execution is not carried out."""

from __future__ import annotations

from tenuto.model.errors import RPCStatusCode


class Refusal(Exception):
    """The operation is not allowed, or makes no sense, in the state that the execution is in; nothing was changed."""

    def __init__(
        self, message: str, status: RPCStatusCode = RPCStatusCode.FAILED_PRECONDITION, reason: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        #: In a word, for those who tell refusals of one status apart.
        self.reason = reason
