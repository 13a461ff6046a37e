"""A failure as it is stored: what went wrong, where, and what caused it."""

from __future__ import annotations

from msgspec import Struct

from tenuto.model.payloads import Payload
from tenuto.model.policies import RetryState, TimeoutType


class ApplicationFailure(Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag="application"):
    """An exception of the user's code. `next_retry_delay` is in seconds."""

    type: str | None = None
    non_retryable: bool = False
    details: list[Payload] = []
    next_retry_delay: float | None = None


class TimeoutFailure(Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag="timeout"):
    """A time limit ran out; the details are those of the last heartbeat."""

    type: TimeoutType
    last_heartbeat_details: list[Payload] = []


class CanceledFailure(Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag="canceled"):
    """The work was cancelled."""

    details: list[Payload] = []


class TerminatedFailure(Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag="terminated"):
    """The execution was terminated from outside."""

    details: list[Payload] = []


class ActivityFailure(Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag="activity"):
    """An activity ended without a result; the failure's `cause` says why."""

    scheduled_event_id: int
    started_event_id: int
    activity_id: str
    activity_type: str
    identity: str
    retry_state: RetryState


class ChildWorkflowFailure(Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag="child"):
    """A child ended without a result; the failure's `cause` says why."""

    namespace: str
    workflow_id: str
    run_id: str
    workflow_type: str
    initiated_event_id: int
    started_event_id: int
    retry_state: RetryState


FailureInfo = (
    ApplicationFailure | TimeoutFailure | CanceledFailure | TerminatedFailure | ActivityFailure | ChildWorkflowFailure
)


class Failure(Struct, array_like=True, frozen=True, gc=False):
    """What went wrong. `info` says of which kind, `cause` what lies beneath."""

    message: str
    info: FailureInfo
    cause: Failure | None = None
    stack_trace: str = ""

    @property
    def type_name(self) -> str:
        """The name that `non_retryable_error_types` is compared with."""
        if isinstance(self.info, ApplicationFailure):
            return self.info.type or ""
        if isinstance(self.info, TimeoutFailure):
            return "TimeoutError"
        return type(self.info).__name__.removesuffix("Failure") + "Error"

    def brief(self) -> str:
        """One line for logs and listings."""
        return f"{self.type_name}: {self.message}" if self.message else self.type_name
