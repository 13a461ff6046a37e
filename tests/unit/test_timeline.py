"""Histories as timelines: spans, and how they are shown."""

from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO

import pytest
from rich.console import Console

from tenuto.model import events as ev
from tenuto.model.events import AnyEvent, ExecutionRef
from tenuto.model.failures import ApplicationFailure, Failure
from tenuto.model.payloads import Payload
from tenuto.model.policies import Retry, RetryState
from tenuto.timeline import Kind, Span, State, Timeline, build_timeline, line_of_code
from tenuto.timeline_view import FOLD, duration, render_timeline

SECOND = 1_000_000_000
TRACE = (
    '  File "/home/me/flows.py", line 12, in run\n    boom()\n  File "/home/me/lib.py", line 3, in boom\n    raise\n'
)
BOOM = Failure("boom", ApplicationFailure("ValueError"), stack_trace=TRACE)


@dataclass
class PendingActivity:
    activity_id: str
    state: str
    attempt: int
    started_time: datetime | None = None
    next_attempt_time: datetime | None = None
    last_failure: str | None = None


def started() -> ev.WorkflowExecutionStarted:
    return ev.WorkflowExecutionStarted(1, 0, "order", "run-1", "Order", "default")


def scheduled(id: int, second: int, name: str = "charge") -> ev.ActivityTaskScheduled:
    return ev.ActivityTaskScheduled(
        id, second * SECOND, str(id), name, "default", [], None, None, 60.0, None, 4, Retry()
    )


def turn(first: int, second: int, identity: str) -> list[AnyEvent]:
    time = second * SECOND
    return [
        ev.WorkflowTaskScheduled(first, time, "default", 10.0),
        ev.WorkflowTaskStarted(first + 1, time, first, identity),
        ev.WorkflowTaskCompleted(first + 2, time, first, first + 1, identity),
    ]


def only(timeline: Timeline) -> Span:
    (span,) = timeline.spans
    return span


def shown(timeline: Timeline, now: int = 100 * SECOND, processes: dict[str, str] | None = None) -> str:
    output = StringIO()
    render_timeline(timeline, now=now, processes=processes, console=Console(file=output, width=200))
    return output.getvalue()


def test_activity_from_its_schedule_to_its_end() -> None:
    events: list[AnyEvent] = [
        started(),
        scheduled(5, 1),
        ev.ActivityTaskStarted(6, 9 * SECOND, 5, 3, "57@host", BOOM),
        ev.ActivityTaskCompleted(7, 11 * SECOND, 5, 6),
    ]
    span = only(build_timeline(events))
    assert (span.kind, span.name, span.state, span.attempts) == (Kind.ACTIVITY, "charge", State.COMPLETED, 3)
    assert (span.began, span.ended, span.seconds(0)) == (SECOND, 11 * SECOND, 10.0)
    assert (span.failure, span.identity) == ("ValueError: boom", "57@host")


def test_activity_of_one_attempt_begins_when_it_started() -> None:
    events: list[AnyEvent] = [started(), scheduled(5, 1), ev.ActivityTaskStarted(6, 4 * SECOND, 5, 1)]
    assert only(build_timeline(events)).began == 4 * SECOND


def test_activity_that_failed_has_the_whole_chain_and_the_line() -> None:
    wrapped = Failure("charging failed", ApplicationFailure("Charge"), cause=BOOM)
    events: list[AnyEvent] = [
        started(),
        scheduled(5, 1),
        ev.ActivityTaskStarted(6, SECOND, 5, 1),
        ev.ActivityTaskFailed(7, 2 * SECOND, 5, 6, wrapped, RetryState.MAXIMUM_ATTEMPTS_REACHED),
    ]
    span = only(build_timeline(events))
    assert span.state is State.FAILED
    assert span.failure == "Charge: charging failed <- ValueError: boom"
    assert span.where == "/home/me/lib.py:3 in boom"


@pytest.mark.parametrize(
    ("pending", "state", "attempts"),
    [
        (PendingActivity("5", "started", 2, datetime(2026, 1, 1, tzinfo=UTC), None, "ValueError: x"), State.RUNNING, 2),
        (PendingActivity("5", "backing_off", 3, None, datetime(2026, 1, 1, tzinfo=UTC), "x"), State.BACKING_OFF, 2),
        (PendingActivity("5", "scheduled", 1), State.WAITING, 0),
    ],
)
def test_open_activity_is_as_pending_says(pending: PendingActivity, state: State, attempts: int) -> None:
    span = only(build_timeline([started(), scheduled(5, 1)], [pending]))
    assert (span.state, span.attempts, span.failure) == (state, attempts, pending.last_failure)
    assert span.is_open
    assert (span.until is not None) == (state is State.BACKING_OFF)


def test_timer_waits_until_it_fires() -> None:
    events: list[AnyEvent] = [started(), ev.TimerStarted(5, SECOND, "t", 30.0, 4)]
    timeline = build_timeline(events)
    assert only(timeline).until == 31 * SECOND
    assert timeline.open_spans() == timeline.spans
    assert "waits for timer sleep 30.0 s (20.0 s more)" in shown(timeline, 11 * SECOND)
    events.append(ev.TimerFired(6, 31 * SECOND, "t", 5))
    assert only(build_timeline(events)).state is State.COMPLETED
    events[-1] = ev.TimerCanceled(6, 2 * SECOND, "t", 5, 4)
    assert only(build_timeline(events)).state is State.CANCELED


def test_messages_children_and_updates_are_spans() -> None:
    events: list[AnyEvent] = [
        started(),
        ev.WorkflowExecutionSignaled(2, SECOND, "approve"),
        ev.WorkflowExecutionCancelRequested(3, SECOND, "enough"),
        ev.WorkflowExecutionUpdateAccepted(4, SECOND, "u", "pay", [], 3),
        ev.WorkflowExecutionUpdateCompleted(5, 2 * SECOND, "u", 4, 3, [], BOOM),
        ev.SignalExternalWorkflowExecutionInitiated(6, SECOND, 3, ExecutionRef("other"), "hey", []),
        ev.SignalExternalWorkflowExecutionFailed(7, SECOND, "NOT_FOUND", 3, ExecutionRef("other"), 6),
        ev.ChildWorkflowExecutionStarted(9, SECOND, 8, "child", "r", "Child"),
    ]
    timeline = build_timeline(events)
    assert [(span.kind, span.name, span.state) for span in timeline.spans] == [
        (Kind.SIGNAL, "approve", State.COMPLETED),
        (Kind.CANCEL_REQUEST, "enough", State.COMPLETED),
        (Kind.UPDATE, "pay", State.FAILED),
        (Kind.SIGNAL_SENT, "hey", State.FAILED),
    ]


def test_stuck_run_has_a_problem_until_it_is_mended() -> None:
    events: list[AnyEvent] = [started(), *turn(2, 1, "a")[:2]]
    events.append(ev.WorkflowTaskFailed(4, SECOND, 2, 3, "BUG", BOOM, "a"))
    timeline = build_timeline(events)
    assert only(timeline).kind is Kind.PROBLEM
    assert only(timeline).where == "/home/me/lib.py:3 in boom"
    text = shown(timeline)
    assert "STUCK" in text
    assert "ValueError: boom" in text
    assert "/home/me/lib.py:3" in text
    latest = Failure("later", ApplicationFailure("KeyError"))
    assert only(build_timeline(events, latest_problem=latest)).failure == "KeyError: later"
    events += turn(5, 9, "b")
    mended = build_timeline(events)
    assert only(mended).state is State.COMPLETED
    assert "STUCK" not in shown(mended)


def test_decision_that_is_made_again_is_no_problem() -> None:
    failed = ev.WorkflowTaskFailed(4, SECOND, 2, 3, "UNHANDLED_COMMAND", BOOM)
    assert build_timeline([started(), failed]).spans == []


def test_end_of_a_run() -> None:
    done = build_timeline(
        [started(), scheduled(5, 1), ev.WorkflowExecutionCompleted(6, SECOND, 4, [Payload(b'{"a":1}')])]
    )
    assert (done.outcome, done.ended) == ("COMPLETED", SECOND)
    assert only(done).state is State.CANCELED  # nobody waited for it
    assert 'result   {"a": 1}' in shown(done)
    failed = build_timeline(
        [started(), ev.WorkflowExecutionFailed(2, SECOND, 1, BOOM, RetryState.IN_PROGRESS, "run-2")]
    )
    assert "failure  ValueError: boom (goes on in run run-2)" in shown(failed)
    ended = build_timeline([started(), ev.WorkflowExecutionTerminated(2, SECOND, "no use")])
    assert "terminated: no use" in shown(ended)


def test_what_was_replayed_and_where_work_ran() -> None:
    events: list[AnyEvent] = [
        started(),
        *turn(2, 0, "first"),
        scheduled(5, 0, "before"),
        ev.ActivityTaskStarted(6, 0, 5, 1, "first"),
        ev.ActivityTaskCompleted(7, SECOND, 5, 6),
        *turn(8, 1, "first"),
        scheduled(11, 1, "during"),
        ev.ActivityTaskStarted(12, 5 * SECOND, 11, 2, "second", BOOM),
        ev.ActivityTaskCompleted(13, 6 * SECOND, 11, 12),
        *turn(14, 6, "second"),
    ]
    timeline = build_timeline(events)
    assert timeline.processes == {"first": 3, "second": 12}
    before, during = timeline.spans
    assert timeline.replayed_by(before, "second")
    assert not timeline.replayed_by(during, "second")
    lines = shown(timeline, processes={"first": "before the kill", "second": "after it"}).splitlines()
    assert "ran before the kill, replayed after it" in next(line for line in lines if "activity before" in line)
    line = next(line for line in lines if "activity during" in line)
    assert line.endswith("2 attempts  ran after it")


def test_long_timeline_is_folded_but_not_what_failed() -> None:
    timeline = Timeline("w", "r", "T", "q", 0, [])
    timeline.spans = [Span(i, Kind.ACTIVITY, f"step{i}", str(i), State.COMPLETED, 0, 0) for i in range(1000)]
    timeline.spans[500].state = State.FAILED
    text = shown(timeline)
    assert "step500" in text
    assert "step400" not in text
    assert f"{1000 - FOLD - 1:,} more that went well" in text


def test_history_begins_with_its_start() -> None:
    with pytest.raises(ValueError, match="begins with WorkflowExecutionStarted, not ActivityTaskScheduled"):
        build_timeline([scheduled(1, 0)])


def test_text_is_not_taken_for_markup() -> None:
    events: list[AnyEvent] = [started(), ev.WorkflowExecutionSignaled(2, SECOND, "[red]x[/red]")]
    assert "[red]x[/red]" in shown(build_timeline(events))


def test_line_of_code() -> None:
    assert line_of_code(TRACE) == "/home/me/lib.py:3 in boom"
    assert line_of_code("") is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0125, "12 ms"),
        (0.9996, "1.0 s"),
        (59.96, "1 min"),
        (245, "4 min 5 s"),
        (9000, "2 h 30 min"),
        (273600, "3 d 4 h"),
    ],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_pause_is_a_span_and_timers_fire_later() -> None:
    events: list[AnyEvent] = [
        started(),
        ev.TimerStarted(5, SECOND, "1", 10.0, 4),
        ev.WorkflowExecutionPaused(6, 3 * SECOND, "lunch"),
    ]
    paused = build_timeline(events)
    assert [(span.kind, span.name, span.state) for span in paused.spans[1:]] == [(Kind.PAUSE, "lunch", State.WAITING)]
    assert "PAUSED" in shown(paused)
    gone_on = build_timeline([*events, ev.WorkflowExecutionUnpaused(7, 8 * SECOND)])
    assert [span.until for span in gone_on.open_spans()] == [16 * SECOND]
    assert "PAUSED" not in shown(gone_on)
