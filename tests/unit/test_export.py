"""Histories survive the trip through JSON, and the JSON is the one that Temporal's tools know."""

import json
from base64 import b64encode
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenuto.export import WorkflowHistory
from tenuto.model import events as ev
from tenuto.model import failures as fl
from tenuto.model.events import EVENT_TYPES, AnyEvent, decode_events, encode_events
from tenuto.model.payloads import Payload
from tenuto.model.policies import ParentClosePolicy, Retry, RetryState, TimeoutType

SECOND = 1_000_000_000
TIME = 1_795_195_740 * SECOND + 123_456_789
AT = "2026-11-20T17:29:00.123456789Z"

int64 = st.integers(-(2**63), 2**63 - 1)


def of_type(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type, every field of every struct filled, not left at its default."""
    arguments = getattr(hint, "__args__", ())
    origin = getattr(hint, "__origin__", None)
    if hint is fl.Failure:
        return failures
    if isinstance(hint, type) and hasattr(hint, "__struct_fields__"):
        return struct(hint)
    if origin is list:
        return st.lists(of_type(arguments[0]), max_size=3)
    if origin is tuple:
        return st.lists(of_type(arguments[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(st.text(), of_type(arguments[1]), max_size=3)
    if arguments:
        return st.one_of(*map(of_type, arguments))
    return SCALARS[hint] if hint in SCALARS else st.sampled_from(list(hint))


def struct(cls: Any) -> st.SearchStrategy[Any]:
    return st.deferred(
        lambda: st.builds(cls, **{field.name: of_type(field.type) for field in msgspec.structs.fields(cls)})
    )


SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(),
    int: int64,
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    bytes: st.binary(max_size=20),
    type(None): st.none(),
}
infos = st.one_of(*[struct(cls) for cls in fl.FailureInfo.__args__])
failures: st.SearchStrategy[fl.Failure] = st.recursive(
    st.builds(fl.Failure, st.text(), infos, st.none(), st.text()),
    lambda inner: st.builds(fl.Failure, st.text(), infos, inner, st.text()),
    max_leaves=3,
)


def round_trip(*events: AnyEvent) -> list[AnyEvent]:
    return WorkflowHistory.from_json("order-1", WorkflowHistory("order-1", events).to_json()).events


@pytest.mark.parametrize("kind", EVENT_TYPES, ids=lambda kind: kind.__name__)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_every_event_comes_back_as_it_was(kind: type[AnyEvent], data: st.DataObject) -> None:
    event = data.draw(struct(kind))
    again = round_trip(event)
    assert again == [event]
    assert decode_events(encode_events(again)) == [event]
    # What is written is what the standard JSON of Python, and of others, can hold.
    json.dumps(WorkflowHistory("w", [event]).to_json_dict(), allow_nan=False)


def encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def payload(data: str) -> dict[str, Any]:
    return {"payloads": [{"metadata": {"encoding": encoded("json/plain")}, "data": encoded(data)}]}


def written(event: AnyEvent) -> dict[str, Any]:
    """The JSON of one event, without what all have."""
    [node] = WorkflowHistory("w", [event]).to_json_dict()["events"]
    assert (node.pop("eventId"), node.pop("eventTime")) == (str(event.event_id), AT)
    return node


def test_a_started_event_has_the_names_of_temporal() -> None:
    started = ev.WorkflowExecutionStarted(
        1,
        TIME,
        "order-1",
        "run-1",
        "Checkout",
        "orders",
        [Payload(b'"x"')],
        run_timeout=0.5,
        execution_expiration_time=TIME - TIME % SECOND,
        retry=Retry(maximum_attempts=3, non_retryable_error_types=("ValueError",)),
        parent=ev.ParentRef("batch", "run-0", 7),
        root=ev.ExecutionRef("all"),
        memo={"who": Payload(b"1")},
        continued_failure=fl.Failure(
            "no", fl.ApplicationFailure("Declined", True, [Payload(b"2")], 1.5), None, "trace"
        ),
        identity="me",
    )
    assert written(started) == {
        "eventType": "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED",
        "workflowExecutionStartedEventAttributes": {
            "workflowId": "order-1",
            "runId": "run-1",
            "workflowType": {"name": "Checkout"},
            "taskQueue": {"name": "orders"},
            "input": payload('"x"'),
            "workflowRunTimeout": "0.5s",
            "workflowTaskTimeout": "10s",
            "workflowExecutionExpirationTime": "2026-11-20T17:29:00Z",
            "retryPolicy": {
                "initialInterval": "1s",
                "backoffCoefficient": 2.0,
                "maximumAttempts": 3,
                "nonRetryableErrorTypes": ["ValueError"],
            },
            "attempt": 1,
            "continuedFailure": {
                "message": "no",
                "stackTrace": "trace",
                "applicationFailureInfo": {
                    "type": "Declined",
                    "nonRetryable": True,
                    "details": payload("2"),
                    "nextRetryDelay": "1.5s",
                },
            },
            "parentWorkflowExecution": {"workflowId": "batch", "runId": "run-0"},
            "parentInitiatedEventId": "7",
            "rootWorkflowExecution": {"workflowId": "all"},
            "memo": {"fields": {"who": payload("1")["payloads"][0]}},
            "identity": "me",
        },
    }


def test_an_activity_has_the_names_of_temporal() -> None:
    scheduled = ev.ActivityTaskScheduled(5, TIME, "1", "charge", "q", [], None, None, 60.0, None, 4, Retry(), "Pay €5")
    assert written(scheduled) == {
        "eventType": "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED",
        "userMetadata": {"summary": payload('"Pay €5"')["payloads"][0]},
        "activityTaskScheduledEventAttributes": {
            "activityId": "1",
            "activityType": {"name": "charge"},
            "taskQueue": {"name": "q"},
            "input": {},
            "startToCloseTimeout": "60s",
            "workflowTaskCompletedEventId": "4",
            "retryPolicy": {"initialInterval": "1s", "backoffCoefficient": 2.0},
        },
    }


def test_a_chain_of_failures_has_the_names_of_temporal() -> None:
    cause = fl.Failure("late", fl.TimeoutFailure(TimeoutType.HEARTBEAT, [Payload(b"9")]))
    state = RetryState.MAXIMUM_ATTEMPTS_REACHED
    activity = fl.Failure("activity", fl.ActivityFailure(5, 6, "1", "charge", "w", state), cause)
    child = fl.ChildWorkflowFailure("default", "c", "r", "Child", 8, 9, state)
    failed = ev.WorkflowExecutionFailed(9, TIME, 8, fl.Failure("child", child, activity), state)
    assert written(failed)["workflowExecutionFailedEventAttributes"] == {
        "workflowTaskCompletedEventId": "8",
        "retryState": "RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED",
        "failure": {
            "message": "child",
            "childWorkflowExecutionFailureInfo": {
                "namespace": "default",
                "workflowExecution": {"workflowId": "c", "runId": "r"},
                "workflowType": {"name": "Child"},
                "initiatedEventId": "8",
                "startedEventId": "9",
                "retryState": "RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED",
            },
            "cause": {
                "message": "activity",
                "activityFailureInfo": {
                    "scheduledEventId": "5",
                    "startedEventId": "6",
                    "activityId": "1",
                    "activityType": {"name": "charge"},
                    "identity": "w",
                    "retryState": "RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED",
                },
                "cause": {
                    "message": "late",
                    "timeoutFailureInfo": {
                        "timeoutType": "TIMEOUT_TYPE_HEARTBEAT",
                        "lastHeartbeatDetails": payload("9"),
                    },
                },
            },
        },
    }


def test_updates_have_the_names_of_temporal() -> None:
    accepted = ev.WorkflowExecutionUpdateAccepted(5, TIME, "u1", "add", [Payload(b"1")], 4, "me")
    assert written(accepted)["workflowExecutionUpdateAcceptedEventAttributes"] == {
        "protocolInstanceId": "u1",
        "acceptedRequest": {
            "meta": {"updateId": "u1", "identity": "me"},
            "input": {"name": "add", "args": payload("1")},
        },
        "workflowTaskCompletedEventId": "4",
    }
    done = ev.WorkflowExecutionUpdateCompleted(6, TIME, "u1", 5, 4)
    completed = written(done)["workflowExecutionUpdateCompletedEventAttributes"]
    assert completed == {
        "meta": {"updateId": "u1"},
        "acceptedEventId": "5",
        "workflowTaskCompletedEventId": "4",
        "outcome": {"success": {}},
    }
    failure = fl.Failure("no", fl.CanceledFailure())
    failed = written(msgspec.structs.replace(done, failure=failure))["workflowExecutionUpdateCompletedEventAttributes"]
    assert failed["outcome"] == {"failure": {"message": "no", "canceledFailureInfo": {}}}


@pytest.mark.parametrize(
    ("event", "names"),
    [
        (
            ev.WorkflowTaskFailed(5, TIME, 3, 4, "NON_DETERMINISTIC_ERROR", fl.Failure("", fl.TerminatedFailure())),
            {"cause": "WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR"},
        ),
        (
            ev.StartChildWorkflowExecutionFailed(5, TIME, "c", "C", "WORKFLOW_ALREADY_EXISTS", 3, 2, "r"),
            {
                "cause": "START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS",
                "existingRunId": "r",
            },
        ),
        (
            ev.SignalExternalWorkflowExecutionFailed(5, TIME, "X", 2, ev.ExecutionRef("w", "r"), 3),
            {
                "cause": "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_X",
                "workflowExecution": {"workflowId": "w", "runId": "r"},
            },
        ),
        (
            ev.RequestCancelExternalWorkflowExecutionFailed(5, TIME, "X", 2, ev.ExecutionRef("w"), 3),
            {
                "cause": "CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_X",
                "workflowExecution": {"workflowId": "w"},
            },
        ),
        (
            ev.StartChildWorkflowExecutionInitiated(5, TIME, "c", "C", "q", [], ParentClosePolicy.REQUEST_CANCEL, 4, 3),
            {
                "parentClosePolicy": "PARENT_CLOSE_POLICY_REQUEST_CANCEL",
                "workflowIdReusePolicy": "WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE",
            },
        ),
        (
            ev.WorkflowExecutionSignaled(5, TIME, "go", external=ev.ParentRef("w", "r", 3)),
            {
                "signalName": "go",
                "externalWorkflowExecution": {"workflowId": "w", "runId": "r"},
                "externalInitiatedEventId": "3",
            },
        ),
        (
            ev.WorkflowTaskTimedOut(5, TIME, 3, 4),
            {"timeoutType": "TIMEOUT_TYPE_START_TO_CLOSE"},
        ),
        (
            ev.WorkflowTaskStarted(5, TIME, 3, "w", 1024, True),
            {"historySizeBytes": "1024", "suggestContinueAsNew": True},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_enums_references_and_sizes_have_the_names_of_temporal(event: AnyEvent, names: dict[str, Any]) -> None:
    name = type(event).__name__
    attributes = written(event)[name[0].lower() + name[1:] + "EventAttributes"]
    assert {key: attributes[key] for key in names} == names


@pytest.mark.parametrize(
    ("seconds", "text", "neighbour"),
    [
        (10.0, "10s", None),
        (0.5, "0.5s", None),
        (0.0, "0s", None),
        (1e-9, "0.000000001s", None),
        (0.1 + 0.2, "0.3s", 0.30000000000000004),
        (1e-12, "0s", 1e-12),
        (float("inf"), "315576000000s", "Infinity"),
    ],
)
def test_durations_are_standard_and_exact(seconds: float, text: str, neighbour: object) -> None:
    event = ev.TimerStarted(5, TIME, "1", seconds, 4)
    attributes = written(event)["timerStartedEventAttributes"]
    assert attributes["startToFireTimeout"] == text
    assert attributes.get("startToFireTimeoutSeconds") == neighbour
    assert round_trip(event) == [event]


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (500_000_000, "1970-01-01T00:00:00.500Z"),
        (1_000, "1970-01-01T00:00:00.000001Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
    ],
)
def test_times_have_groups_of_three_digits(time: int, text: str) -> None:
    [node] = WorkflowHistory("w", [ev.TimerFired(1, time, "1", 1)]).to_json_dict()["events"]
    assert node["eventTime"] == text


def test_a_history_of_an_older_tool_is_read() -> None:
    """Types and enums in camel case, integer ids, empty strings and zeros for what is not set, unknown attributes."""
    text = json.dumps(
        {
            "events": [
                {
                    "eventId": 1,
                    "eventTime": "2026-11-20T17:29:00.123456789Z",
                    "eventType": "WorkflowExecutionStarted",
                    "version": "0",
                    "taskId": "1048582",
                    "workflowExecutionStartedEventAttributes": {
                        "workflowType": {"name": "Hello"},
                        "parentWorkflowNamespace": "",
                        "parentInitiatedEventId": "0",
                        "taskQueue": {"name": "q", "kind": "Normal"},
                        "input": None,
                        "workflowExecutionTimeout": "0s",
                        "workflowTaskTimeout": "10s",
                        "workflowExecutionExpirationTime": "0001-01-01T00:00:00Z",
                        "continuedExecutionRunId": "",
                        "originalExecutionRunId": "run-1",
                        "firstExecutionRunId": "run-0",
                        "attempt": 1,
                        "cronSchedule": "",
                        "firstWorkflowTaskBackoff": "0s",
                        "header": {"fields": {}},
                    },
                },
                {
                    "eventId": "2",
                    "eventTime": "2026-11-20T18:29:00.123456789+01:00",
                    "eventType": "WorkflowTaskFailed",
                    "workflowTaskFailedEventAttributes": {
                        "scheduledEventId": 1,
                        "startedEventId": "1",
                        "cause": "UnhandledCommand",
                        "failure": {"message": "x", "source": "Server", "serverFailureInfo": {"nonRetryable": True}},
                    },
                },
                {
                    "eventId": "3",
                    "eventTime": AT,
                    "eventType": 7,
                    "workflowTaskCompletedEventAttributes": {"scheduledEventId": "1", "startedEventId": "2"},
                },
                {
                    "eventId": "4",
                    "eventTime": AT,
                    "eventType": "EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED",
                    "workflowExecutionUpdateCompletedEventAttributes": {
                        "meta": {"updateId": "u"},
                        "acceptedEventId": 3,
                    },
                },
                {
                    "eventId": "5",
                    "eventTime": AT,
                    "eventType": "ActivityTaskTimedOut",
                    "activityTaskTimedOutEventAttributes": {
                        "scheduledEventId": "4",
                        "retryState": "NonRetryableFailure",
                        "failure": {"timeoutFailureInfo": {"timeoutType": "ScheduleToStart"}},
                    },
                },
                {"eventId": "6", "eventTime": AT, "eventType": "WorkflowExecutionTerminated"},
                {"eventId": "7", "eventTime": AT, "eventType": "WorkflowExecutionTimedOut"},
            ]
        }
    )
    history = WorkflowHistory.from_json("hello-1", text)
    assert (history.workflow_id, history.run_id) == ("hello-1", "run-1")
    assert history.events == [
        ev.WorkflowExecutionStarted(
            1, TIME, "hello-1", "run-1", "Hello", "q", first_execution_run_id="run-0", original_run_id="run-1"
        ),
        ev.WorkflowTaskFailed(2, TIME, 1, 1, "UNHANDLED_COMMAND", fl.Failure("x", fl.ApplicationFailure())),
        ev.WorkflowTaskCompleted(3, TIME, 1, 2),
        ev.WorkflowExecutionUpdateCompleted(4, TIME, "u", 3, 3),
        ev.ActivityTaskTimedOut(
            5,
            TIME,
            4,
            0,
            fl.Failure("", fl.TimeoutFailure(TimeoutType.SCHEDULE_TO_START)),
            RetryState.NON_RETRYABLE_FAILURE,
        ),
        ev.WorkflowExecutionTerminated(6, TIME),
        ev.WorkflowExecutionTimedOut(7, TIME, RetryState.RETRY_POLICY_NOT_SET),
    ]


def test_a_summary_that_is_not_plain_json_is_none() -> None:
    node = WorkflowHistory("w", [ev.TimerStarted(1, TIME, "1", 1.0, 1, "x")]).to_json_dict()
    node["events"][0]["userMetadata"]["summary"]["metadata"]["encoding"] = encoded("binary/encrypted")
    [event] = WorkflowHistory.from_json("w", node).events
    assert event == ev.TimerStarted(1, TIME, "1", 1.0, 1)


def test_either_alphabet_of_base64_is_read_padded_or_not() -> None:
    event = ev.WorkflowExecutionCompleted(1, TIME, 1, [Payload(b"\xfb\xff\xfe\xff")])
    node = WorkflowHistory("w", [event]).to_json_dict()
    item = node["events"][0]["workflowExecutionCompletedEventAttributes"]["result"]["payloads"][0]
    assert item["data"] == "+//+/w=="
    for data in ("+//+/w", "-__-_w==", "-__-_w"):
        item["data"] = data
        assert WorkflowHistory.from_json("w", node).events == [event]


SCHEDULED = {
    "activityId": "1",
    "activityType": {"name": "charge"},
    "taskQueue": {"name": "q"},
    "workflowTaskCompletedEventId": "4",
}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"activityType": None}, ".activityType: is missing"),
        ({"activityType": "charge"}, ".activityType: expected an object, found 'charge'"),
        ({"activityType": {}}, ".activityType.name: is missing"),
        ({"activityId": 1}, ".activityId: expected a string, found 1"),
        ({"activityId": "\ud800"}, ".activityId: expected a string of Unicode characters"),
        ({"workflowTaskCompletedEventId": "4.5"}, ".workflowTaskCompletedEventId: expected an integer, found '4.5'"),
        ({"workflowTaskCompletedEventId": True}, ".workflowTaskCompletedEventId: expected an integer"),
        ({"workflowTaskCompletedEventId": 2**63}, ".workflowTaskCompletedEventId: expected an integer"),
        ({"heartbeatTimeout": 10}, '.heartbeatTimeout: expected a duration like "10s" or "0.5s", found 10'),
        ({"heartbeatTimeout": "1m"}, ".heartbeatTimeout: expected a duration"),
        ({"input": ["x"]}, ".input: expected an object, found ['x']"),
        ({"input": {"payloads": {}}}, ".input.payloads: expected an array, found {}"),
        ({"input": {"payloads": [{}, {"data": "*"}]}}, ".input.payloads[1].data: expected base64, found '*'"),
        (
            {"input": {"payloads": [{"metadata": {"encoding": "/w=="}}]}},
            ".input.payloads[0].metadata.encoding: expected base64 of UTF-8 text",
        ),
        ({"input": {"payloads": [{"metadata": 1}]}}, ".input.payloads[0].metadata: expected an object, found 1"),
        ({"retryPolicy": {"backoffCoefficient": "2"}}, ".retryPolicy.backoffCoefficient: expected a number"),
        (
            {"retryPolicy": {"nonRetryableErrorTypes": [1]}},
            ".retryPolicy.nonRetryableErrorTypes[0]: expected a string, found 1",
        ),
    ],
)
def test_what_is_malformed_is_refused_at_its_path(change: dict[str, Any], problem: str) -> None:
    fired: dict[str, Any] = {"eventId": "1", "eventTime": AT, "eventType": "TimerFired"}
    fired["timerFiredEventAttributes"] = {"timerId": "1", "startedEventId": "1"}
    scheduled: dict[str, Any] = {"eventId": "2", "eventTime": AT, "eventType": "ActivityTaskScheduled"}
    scheduled["activityTaskScheduledEventAttributes"] = SCHEDULED | change
    with pytest.raises(ValueError, match=r"expected|is missing") as caught:
        WorkflowHistory.from_json("w", {"events": [fired, scheduled]})
    assert str(caught.value).startswith("$.events[1].activityTaskScheduledEventAttributes" + problem)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("{", "$: not JSON: "),
        ('"\ud800"', "$: not JSON: "),
        ("[]", "$: expected an object, found []"),
        ("{}", "$.events: expected an array of events, found None"),
        ('{"events": {}}', "$.events: expected an array of events, found {}"),
        ('{"events": [1]}', "$.events[0]: expected an object, found 1"),
        ('{"events": [{}]}', "$.events[0].eventType: expected a type of event that Tenuto has, found None"),
        (
            '{"events": [{"eventType": "EVENT_TYPE_MARKER_RECORDED"}]}',
            "$.events[0].eventType: expected a type of event that Tenuto has, found 'EVENT_TYPE_MARKER_RECORDED'",
        ),
        ('{"events": [{"eventType": true}]}', "$.events[0].eventType: expected a type"),
        ('{"events": [{"eventType": 1e99}]}', "$.events[0].eventType: expected a type"),
        (
            '{"events": [{"eventType": "TimerFired", "timerFiredEventAttributes": []}]}',
            "$.events[0].timerFiredEventAttributes: expected an object, found []",
        ),
        (
            '{"events": [{"eventType": "TimerFired"}]}',
            "$.events[0].timerFiredEventAttributes.timerId: is missing",
        ),
        ('{"events": [{"eventType": "WorkflowExecutionTerminated"}]}', "$.events[0].eventId: is missing"),
        (
            '{"events": [{"eventType": "WorkflowExecutionTerminated", "eventId": "1", "eventTime": "noon"}]}',
            "$.events[0].eventTime: 'noon' is not a time like",
        ),
        (
            '{"events": [{"eventType": "WorkflowExecutionTerminated", "eventId": "1", "eventTime": "2999-01-01"}]}',
            "$.events[0].eventTime: expected a time between the years 1678 and 2262",
        ),
        (
            '{"events": [{"eventType": "WorkflowExecutionTimedOut", '
            '"workflowExecutionTimedOutEventAttributes": {"retryState": "Tired"}}]}',
            "$.events[0].workflowExecutionTimedOutEventAttributes.retryState: expected one of RETRY_STATE_IN_PROGRESS,",
        ),
        (
            '{"events": [{"eventType": "WorkflowExecutionStarted", "workflowExecutionStartedEventAttributes": '
            '{"originalExecutionRunId": "r", "workflowType": {"name": "W"}, "taskQueue": {"name": "q"}, '
            '"memo": {"fields": {"a b": 1}}}}]}',
            '$.events[0].workflowExecutionStartedEventAttributes.memo.fields["a b"]: expected an object, found 1',
        ),
        ("[" * 100_000, "$: "),
    ],
)
def test_what_is_no_history_is_refused(document: str, problem: str) -> None:
    with pytest.raises(ValueError, match=r"^\$") as caught:
        WorkflowHistory.from_json("w", document)
    assert str(caught.value).startswith(problem)


def test_a_failure_nested_too_deeply_is_refused() -> None:
    failure: dict[str, Any] = {"message": "x"}
    for _ in range(10_000):
        failure = {"message": "x", "cause": failure}
    attributes = {"failure": failure, "workflowTaskCompletedEventId": "1"}
    event = {"eventType": "WorkflowExecutionFailed", "workflowExecutionFailedEventAttributes": attributes}
    with pytest.raises(ValueError, match="nested too deeply"):
        WorkflowHistory.from_json("w", {"events": [event]})


leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5), st.just("10s")
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=3), inner)),
    max_leaves=4,
)


@given(data=st.data())
def test_a_history_with_anything_in_it_is_read_or_refused(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(list(EVENT_TYPES)))
    node = WorkflowHistory("w", [data.draw(struct(kind))]).to_json_dict()
    here = node["events"][0]
    while True:  # replace one node, at any depth
        key = data.draw(st.sampled_from(sorted(here)) if isinstance(here, dict) else st.sampled_from(range(len(here))))
        if not (here[key] and isinstance(here[key], dict | list) and data.draw(st.booleans())):
            break
        here = here[key]
    here[key] = data.draw(trees)
    try:
        events = WorkflowHistory.from_json("w", node).events
    except ValueError as error:
        events, problem = [], str(error)
        assert problem.startswith("$.events[0]")
    assert decode_events(encode_events(events)) == events


def test_the_run_id_is_that_of_the_start() -> None:
    started = ev.WorkflowExecutionStarted(1, TIME, "w", "r", "W", "q")
    assert WorkflowHistory("w", [started]).run_id == "r"
    for events in ([], [ev.TimerFired(1, TIME, "1", 1)]):
        with pytest.raises(RuntimeError, match="does not begin with WorkflowExecutionStarted"):
            _ = WorkflowHistory("w", events).run_id


def test_text_is_one_line_unless_indented() -> None:
    history = WorkflowHistory("w", [ev.TimerFired(1, TIME, "1", 1)])
    assert "\n" not in history.to_json()
    assert history.to_json(indent=2).startswith('{\n  "events": [\n')
    assert WorkflowHistory.from_json("w", history.to_json(2)) == history
    assert json.loads(history.to_json()) == history.to_json_dict()
