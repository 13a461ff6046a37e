"""Which field of which event lies where in Temporal's JSON.

The names are those of temporal/api/history/v1/message.proto in camelCase. What that lacks has a name of ours in the
same object: `runId` and `requestId` of a start, `workflowTaskCompletedEventId` of updates, `existingRunId`, ...
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tenuto import _export_forms as form
from tenuto._export_forms import DurationPart, IdPart, Json, OneOfPart, Part, Record, SpreadPart
from tenuto.model import events as ev
from tenuto.model import failures as fl
from tenuto.model.payloads import JSON, Payload
from tenuto.model.policies import ParentClosePolicy, Retry, RetryState, TimeoutType, WorkflowIDReusePolicy


def text(field: str, name: str | None = None, **options: Any) -> Part:
    return Part(field, form.Text(), name, **options)


def number(field: str, name: str | None = None) -> Part:
    return Part(field, form.Int32(), name)


def event_id(field: str, name: str | None = None, **options: Any) -> Part:
    return Part(field, form.Int64(), name, **options)


def flag(field: str) -> Part:
    return Part(field, form.Flag())


def named(field: str, **options: Any) -> Part:
    return Part(field, form.Named(), **options)


def cause(prefix: str) -> Part:
    return Part("cause", form.Prefixed(prefix + "_FAILED_CAUSE_"))


def run_id(field: str, name: str | None = None) -> IdPart:
    return IdPart(field, form.Text(), name)


def timeout(field: str, name: str | None = None) -> DurationPart:
    return DurationPart(field, name, optional=True)


PAYLOAD = Record(
    Payload,
    Part("encoding", form.Encoded(), "metadata.encoding"),
    Part("data", form.Bytes(), absent=bytes),
)
PAYLOADS = form.Wrapped("payloads", form.Items(PAYLOAD), list)
MEMO = form.Wrapped("fields", form.Values(PAYLOAD), dict)


def payloads(field: str, name: str | None = None, **options: Any) -> Part:
    return Part(field, PAYLOADS, name, absent=list, **options)


def memo() -> Part:
    return Part("memo", MEMO)


class Summary:
    """Text that Temporal keeps as a payload. One that can't be read (encrypted, say) is none."""

    def write(self, value: str) -> Json:
        return PAYLOAD.write(Payload(json.dumps(value, ensure_ascii=False).encode()))

    def read(self, node: Json) -> str | None:
        payload = PAYLOAD.read(node)
        try:
            value = json.loads(payload.data) if payload.encoding == JSON else None
        except ValueError:
            return None
        return form.Text().read(value) if isinstance(value, str) else None


RETRY = Record(
    Retry,
    DurationPart("initial_interval"),
    Part("backoff_coefficient", form.Double()),
    timeout("maximum_interval"),
    number("maximum_attempts"),
    Part("non_retryable_error_types", form.Items(form.Text(), tuple)),
)


def retry(**options: Any) -> Part:
    return Part("retry", RETRY, "retryPolicy", **options)


def retry_state() -> Part:
    codec = form.Enum("RETRY_STATE_", RetryState, RetryState.RETRY_POLICY_NOT_SET)
    return Part("retry_state", codec, absent=lambda: RetryState.RETRY_POLICY_NOT_SET)


def timeout_type(field: str) -> Part:
    return Part(field, form.Enum("TIMEOUT_TYPE_", TimeoutType), "timeoutType")


FAILURE_INFOS = {
    "applicationFailureInfo": Record(
        fl.ApplicationFailure,
        text("type"),
        flag("non_retryable"),
        payloads("details"),
        DurationPart("next_retry_delay"),
    ),
    "timeoutFailureInfo": Record(fl.TimeoutFailure, timeout_type("type"), payloads("last_heartbeat_details")),
    "canceledFailureInfo": Record(fl.CanceledFailure, payloads("details")),
    "terminatedFailureInfo": Record(fl.TerminatedFailure, payloads("details")),
    "activityFailureInfo": Record(
        fl.ActivityFailure,
        event_id("scheduled_event_id", absent=int),
        event_id("started_event_id", absent=int),
        text("activity_id", absent=str),
        named("activity_type", absent=str),
        text("identity", absent=str),
        retry_state(),
    ),
    "childWorkflowExecutionFailureInfo": Record(
        fl.ChildWorkflowFailure,
        text("namespace", absent=str),
        text("workflow_id", "workflowExecution.workflowId", absent=str),
        text("run_id", "workflowExecution.runId", absent=str),
        named("workflow_type", absent=str),
        event_id("initiated_event_id", absent=int),
        event_id("started_event_id", absent=int),
        retry_state(),
    ),
}
FAILURE = Record(
    fl.Failure,
    text("message", absent=str),
    text("stack_trace"),
    OneOfPart("info", FAILURE_INFOS, absent=fl.ApplicationFailure),
)
FAILURE.parts.append(Part("cause", FAILURE))


def failure(field: str = "failure", name: str | None = None) -> Part:
    return Part(field, FAILURE, name)


EXECUTION = Record(ev.ExecutionRef, text("workflow_id"), run_id("run_id"))


def target() -> Part:
    return Part("target", EXECUTION, "workflowExecution")


def origin(field: str) -> SpreadPart:
    """The execution that caused this, and its event: `parentWorkflowExecution` and `parentInitiatedEventId`."""
    record = Record(
        ev.ParentRef,
        text("workflow_id", f"{field}WorkflowExecution.workflowId"),
        text("run_id", f"{field}WorkflowExecution.runId", absent=str),
        event_id("initiated_event_id", f"{field}InitiatedEventId", absent=int),
    )
    return SpreadPart(field, record, f"{field}WorkflowExecution")


SCHEDULED = event_id("scheduled_event_id")
STARTED = event_id("started_event_id")
MAYBE_STARTED = event_id("started_event_id", absent=int)
INITIATED = event_id("initiated_event_id")
DECIDED = event_id("workflow_task_completed_event_id")
IDENTITY = text("identity")
RUN_TIMEOUT = timeout("run_timeout", "workflowRunTimeout")
EXECUTION_TIMEOUT = timeout("execution_timeout", "workflowExecutionTimeout")
TASK_TIMEOUT = DurationPart("task_timeout", "workflowTaskTimeout")
CHILD = (
    INITIATED,
    text("workflow_id", "workflowExecution.workflowId"),
    text("run_id", "workflowExecution.runId"),
    named("workflow_type"),
)
CHILD_CLOSED = (*CHILD, STARTED)


def _never(_: object) -> bool:
    return False


def _succeeded(event: ev.WorkflowExecutionUpdateCompleted) -> bool:
    return event.failure is None or bool(event.result)


ATTRIBUTES: dict[type[ev.Event], tuple[Part, ...]] = {
    ev.WorkflowExecutionStarted: (
        text("workflow_id"),
        text("run_id"),
        text("run_id", "originalExecutionRunId", keep=_never),
        named("workflow_type"),
        named("task_queue"),
        payloads("input"),
        EXECUTION_TIMEOUT,
        RUN_TIMEOUT,
        TASK_TIMEOUT,
        Part("execution_expiration_time", form.OptionalTime(), "workflowExecutionExpirationTime"),
        retry(),
        number("attempt"),
        text("first_execution_run_id"),
        text("original_run_id", "originalExecutionRunId"),
        run_id("continued_run_id", "continuedExecutionRunId"),
        failure("continued_failure"),
        payloads("last_completion_result"),
        origin("parent"),
        Part("root", EXECUTION, "rootWorkflowExecution"),
        memo(),
        DurationPart("first_workflow_task_backoff"),
        IDENTITY,
        text("request_id"),
        number("concurrency"),
    ),
    ev.WorkflowExecutionCompleted: (DECIDED, payloads("result")),
    ev.WorkflowExecutionFailed: (DECIDED, failure(), retry_state(), run_id("new_execution_run_id")),
    ev.WorkflowExecutionTimedOut: (retry_state(), run_id("new_execution_run_id")),
    ev.WorkflowTaskScheduled: (named("task_queue"), DurationPart("start_to_close_timeout"), number("attempt")),
    ev.WorkflowTaskStarted: (
        SCHEDULED,
        IDENTITY,
        event_id("history_size", "historySizeBytes"),
        flag("suggest_continue_as_new"),
    ),
    ev.WorkflowTaskCompleted: (SCHEDULED, STARTED, IDENTITY),
    ev.WorkflowTaskTimedOut: (SCHEDULED, MAYBE_STARTED, timeout_type("timeout_type")),
    ev.WorkflowTaskFailed: (SCHEDULED, MAYBE_STARTED, cause("WORKFLOW_TASK"), failure(), IDENTITY),
    ev.ActivityTaskScheduled: (
        text("activity_id"),
        named("activity_type"),
        named("task_queue"),
        payloads("input"),
        timeout("schedule_to_close_timeout"),
        timeout("schedule_to_start_timeout"),
        timeout("start_to_close_timeout"),
        timeout("heartbeat_timeout"),
        DECIDED,
        retry(absent=Retry),
    ),
    ev.ActivityTaskStarted: (SCHEDULED, number("attempt"), IDENTITY, failure("last_failure")),
    ev.ActivityTaskCompleted: (SCHEDULED, STARTED, payloads("result"), IDENTITY),
    ev.ActivityTaskFailed: (SCHEDULED, STARTED, failure(), retry_state(), IDENTITY),
    ev.ActivityTaskTimedOut: (SCHEDULED, MAYBE_STARTED, failure(), retry_state()),
    ev.ActivityTaskCancelRequested: (SCHEDULED, DECIDED),
    ev.ActivityTaskCanceled: (
        SCHEDULED,
        MAYBE_STARTED,
        event_id("latest_cancel_requested_event_id", absent=int),
        payloads("details"),
        IDENTITY,
    ),
    ev.TimerStarted: (text("timer_id"), DurationPart("start_to_fire_timeout"), DECIDED),
    ev.TimerFired: (text("timer_id"), STARTED),
    ev.TimerCanceled: (text("timer_id"), STARTED, DECIDED),
    ev.WorkflowExecutionCancelRequested: (text("cause"), IDENTITY, origin("external")),
    ev.WorkflowExecutionCanceled: (DECIDED, payloads("details")),
    ev.RequestCancelExternalWorkflowExecutionInitiated: (
        DECIDED,
        target(),
        flag("child_workflow_only"),
        text("reason"),
    ),
    ev.RequestCancelExternalWorkflowExecutionFailed: (
        cause("CANCEL_EXTERNAL_WORKFLOW_EXECUTION"),
        DECIDED,
        target(),
        INITIATED,
    ),
    ev.ExternalWorkflowExecutionCancelRequested: (INITIATED, target()),
    ev.WorkflowExecutionSignaled: (
        text("signal_name"),
        payloads("input"),
        IDENTITY,
        origin("external"),
        text("request_id"),
    ),
    ev.WorkflowExecutionPaused: (IDENTITY, text("reason"), text("request_id")),
    ev.WorkflowExecutionUnpaused: (IDENTITY, text("reason"), text("request_id")),
    ev.WorkflowExecutionTerminated: (text("reason"), payloads("details"), IDENTITY),
    ev.WorkflowExecutionContinuedAsNew: (
        DECIDED,
        text("new_execution_run_id"),
        named("workflow_type"),
        named("task_queue"),
        payloads("input"),
        RUN_TIMEOUT,
        TASK_TIMEOUT,
        memo(),
        DurationPart("backoff_start_interval"),
    ),
    ev.StartChildWorkflowExecutionInitiated: (
        text("workflow_id"),
        named("workflow_type"),
        named("task_queue"),
        payloads("input"),
        Part(
            "parent_close_policy",
            form.Enum("PARENT_CLOSE_POLICY_", ParentClosePolicy),
            absent=lambda: ParentClosePolicy.UNSPECIFIED,
        ),
        DECIDED,
        Part(
            "workflow_id_reuse_policy",
            form.Enum("WORKFLOW_ID_REUSE_POLICY_", WorkflowIDReusePolicy, open=True),
            absent=lambda: int(WorkflowIDReusePolicy.ALLOW_DUPLICATE),
        ),
        EXECUTION_TIMEOUT,
        RUN_TIMEOUT,
        TASK_TIMEOUT,
        retry(),
        memo(),
    ),
    ev.StartChildWorkflowExecutionFailed: (
        text("workflow_id"),
        named("workflow_type"),
        cause("START_CHILD_WORKFLOW_EXECUTION"),
        INITIATED,
        DECIDED,
        text("existing_run_id"),
    ),
    ev.ChildWorkflowExecutionStarted: CHILD,
    ev.ChildWorkflowExecutionCompleted: (*CHILD_CLOSED, payloads("result")),
    ev.ChildWorkflowExecutionFailed: (*CHILD_CLOSED, failure(), retry_state()),
    ev.ChildWorkflowExecutionCanceled: (*CHILD_CLOSED, payloads("details")),
    ev.ChildWorkflowExecutionTimedOut: (*CHILD_CLOSED, retry_state()),
    ev.ChildWorkflowExecutionTerminated: CHILD_CLOSED,
    ev.SignalExternalWorkflowExecutionInitiated: (
        DECIDED,
        target(),
        text("signal_name"),
        payloads("input"),
        flag("child_workflow_only"),
    ),
    ev.SignalExternalWorkflowExecutionFailed: (
        cause("SIGNAL_EXTERNAL_WORKFLOW_EXECUTION"),
        DECIDED,
        target(),
        INITIATED,
    ),
    ev.ExternalWorkflowExecutionSignaled: (INITIATED, target()),
    ev.WorkflowExecutionUpdateAccepted: (
        text("update_id", "protocolInstanceId"),
        text("update_id", "acceptedRequest.meta.updateId"),
        text("identity", "acceptedRequest.meta.identity"),
        text("update_name", "acceptedRequest.input.name"),
        payloads("input", "acceptedRequest.input.args"),
        DECIDED,
    ),
    ev.WorkflowExecutionUpdateCompleted: (
        text("update_id", "meta.updateId"),
        event_id("accepted_event_id"),
        DECIDED,
        payloads("result", "outcome.success", keep=_succeeded),
        failure("failure", "outcome.failure"),
    ),
}

SUMMARY = Part("summary", Summary(), "userMetadata.summary")

#: What lies beside the attributes.
HEAD = (event_id("event_id"), Part("time", form.Time(), "eventTime"))
HEADS: dict[type[ev.Event], tuple[Part, ...]] = {
    ev.ActivityTaskScheduled: (*HEAD, SUMMARY),
    ev.TimerStarted: (*HEAD, SUMMARY),
}


class EventForm:
    """One kind of event: its name, and the two tables that make up its object."""

    def __init__(self, kind: type[ev.Event]) -> None:
        self.kind = kind
        self.type_name = TYPE_PREFIX + ev.EVENT_TYPES[kind].name
        self.attributes = kind.__name__[0].lower() + kind.__name__[1:] + "EventAttributes"
        self.head = Record(kind, *HEADS.get(kind, HEAD))
        self.body = Record(kind, *ATTRIBUTES[kind])

    def write(self, event: ev.Event) -> dict[str, Json]:
        node: dict[str, Json] = self.head.write(event)
        node["eventType"] = self.type_name
        node[self.attributes] = self.body.write(event)
        return node

    def read(self, node: Mapping[str, Json], known: Mapping[str, Json]) -> ev.Event:
        """`known` is what goes without saying, unless the attributes say it."""
        attributes = form.node_at(node, (self.attributes,))
        try:
            said = {} if attributes is form.ABSENT else form.object_of(attributes)
            unsaid = {key: value for key, value in known.items() if said.get(key) is None}
            body = self.body.read_fields({**said, **unsaid})
        except form.Malformed as problem:
            raise problem.under("." + self.attributes) from None
        return self.kind(**self.head.read_fields(node), **body)


TYPE_PREFIX = "EVENT_TYPE_"
FORMS = {kind: EventForm(kind) for kind in ev.EVENT_TYPES}
