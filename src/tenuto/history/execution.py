"""One execution under the rules of the history machine.

`Execution` holds the folded state, the events written since they were last taken, and the effects these will have. The
rules themselves are functions in the neighbouring files, one file a subject:

    activities.py   attempts, retries, time-outs, cancellation of activities
    commands.py     a workflow task's commands become events
    inbound.py      signals, cancels, updates and answers of other executions
    closing.py      how a run ends, and what begins after it
    pausing.py      a run stands still, and goes on

Two rules hold everywhere. An outside event that the code must see schedules a workflow task unless one is pending. What
arrives while a workflow task is out (`task_started`) waits in `buffered` and is written after that task has closed, so
that code never sees its history shift under it. Of a run that is paused no task and no attempt begins; what runs may
end, and is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from tenuto.history.effects import Deadline, DeadlineKind, Effect
from tenuto.history.state import ExecutionState, PendingActivity, nanoseconds
from tenuto.model import events as ev
from tenuto.model.failures import Failure
from tenuto.model.limits import Limits
from tenuto.model.messages import Update
from tenuto.model.policies import TimeoutType
from tenuto.model.tasks import TASK_TIMED_OUT, AttemptNote

#: A workflow task that keeps failing is tried again after 1 s, 2 s, 4 s ... up to this many seconds.
LONGEST_TASK_BACKOFF = 600.0
#: The key of the note that says that a run waits for its turn.
IN_LINE = -1


class Execution:
    """A run: its state, and what has happened since its events and effects were last taken."""

    __slots__ = (
        "buffered",
        "changed_notes",
        "effects",
        "history_size",
        "in_line",
        "limits",
        "new_run_id",
        "state",
        "task_failure",
        "task_retry_time",
        "task_started",
        "unwritten",
        "updates_admitted",
    )

    def __init__(self, limits: Limits, new_run_id: Callable[[], str]) -> None:
        self.limits = limits
        self.new_run_id = new_run_id
        self.state = ExecutionState()
        self.unwritten: list[ev.AnyEvent] = []
        self.effects: list[Effect] = []
        self.changed_notes: set[int] = set()
        self.history_size = 0
        self.buffered: list[Callable[[int], None]] = []
        self.task_started: int | None = None
        #: Updates that code has not been shown yet; they become part of the history when it accepts them.
        self.updates_admitted: dict[str, Update] = {}
        #: The latest failure of a workflow task that keeps failing, and when it is tried again.
        self.task_failure: Failure | None = None
        self.task_retry_time = 0
        #: Does it wait for its turn, because as many runs of its type as may be are at work?
        self.in_line = False

    @classmethod
    def restore(
        cls,
        events: Iterable[ev.AnyEvent],
        notes: dict[int, AttemptNote],
        history_size: int,
        limits: Limits,
        new_run_id: Callable[[], str],
    ) -> Execution:
        """The execution as the store knows it."""
        execution = cls(limits, new_run_id)
        apply = execution.state.apply
        for event in events:
            apply(event)
        execution.history_size = history_size
        for key, note in notes.items():
            activity = execution.state.activities.get(key)
            if activity is not None:
                activity.note = note
        broken = notes.get(0)
        if broken is not None and execution.state.task_pending:
            execution.state.task_attempt = broken.attempt
            execution.task_failure = broken.last_failure
            execution.task_retry_time = broken.next_attempt_time or 0
        execution.in_line = IN_LINE in notes
        return execution

    @property
    def workflow_id(self) -> str:
        return self.state.started.workflow_id

    @property
    def run_id(self) -> str:
        return self.state.started.run_id

    @property
    def next_event_id(self) -> int:
        return self.state.last_event_id + 1

    def append(self, event: ev.AnyEvent) -> None:
        """Write `event`, whose id must be `next_event_id`."""
        self.unwritten.append(event)
        self.state.apply(event)

    def take_unwritten(self) -> list[ev.AnyEvent]:
        events, self.unwritten = self.unwritten, []
        return events

    def take_effects(self) -> list[Effect]:
        effects, self.effects = self.effects, []
        return effects

    # -- the workflow task -------------------------------------------------------------------------------------------

    def wants_task(self, now: int) -> bool:
        """Is there something for the workflow's code to decide about, now?"""
        if self.state.closed or self.state.paused or self.task_started is not None or now < self.task_retry_time:
            return False
        return self.state.task_pending or bool(self.updates_admitted)

    def schedule_task(self, now: int) -> None:
        """Let the code see what has happened, unless it is going to anyway. A run that is paused sees it later."""
        if self.state.task_pending or self.state.closed or self.state.paused or self.task_started is not None:
            return
        started = self.state.started
        self.append(ev.WorkflowTaskScheduled(self.next_event_id, now, started.task_queue, started.task_timeout))

    def start_task(self, now: int) -> None:
        """The task goes out to the code; from now on facts are buffered."""
        self.task_started = now

    @property
    def suggests_continue_as_new(self) -> bool:
        """Is the history so long that a new run should begin?"""
        limits = self.limits
        return (
            self.state.last_event_id >= limits.history_events_suggestion
            or self.history_size >= limits.history_size_suggestion
        )

    def write_task_started(self, now: int, identity: str) -> tuple[int, int]:
        """Write the task that closes now as scheduled and started, as far as it isn't. Returns both event ids."""
        started_time = now if self.task_started is None else self.task_started
        suggested = self.suggests_continue_as_new
        self.task_started = None
        if not self.state.task_scheduled_event_id:
            attempt = self.state.task_attempt
            started = self.state.started
            self.append(
                ev.WorkflowTaskScheduled(
                    self.next_event_id,
                    started_time,
                    started.task_queue,
                    started.task_timeout,
                    attempt,
                )
            )
        scheduled_event_id = self.state.task_scheduled_event_id
        self.append(
            ev.WorkflowTaskStarted(
                self.next_event_id, started_time, scheduled_event_id, identity, self.history_size, suggested
            )
        )
        return scheduled_event_id, self.state.last_event_id

    def fail_task(self, cause: str, failure: Failure, now: int, identity: str = "") -> None:
        """The code could not decide. Only the first failure of a row is written; it is tried again, ever later."""
        attempt = self.state.task_attempt
        if attempt == 1:
            scheduled, started = self.write_task_started(now, identity)
            if cause == TASK_TIMED_OUT:
                self.append(ev.WorkflowTaskTimedOut(self.next_event_id, now, scheduled, started))
            else:
                self.append(
                    ev.WorkflowTaskFailed(self.next_event_id, now, scheduled, started, cause, failure, identity)
                )
        else:
            self.task_started = None
            self.state.task_attempt = attempt + 1
            self.state.task_pending = True
        self.task_failure = failure
        delay = min(2.0 ** min(attempt - 1, 20), LONGEST_TASK_BACKOFF)
        self.task_retry_time = now + nanoseconds(delay)
        self.changed_notes.add(0)
        self.effects.append(Deadline(self.task_retry_time, DeadlineKind.WORKFLOW_TASK))
        self.flush_buffered(now)

    def task_succeeded(self) -> None:
        """Forget the failures of the task that has just completed."""
        if self.task_failure is not None:
            self.task_failure = None
            self.changed_notes.add(0)
        self.task_retry_time = 0

    def stand_in_line(self, waits: bool) -> None:
        """It waits for its turn, or does no more."""
        if self.in_line is not waits:
            self.in_line = waits
            self.changed_notes.add(IN_LINE)

    def flush_buffered(self, now: int) -> None:
        """Write what arrived while the task was out."""
        buffered, self.buffered = self.buffered, []
        for fact in buffered:
            if not self.state.closed:
                fact(now)

    def note(self, key: int) -> AttemptNote | None:
        """What to keep beside the history under `key`; None if there is nothing (any more)."""
        if self.state.closed:
            return None
        if key == 0:
            if self.task_failure is None:
                return None
            return AttemptNote(
                self.state.task_attempt,
                last_failure=self.task_failure,
                next_attempt_time=self.task_retry_time,
            )
        if key == IN_LINE:
            return AttemptNote() if self.in_line else None
        activity = self.state.activities.get(key)
        return None if activity is None else activity.note

    # -- time --------------------------------------------------------------------------------------------------------

    def deadlines(self) -> Iterator[Deadline]:
        """Every moment at which this execution has to be looked at, whatever happens in between."""
        state = self.state
        if state.closed:
            return
        for scheduled_event_id in state.activities:
            at = self.activity_deadline(scheduled_event_id)
            if at is not None:
                yield Deadline(at, DeadlineKind.ACTIVITY, scheduled_event_id)
        run_end = self.run_deadline()
        if run_end is not None:
            yield Deadline(run_end, DeadlineKind.RUN)
        if state.paused:
            return
        for timer_id, timer in state.timers.items():
            yield Deadline(timer.fires, DeadlineKind.TIMER, timer_id)
        if self.awaits_first_task:
            yield Deadline(self.first_task_time, DeadlineKind.WORKFLOW_TASK)
        elif state.task_pending and self.task_retry_time:
            yield Deadline(self.task_retry_time, DeadlineKind.WORKFLOW_TASK)

    @property
    def awaits_first_task(self) -> bool:
        """Is it the start delay, or the back-off of a retried run, that keeps the code from beginning?"""
        return self.state.started.first_workflow_task_backoff > 0 and not self.state.has_had_task

    @property
    def first_task_time(self) -> int:
        """When the start delay, or the back-off of a retried run, is over."""
        started = self.state.started
        return started.time + nanoseconds(started.first_workflow_task_backoff) + self.state.held

    def run_deadline(self) -> int | None:
        """When the run times out, if it does: the earlier of its own limit and that of the whole chain. Both go on
        while it is paused."""
        started = self.state.started
        ends = started.execution_expiration_time
        if started.run_timeout is not None:
            begins = started.time + nanoseconds(started.first_workflow_task_backoff)
            own = begins + nanoseconds(started.run_timeout)
            ends = own if ends is None else min(ends, own)
        return ends

    def activity_deadline(self, scheduled_event_id: int) -> int | None:
        """The next moment at which this activity times out or is tried again."""
        moments = self.activity_moments(self.state.activities[scheduled_event_id])
        return min((at for at, _ in moments), default=None)

    def activity_moments(self, activity: PendingActivity) -> Iterator[tuple[int, TimeoutType | None]]:
        """When limits of this activity run out, that on the whole of it first, and (None) when it is tried again. While
        the run is paused, only an attempt that runs is limited."""
        scheduled, note, paused = activity.scheduled, activity.note, self.state.paused
        waits_since = scheduled.time + activity.held
        if scheduled.schedule_to_close_timeout is not None and not paused:
            yield waits_since + nanoseconds(scheduled.schedule_to_close_timeout), TimeoutType.SCHEDULE_TO_CLOSE
        if note.started_time is not None:
            if scheduled.start_to_close_timeout is not None:
                yield note.started_time + nanoseconds(scheduled.start_to_close_timeout), TimeoutType.START_TO_CLOSE
            if scheduled.heartbeat_timeout is not None:
                beat = note.heartbeat_time or note.started_time
                yield beat + nanoseconds(scheduled.heartbeat_timeout), TimeoutType.HEARTBEAT
        elif paused:
            return
        elif note.next_attempt_time is not None:
            yield note.next_attempt_time, None
        elif scheduled.schedule_to_start_timeout is not None:
            yield waits_since + nanoseconds(scheduled.schedule_to_start_timeout), TimeoutType.SCHEDULE_TO_START
