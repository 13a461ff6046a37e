"""Keyed matching: recorded work is found by its name, wherever it stands in the history.

For notations whose steps have names: code may be reordered, and steps may come and go. Outcomes are applied round by
round as for durable code, so whatever came first comes first again. A command that the history has, at its place or
before, is not given again; a call whose outcome has been passed already gets it at once; what nobody asks for is kept
aside, and such steps that are under way are cancelled. Commands that the history doesn't have are sent with the next
task that is done live.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any

from tenuto.model import commands as cmd
from tenuto.model import events as ev
from tenuto.model.tasks import WorkflowTaskBroken
from tenuto.replay.instance import Instance
from tenuto.replay.matching import Identity, Pending, identity_of_command, identity_of_event

if TYPE_CHECKING:
    from tenuto.replay.definition import KeyedDefinition
    from tenuto.replay.host import WorkflowCode

#: Steps of one run that are under way at a time; more wait until one has ended. The engine allows about twice as many.
MOST_AT_A_TIME = 1_000

_BEGINNINGS = frozenset({ev.ActivityTaskScheduled, ev.TimerStarted, ev.StartChildWorkflowExecutionInitiated})
#: Which attribute of a beginning, or of an outcome, tells what it is about.
_SUBJECTS: dict[type, str] = {
    ev.ActivityTaskScheduled: "event_id",
    ev.ActivityTaskCompleted: "scheduled_event_id",
    ev.ActivityTaskFailed: "scheduled_event_id",
    ev.ActivityTaskTimedOut: "scheduled_event_id",
    ev.ActivityTaskCanceled: "scheduled_event_id",
    ev.TimerStarted: "timer_id",
    ev.TimerFired: "timer_id",
    ev.StartChildWorkflowExecutionInitiated: "event_id",
    ev.StartChildWorkflowExecutionFailed: "initiated_event_id",
    ev.ChildWorkflowExecutionStarted: "initiated_event_id",
    ev.ChildWorkflowExecutionCompleted: "initiated_event_id",
    ev.ChildWorkflowExecutionFailed: "initiated_event_id",
    ev.ChildWorkflowExecutionTimedOut: "initiated_event_id",
    ev.ChildWorkflowExecutionTerminated: "initiated_event_id",
    ev.ChildWorkflowExecutionCanceled: "initiated_event_id",
}
_OUTCOMES = frozenset(_SUBJECTS) - _BEGINNINGS
_ENDS = _OUTCOMES - {ev.ChildWorkflowExecutionStarted}


class KeyedInstance(Instance):
    """An instance whose commands are matched by key. `steps` has, by activity id, what to call for an attempt of each
    step that is under way."""

    ordered = False

    __slots__ = (
        "_given_up",
        "_known",
        "_numbers",
        "_outcomes",
        "_records",
        "_running",
        "_timers",
        "_unmatched",
        "steps",
    )

    definition: KeyedDefinition

    def __init__(self, code: WorkflowCode, definition: KeyedDefinition, started: ev.WorkflowExecutionStarted) -> None:
        super().__init__(code, definition, started)
        self.steps: dict[str, Any] = {}
        #: Commands that the history doesn't show (yet).
        self._unmatched: dict[Identity, Pending] = {}
        #: Recorded beginnings that code has not asked for (yet).
        self._records: dict[Identity, ev.AnyEvent] = {}
        #: Outcomes that nobody waited for, by what they are the outcome of: an event id, or a timer id.
        self._outcomes: dict[int | str, list[ev.AnyEvent]] = {}
        self._timers: dict[str, float] = {}
        #: Steps whose cancellation was requested.
        self._given_up: set[int] = set()
        #: What is known already and has to be told, by its place in the history.
        self._known: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = count()
        #: What has begun and not ended, as far as the history was applied.
        self._running: set[int | str] = set()

    # -- steps ---------------------------------------------------------------------------------------------------------

    def register(self, activity_id: str, step: Any) -> None:
        """Attempts of this activity call `step`."""
        self.steps[activity_id] = step
        if not self.replaying or self.code.live.get(self.started.run_id) is None:
            self.code.live[self.started.run_id] = self

    def unregister(self, activity_id: str) -> None:
        """The step is over."""
        self.steps.pop(activity_id, None)
        if not self.steps:
            self._leave()

    def discard(self) -> None:
        super().discard()
        self.steps.clear()
        self._leave()

    def _leave(self) -> None:
        if self.code.live.get(self.started.run_id) is self:
            del self.code.live[self.started.run_id]

    def feed(self, events: list[ev.AnyEvent]) -> WorkflowTaskBroken | None:
        for event in events:
            if type(event) is ev.TimerStarted:
                self._timers[event.timer_id] = event.start_to_fire_timeout
        return super().feed(events)

    def recorded_seconds(self, timer_id: str) -> float | None:
        """How long this timer was to run, if the history shows anywhere that it was started."""
        return self._timers.get(timer_id)

    def has_fired(self, timer_id: str) -> bool:
        """Has this timer fired, while code asks for it only now?"""
        return timer_id in self._outcomes

    # -- matching ------------------------------------------------------------------------------------------------------

    def command(self, command: cmd.Command, recorded: Callable[[Any], None] | None = None) -> Pending:
        pending = super().command(command, recorded)
        event = self._records.pop(identity_of_command(command), None) if self._records else None
        if event is not None:
            self._commands.pop()
            if recorded is not None:
                recorded(event)
            for outcome in self._outcomes.pop(_subject(event), ()):
                self._call_in_turn(outcome.event_id, partial(self._deliver, outcome))
        return pending

    def _recorded(self, event: ev.AnyEvent) -> None:
        identity = identity_of_event(event)
        begins = type(event) in _BEGINNINGS
        pending = self._unmatched.pop(identity, None)
        if pending is not None and not pending.withdrawn:
            if pending.recorded is not None:
                pending.recorded(event)
                pending.recorded = None  # which refers back to the pending command
        elif begins:
            self._records[identity] = event
        if begins:
            self._running.add(_subject(event))
        elif isinstance(event, ev.TimerCanceled):
            self._running.discard(event.timer_id)
            self._records.pop((cmd.StartTimer, event.timer_id), None)
        elif isinstance(event, ev.ActivityTaskCancelRequested):
            self._given_up.add(event.scheduled_event_id)

    def _apply(self, event: ev.AnyEvent) -> None:
        self._deliver(event)
        # Code reacts to one thing at a time, so that a race has one winner even when several outcomes came together:
        # `asyncio.wait` would return a set of them, which has no order.
        self.loop.drain()

    def _deliver(self, event: ev.AnyEvent) -> None:
        kind = type(event)
        if kind in _OUTCOMES:
            subject = _subject(event)
            if kind in _ENDS:
                self._running.discard(subject)
            if subject not in self.activities and subject not in self.timers and subject not in self.children:
                self._outcomes.setdefault(subject, []).append(event)
                return
        super()._apply(event)

    async def turn(self, place: int) -> None:
        """Wait until code has done all that it can, and be the only one to go on then, the lower the place the sooner:
        for outcomes that are known without the history, which come before all others (at 1 and higher)."""
        come = self.loop.create_future()
        self._call_in_turn(place, lambda: None if come.done() else come.set_result(None))
        await come

    def _call_in_turn(self, place: int, callback: Callable[[], None]) -> None:
        heappush(self._known, (place, next(self._numbers), callback))

    def _check_conditions(self) -> bool:
        if self._known:
            heappop(self._known)[2]()
            return True
        return super()._check_conditions()

    def _take_commands(self) -> list[cmd.Command]:
        given, self._commands = self._commands, []
        for pending in given:
            self._unmatched[identity_of_command(pending.command)] = pending
        if self.replaying:
            return []
        commands = self._sendable()
        if self._closing is not None:
            return [*commands, self._closing]
        return commands + self._give_up()

    def _give_up(self) -> list[cmd.Command]:
        """Cancel the steps that are under way and that code does not ask for, as it has changed. If it asks for one
        later on, that is done from its beginning."""
        if not self._records:
            return []
        unasked = [
            event.event_id
            for event in self._records.values()
            if isinstance(event, ev.ActivityTaskScheduled) and event.event_id in self._running - self._given_up
        ]
        self._given_up.update(unasked)
        return [cmd.RequestCancelActivity(event_id) for event_id in unasked]

    def _sendable(self) -> list[cmd.Command]:
        """What the history lacks and can be begun or stopped now."""
        room = MOST_AT_A_TIME - len(self.activities)
        commands: list[cmd.Command] = []
        for identity, pending in list(self._unmatched.items()):
            command = pending.command
            if pending.withdrawn or not self._can_be_done(command):
                del self._unmatched[identity]
                continue
            if isinstance(command, cmd.ScheduleActivity):
                room -= 1
                if room < 0:
                    continue
            commands.append(command)
        return commands

    def _can_be_done(self, command: cmd.Command) -> bool:
        """What is to be stopped may be over already, if code asks for it later than it once did."""
        if type(command) is cmd.RequestCancelActivity:
            return command.scheduled_event_id in self._running
        if type(command) is cmd.CancelTimer:
            return command.timer_id in self._running
        return True

    # -- what the notation does ----------------------------------------------------------------------------------------

    def _construct(self) -> None:
        self.object = self.loop.enter(self.definition.construct, self)

    def _take_signal(self, event: ev.WorkflowExecutionSignaled) -> None:
        self.loop.enter(self.definition.take_signal, self.object, event)
        self.loop.drain()


def _subject(event: Any) -> int | str:
    """What an event is about: the event id of an activity's or child's beginning, the id of a timer."""
    subject: int | str = getattr(event, _SUBJECTS[type(event)])
    return subject
