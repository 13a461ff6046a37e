"""The events of a history: what happened, in order, for ever.

Names, numbers (the `tag`), order and cross-references are those of a Temporal history, so that people can read it and
tools made for it can too. Times are nanoseconds since the epoch, durations are seconds, references are event ids.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec
from msgspec import Struct

from tenuto.model.failures import Failure
from tenuto.model.payloads import Payload
from tenuto.model.policies import ParentClosePolicy, Retry, RetryState, TimeoutType

Memo = dict[str, Payload]


class Event(Struct, array_like=True, gc=False, kw_only=False):
    """What every event has: its place in the history (1..n without gaps) and when it was written."""

    event_id: int
    time: int

    @property
    def event_type(self) -> EventType:
        """The kind of this event, with the number it has on the wire."""
        return EVENT_TYPES[type(self)]


class ExecutionRef(Struct, array_like=True, frozen=True, gc=False):
    """Another execution; without `run_id` the latest run of that workflow id is meant."""

    workflow_id: str
    run_id: str | None = None


class ParentRef(Struct, array_like=True, frozen=True, gc=False):
    """The execution that started this one as its child, and its event that says so."""

    workflow_id: str
    run_id: str
    initiated_event_id: int


class WorkflowExecutionStarted(Event, tag=1):
    workflow_id: str
    run_id: str
    workflow_type: str
    task_queue: str
    input: list[Payload] = []
    execution_timeout: float | None = None
    run_timeout: float | None = None
    task_timeout: float = 10.0
    execution_expiration_time: int | None = None
    retry: Retry | None = None
    attempt: int = 1
    first_execution_run_id: str = ""
    original_run_id: str = ""
    continued_run_id: str | None = None
    continued_failure: Failure | None = None
    last_completion_result: list[Payload] | None = None
    parent: ParentRef | None = None
    root: ExecutionRef | None = None
    memo: Memo = {}
    first_workflow_task_backoff: float = 0.0
    identity: str = ""
    request_id: str = ""
    concurrency: int | None = None
    """How many runs of this type may be at work at a time, this one among them."""


class WorkflowExecutionCompleted(Event, tag=2):
    workflow_task_completed_event_id: int
    result: list[Payload] = []


class WorkflowExecutionFailed(Event, tag=3):
    workflow_task_completed_event_id: int
    failure: Failure
    retry_state: RetryState
    new_execution_run_id: str | None = None


class WorkflowExecutionTimedOut(Event, tag=4):
    retry_state: RetryState
    new_execution_run_id: str | None = None


class WorkflowTaskScheduled(Event, tag=5):
    task_queue: str
    start_to_close_timeout: float
    attempt: int = 1


class WorkflowTaskStarted(Event, tag=6):
    scheduled_event_id: int
    identity: str = ""
    history_size: int = 0
    suggest_continue_as_new: bool = False


class WorkflowTaskCompleted(Event, tag=7):
    scheduled_event_id: int
    started_event_id: int
    identity: str = ""


class WorkflowTaskTimedOut(Event, tag=8):
    scheduled_event_id: int
    started_event_id: int
    timeout_type: TimeoutType = TimeoutType.START_TO_CLOSE


class WorkflowTaskFailed(Event, tag=9):
    scheduled_event_id: int
    started_event_id: int
    cause: str
    failure: Failure
    identity: str = ""


class ActivityTaskScheduled(Event, tag=10):
    activity_id: str
    activity_type: str
    task_queue: str
    input: list[Payload]
    schedule_to_close_timeout: float | None
    schedule_to_start_timeout: float | None
    start_to_close_timeout: float | None
    heartbeat_timeout: float | None
    workflow_task_completed_event_id: int
    retry: Retry
    summary: str | None = None


class ActivityTaskStarted(Event, tag=11):
    scheduled_event_id: int
    attempt: int
    identity: str = ""
    last_failure: Failure | None = None


class ActivityTaskCompleted(Event, tag=12):
    scheduled_event_id: int
    started_event_id: int
    result: list[Payload] = []
    identity: str = ""


class ActivityTaskFailed(Event, tag=13):
    scheduled_event_id: int
    started_event_id: int
    failure: Failure
    retry_state: RetryState
    identity: str = ""


class ActivityTaskTimedOut(Event, tag=14):
    scheduled_event_id: int
    started_event_id: int
    failure: Failure
    retry_state: RetryState


class ActivityTaskCancelRequested(Event, tag=15):
    scheduled_event_id: int
    workflow_task_completed_event_id: int


class ActivityTaskCanceled(Event, tag=16):
    scheduled_event_id: int
    started_event_id: int
    latest_cancel_requested_event_id: int
    details: list[Payload] = []
    identity: str = ""


class TimerStarted(Event, tag=17):
    timer_id: str
    start_to_fire_timeout: float
    workflow_task_completed_event_id: int
    summary: str | None = None


class TimerFired(Event, tag=18):
    timer_id: str
    started_event_id: int


class TimerCanceled(Event, tag=19):
    timer_id: str
    started_event_id: int
    workflow_task_completed_event_id: int


class WorkflowExecutionCancelRequested(Event, tag=20):
    cause: str = ""
    identity: str = ""
    external: ParentRef | None = None


class WorkflowExecutionCanceled(Event, tag=21):
    workflow_task_completed_event_id: int
    details: list[Payload] = []


class RequestCancelExternalWorkflowExecutionInitiated(Event, tag=22):
    workflow_task_completed_event_id: int
    target: ExecutionRef
    child_workflow_only: bool = False
    reason: str = ""


class RequestCancelExternalWorkflowExecutionFailed(Event, tag=23):
    cause: str
    workflow_task_completed_event_id: int
    target: ExecutionRef
    initiated_event_id: int


class ExternalWorkflowExecutionCancelRequested(Event, tag=24):
    initiated_event_id: int
    target: ExecutionRef


class WorkflowExecutionSignaled(Event, tag=26):
    signal_name: str
    input: list[Payload] = []
    identity: str = ""
    external: ParentRef | None = None
    request_id: str = ""


class WorkflowExecutionTerminated(Event, tag=27):
    reason: str = ""
    details: list[Payload] = []
    identity: str = ""


class WorkflowExecutionContinuedAsNew(Event, tag=28):
    workflow_task_completed_event_id: int
    new_execution_run_id: str
    workflow_type: str
    task_queue: str
    input: list[Payload]
    run_timeout: float | None = None
    task_timeout: float = 10.0
    memo: Memo = {}
    backoff_start_interval: float = 0.0


class StartChildWorkflowExecutionInitiated(Event, tag=29):
    workflow_id: str
    workflow_type: str
    task_queue: str
    input: list[Payload]
    parent_close_policy: ParentClosePolicy
    workflow_task_completed_event_id: int
    workflow_id_reuse_policy: int
    execution_timeout: float | None = None
    run_timeout: float | None = None
    task_timeout: float = 10.0
    retry: Retry | None = None
    memo: Memo = {}


class StartChildWorkflowExecutionFailed(Event, tag=30):
    workflow_id: str
    workflow_type: str
    cause: str
    initiated_event_id: int
    workflow_task_completed_event_id: int
    existing_run_id: str = ""


class ChildWorkflowExecutionStarted(Event, tag=31):
    initiated_event_id: int
    workflow_id: str
    run_id: str
    workflow_type: str


class ChildWorkflowExecutionCompleted(Event, tag=32):
    initiated_event_id: int
    started_event_id: int
    workflow_id: str
    run_id: str
    workflow_type: str
    result: list[Payload] = []


class ChildWorkflowExecutionFailed(Event, tag=33):
    initiated_event_id: int
    started_event_id: int
    workflow_id: str
    run_id: str
    workflow_type: str
    failure: Failure
    retry_state: RetryState


class ChildWorkflowExecutionCanceled(Event, tag=34):
    initiated_event_id: int
    started_event_id: int
    workflow_id: str
    run_id: str
    workflow_type: str
    details: list[Payload] = []


class ChildWorkflowExecutionTimedOut(Event, tag=35):
    initiated_event_id: int
    started_event_id: int
    workflow_id: str
    run_id: str
    workflow_type: str
    retry_state: RetryState


class ChildWorkflowExecutionTerminated(Event, tag=36):
    initiated_event_id: int
    started_event_id: int
    workflow_id: str
    run_id: str
    workflow_type: str


class SignalExternalWorkflowExecutionInitiated(Event, tag=37):
    workflow_task_completed_event_id: int
    target: ExecutionRef
    signal_name: str
    input: list[Payload]
    child_workflow_only: bool = False


class SignalExternalWorkflowExecutionFailed(Event, tag=38):
    cause: str
    workflow_task_completed_event_id: int
    target: ExecutionRef
    initiated_event_id: int


class ExternalWorkflowExecutionSignaled(Event, tag=39):
    initiated_event_id: int
    target: ExecutionRef


class WorkflowExecutionUpdateAccepted(Event, tag=41):
    update_id: str
    update_name: str
    input: list[Payload]
    workflow_task_completed_event_id: int
    identity: str = ""


class WorkflowExecutionUpdateCompleted(Event, tag=43):
    update_id: str
    accepted_event_id: int
    workflow_task_completed_event_id: int
    result: list[Payload] = []
    failure: Failure | None = None


class WorkflowExecutionPaused(Event, tag=58):
    """From here on no code and no attempt of the run begins, and what it waits for stands still."""

    reason: str = ""
    identity: str = ""
    request_id: str = ""


class WorkflowExecutionUnpaused(Event, tag=59):
    """The run goes on; timers and back-offs come later by the time since it was paused."""

    reason: str = ""
    identity: str = ""
    request_id: str = ""


AnyEvent = (
    WorkflowExecutionStarted
    | WorkflowExecutionCompleted
    | WorkflowExecutionFailed
    | WorkflowExecutionTimedOut
    | WorkflowTaskScheduled
    | WorkflowTaskStarted
    | WorkflowTaskCompleted
    | WorkflowTaskTimedOut
    | WorkflowTaskFailed
    | ActivityTaskScheduled
    | ActivityTaskStarted
    | ActivityTaskCompleted
    | ActivityTaskFailed
    | ActivityTaskTimedOut
    | ActivityTaskCancelRequested
    | ActivityTaskCanceled
    | TimerStarted
    | TimerFired
    | TimerCanceled
    | WorkflowExecutionCancelRequested
    | WorkflowExecutionCanceled
    | RequestCancelExternalWorkflowExecutionInitiated
    | RequestCancelExternalWorkflowExecutionFailed
    | ExternalWorkflowExecutionCancelRequested
    | WorkflowExecutionSignaled
    | WorkflowExecutionTerminated
    | WorkflowExecutionContinuedAsNew
    | StartChildWorkflowExecutionInitiated
    | StartChildWorkflowExecutionFailed
    | ChildWorkflowExecutionStarted
    | ChildWorkflowExecutionCompleted
    | ChildWorkflowExecutionFailed
    | ChildWorkflowExecutionCanceled
    | ChildWorkflowExecutionTimedOut
    | ChildWorkflowExecutionTerminated
    | SignalExternalWorkflowExecutionInitiated
    | SignalExternalWorkflowExecutionFailed
    | ExternalWorkflowExecutionSignaled
    | WorkflowExecutionUpdateAccepted
    | WorkflowExecutionUpdateCompleted
    | WorkflowExecutionPaused
    | WorkflowExecutionUnpaused
)

CLOSING_EVENTS = (
    WorkflowExecutionCompleted,
    WorkflowExecutionFailed,
    WorkflowExecutionTimedOut,
    WorkflowExecutionCanceled,
    WorkflowExecutionTerminated,
    WorkflowExecutionContinuedAsNew,
)

#: Events that stand for a command of the workflow's code, one for one; they follow the WorkflowTaskCompleted of
#: the task that gave the command.
COMMAND_EVENTS = frozenset(
    {
        ActivityTaskScheduled,
        ActivityTaskCancelRequested,
        TimerStarted,
        TimerCanceled,
        StartChildWorkflowExecutionInitiated,
        SignalExternalWorkflowExecutionInitiated,
        RequestCancelExternalWorkflowExecutionInitiated,
        WorkflowExecutionUpdateAccepted,
        WorkflowExecutionUpdateCompleted,
        WorkflowExecutionCompleted,
        WorkflowExecutionFailed,
        WorkflowExecutionCanceled,
        WorkflowExecutionContinuedAsNew,
    }
)


def _screaming(name: str) -> str:
    """`TimerFired` -> `TIMER_FIRED`."""
    return "".join("_" + c if c.isupper() and i else c for i, c in enumerate(name)).upper()


_CLASSES: dict[str, type[Event]] = {_screaming(cls.__name__): cls for cls in AnyEvent.__args__}
EventType = IntEnum(  # type: ignore[misc]
    "EventType", {name: cls.__struct_config__.tag for name, cls in _CLASSES.items()}
)
EventType.__doc__ = "The kinds of events; the numbers are those of the wire."
EVENT_TYPES: dict[type[Event], EventType] = {cls: EventType[name] for name, cls in _CLASSES.items()}

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[AnyEvent])
_memos = msgspec.msgpack.Decoder(Memo)


def encode_events(events: list[AnyEvent]) -> bytes:
    """`events` as they are stored: one compact MessagePack array."""
    return _encoder.encode(events)


def encode_memo(memo: Memo) -> bytes:
    return _encoder.encode(memo)


def decode_memo(data: bytes) -> Memo:
    return _memos.decode(data) if data else {}


def decode_events(data: bytes) -> list[AnyEvent]:
    """The reverse of `encode_events`. Raises `msgspec.ValidationError` on anything else."""
    return _decoder.decode(data)
