"""Messages: what reaches an execution from outside, from a client or from another execution, and the answers.

A message that can't be handled in the same commit as its cause waits in the inbox of the execution's partition, so
every type here is storable.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Struct

from tenuto.model.errors import RPCStatusCode
from tenuto.model.events import ExecutionRef, Memo, ParentRef
from tenuto.model.failures import Failure
from tenuto.model.graph_messages import GraphBody, GraphTaken, TaskUpdated
from tenuto.model.payloads import Payload
from tenuto.model.policies import (
    ExecutionStatus,
    Retry,
    RetryState,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from tenuto.model.task_messages import TaskBody


class Signal(Struct, array_like=True, gc=False, tag_field="kind", tag="signal"):
    signal_name: str
    input: list[Payload] = []
    identity: str = ""
    request_id: str = ""
    external: ParentRef | None = None
    child_workflow_only: bool = False


class Start(Struct, array_like=True, gc=False, tag_field="kind", tag="start"):
    """Start a workflow; with `signal`, the signal is the first thing that the new (or the running) execution sees."""

    workflow_type: str
    task_queue: str
    input: list[Payload]
    request_id: str
    execution_timeout: float | None = None
    run_timeout: float | None = None
    task_timeout: float = 10.0
    retry: Retry | None = None
    memo: Memo = {}
    reuse_policy: WorkflowIDReusePolicy = WorkflowIDReusePolicy.ALLOW_DUPLICATE
    conflict_policy: WorkflowIDConflictPolicy = WorkflowIDConflictPolicy.FAIL
    start_delay: float = 0.0
    identity: str = ""
    parent: ParentRef | None = None
    root: ExecutionRef | None = None
    signal: Signal | None = None
    concurrency: int | None = None


class Cancel(Struct, array_like=True, gc=False, tag_field="kind", tag="cancel"):
    reason: str = ""
    identity: str = ""
    external: ParentRef | None = None
    first_execution_run_id: str | None = None
    child_workflow_only: bool = False


class Terminate(Struct, array_like=True, gc=False, tag_field="kind", tag="terminate"):
    reason: str = ""
    details: list[Payload] = []
    identity: str = ""
    first_execution_run_id: str | None = None
    child_of: ParentRef | None = None


class Pause(Struct, array_like=True, gc=False, tag_field="kind", tag="pause"):
    """Let nothing of the run begin until `Unpause`."""

    reason: str = ""
    identity: str = ""
    request_id: str = ""


class Unpause(Struct, array_like=True, gc=False, tag_field="kind", tag="unpause"):
    reason: str = ""
    identity: str = ""
    request_id: str = ""


class Delete(Struct, array_like=True, gc=False, tag_field="kind", tag="delete"):
    """Forget the run, which has ended."""


class Update(Struct, array_like=True, gc=False, tag_field="kind", tag="update"):
    """`update_id` is the idempotency key. Answered once the update was accepted (or refused)."""

    update_id: str
    update_name: str
    input: list[Payload] = []
    identity: str = ""


class PollUpdate(Struct, array_like=True, gc=False, tag_field="kind", tag="poll_update"):
    """Ask for the outcome of an update; answered once it has one."""

    update_id: str


class Query(Struct, array_like=True, gc=False, tag_field="kind", tag="query"):
    """`reject_if` lists the statuses for which the query is refused instead of answered."""

    query_name: str
    input: list[Payload] = []
    reject_if: tuple[ExecutionStatus, ...] = ()


class QueryAnswered(Struct, array_like=True, gc=False, tag_field="kind", tag="query_answered"):
    """The code of another process has answered a query; `key` is that of its task."""

    key: int
    answer: QueryAnswer


class ChildStarted(Struct, array_like=True, gc=False, tag_field="kind", tag="child_started"):
    initiated_event_id: int
    run_id: str


class ChildStartFailed(Struct, array_like=True, gc=False, tag_field="kind", tag="child_not_started"):
    initiated_event_id: int
    cause: str
    existing_run_id: str = ""
    existing_closed: bool = False


class ChildClosed(Struct, array_like=True, gc=False, tag_field="kind", tag="child_closed"):
    initiated_event_id: int
    run_id: str
    status: ExecutionStatus
    result: list[Payload] = []
    failure: Failure | None = None
    retry_state: RetryState = RetryState.RETRY_POLICY_NOT_SET


class SignalAnswered(Struct, array_like=True, gc=False, tag_field="kind", tag="signal_answered"):
    """Answer to a signal that another execution sent; `cause` says why it failed, if it did."""

    initiated_event_id: int
    cause: str = ""


class CancelAnswered(Struct, array_like=True, gc=False, tag_field="kind", tag="cancel_answered"):
    initiated_event_id: int
    cause: str = ""


Body = (
    Start
    | Signal
    | Cancel
    | Terminate
    | Pause
    | Unpause
    | Delete
    | Update
    | PollUpdate
    | Query
    | ChildStarted
    | ChildStartFailed
    | ChildClosed
    | SignalAnswered
    | CancelAnswered
    | TaskBody
    | QueryAnswered
    | GraphBody
)


class Message(Struct, array_like=True, gc=False):
    """A message and whom it is for. `reply_to` names the request that a waiting client polls the answer of."""

    target: ExecutionRef
    body: Body
    reply_to: str | None = None


class Done(Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag="done"):
    """The request was carried out and is recorded."""

    run_id: str = ""


class Started(Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag="started"):
    run_id: str
    first_execution_run_id: str


class Refused(Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag="refused"):
    """The request was not carried out; nothing was recorded."""

    status: RPCStatusCode
    message: str
    run_id: str = ""
    reason: str = ""


class Outcome(Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag="outcome"):
    """What an update or a query came to: a result, or a failure."""

    result: list[Payload] = []
    failure: Failure | None = None


class Accepted(Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag="accepted"):
    """An update was accepted by `run_id`; its outcome comes later."""

    run_id: str


class QueryRejected(Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag="query_rejected"):
    status: ExecutionStatus


QueryAnswer = Outcome | Refused | QueryRejected
Answer = Done | Started | Refused | Outcome | Accepted | QueryRejected | TaskUpdated | GraphTaken

_encoder = msgspec.msgpack.Encoder()
_messages = msgspec.msgpack.Decoder(Message)
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def encode(value: Message | Answer) -> bytes:
    """`value` as it is stored."""
    return _encoder.encode(value)


def decode_message(data: bytes) -> Message:
    return _messages.decode(data)


def decode_answer(data: bytes) -> Answer:
    return _answers.decode(data)


def check(message: Message) -> None:
    """Raise TypeError if a value is not of its type, before anybody else stumbles over it: stored, such a message could
    not be read again, and would stop every engine that takes it from the inbox."""
    try:
        _messages.decode(_encoder.encode(message))
    except msgspec.ValidationError as error:
        raise TypeError(f"{_place(message, str(error))}: {str(error).partition(' - at')[0]}") from None


def _place(message: Message, error: str) -> str:
    """The name of the field that `error` speaks of by its position."""
    whole = re.search(r"\$\[(\d)\](?:\[(\d+)\])?", error)
    if whole is None:
        return type(message.body).__name__
    if whole[1] == "0":
        return ("workflow_id", "run_id")[int(whole[2] or 0)]
    names = ("kind", *type(message.body).__struct_fields__)  # the tag comes first
    return names[int(whole[2] or 0)]
