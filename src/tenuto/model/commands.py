"""Commands: what workflow code asks for in one workflow task. The history machine turns each into one event. Code that
runs in another process sends them, so every type here can be stored."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from tenuto.model.events import ExecutionRef, Memo
from tenuto.model.failures import Failure
from tenuto.model.payloads import Payload
from tenuto.model.policies import ParentClosePolicy, Retry


class ScheduleActivity(Struct, gc=False, tag=True):
    activity_id: str
    activity_type: str
    task_queue: str
    input: list[Payload]
    schedule_to_close_timeout: float | None
    schedule_to_start_timeout: float | None
    start_to_close_timeout: float | None
    heartbeat_timeout: float | None
    retry: Retry
    summary: str | None = None


class RequestCancelActivity(Struct, gc=False, tag=True):
    scheduled_event_id: int


class StartTimer(Struct, gc=False, tag=True):
    timer_id: str
    start_to_fire_timeout: float
    summary: str | None = None


class CancelTimer(Struct, gc=False, tag=True):
    timer_id: str


class StartChildWorkflow(Struct, gc=False, tag=True):
    workflow_id: str
    workflow_type: str
    task_queue: str
    input: list[Payload]
    parent_close_policy: ParentClosePolicy
    workflow_id_reuse_policy: int
    execution_timeout: float | None = None
    run_timeout: float | None = None
    task_timeout: float = 10.0
    retry: Retry | None = None
    memo: Memo = {}
    concurrency: int | None = None


class SignalExternal(Struct, gc=False, tag=True):
    target: ExecutionRef
    signal_name: str
    input: list[Payload]
    child_workflow_only: bool = False


class RequestCancelExternal(Struct, gc=False, tag=True):
    target: ExecutionRef
    child_workflow_only: bool = False
    reason: str = ""


class AcceptUpdate(Struct, gc=False, tag=True):
    update_id: str
    update_name: str
    input: list[Payload]
    identity: str = ""


class RejectUpdate(Struct, gc=False, tag=True):
    """The only command without an event: a rejected update leaves no trace in the history."""

    update_id: str
    failure: Failure


class CompleteUpdate(Struct, gc=False, tag=True):
    update_id: str
    result: list[Payload] = []
    failure: Failure | None = None


class CompleteWorkflow(Struct, gc=False, tag=True):
    result: list[Payload] = []


class FailWorkflow(Struct, gc=False, tag=True):
    failure: Failure


class CancelWorkflow(Struct, gc=False, tag=True):
    details: list[Payload] = []


class ContinueAsNew(Struct, gc=False, tag=True):
    """Fields left at None are taken over from the run that ends."""

    workflow_type: str | None
    task_queue: str | None
    input: list[Payload]
    run_timeout: float | None = None
    task_timeout: float | None = None
    retry: Retry | None = None
    memo: Memo | None = None
    backoff_start_interval: float = 0.0


Command = (
    ScheduleActivity
    | RequestCancelActivity
    | StartTimer
    | CancelTimer
    | StartChildWorkflow
    | SignalExternal
    | RequestCancelExternal
    | AcceptUpdate
    | RejectUpdate
    | CompleteUpdate
    | CompleteWorkflow
    | FailWorkflow
    | CancelWorkflow
    | ContinueAsNew
)

CLOSING_COMMANDS = (CompleteWorkflow, FailWorkflow, CancelWorkflow, ContinueAsNew)

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[type, msgspec.msgpack.Decoder[Command]] = {
    kind: msgspec.msgpack.Decoder(kind)
    for kind in (ScheduleActivity, StartTimer, StartChildWorkflow, SignalExternal, RequestCancelExternal, ContinueAsNew)
}


def check(command: Command) -> None:
    """Raise TypeError if a value that a user gave is not of its type: recorded, it could not be read again."""
    kind = type(command)
    # Two kinds are given so often that asking them is worth a line each.
    if kind is ScheduleActivity:
        if type(command.activity_id) is type(command.task_queue) is str and type(command.summary) in _TEXT:  # type: ignore[union-attr]
            return
    elif kind is StartTimer and type(command.summary) in _TEXT:  # type: ignore[union-attr]
        return
    decoder = _decoders.get(kind)
    if decoder is not None:
        try:
            decoder.decode(_encoder.encode(command))
        except msgspec.ValidationError as error:
            raise TypeError(f"{kind.__name__}: {error}") from None


_TEXT = (str, type(None))
