"""What a restarted instance keeps of the run before: the outcomes of all that came before a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tenuto.activities.step_errors import record_of
from tenuto.converter import DataConverter
from tenuto.model import events as ev
from tenuto.model.failures import Failure
from tenuto.steps.control import Asked
from tenuto.steps.errors import WorkflowTimeoutError
from tenuto.steps.events import plain
from tenuto.steps.keys import Kind, event_id, key_of
from tenuto.steps.options import Outcome, StartOptions


def kept_before(
    events: Sequence[ev.AnyEvent],
    asked: Sequence[Asked],
    name: str,
    count: int,
    kind: Kind | None,
    converter: DataConverter,
) -> dict[str, Outcome]:
    """`StartOptions.kept` for a run that begins again at the `count`-th step (or sleep, or wait, as `kind` says) called
    `name`. `events` is the history of the run before, `asked` its answer to `ASKED_QUERY`.

    Raises LookupError if it has not asked for such a step."""
    position = _position(asked, name, count, kind)
    wanted = {key_of(step.kind, step.name, step.count): step for step in asked[:position]}
    outcomes = _outcomes(events, wanted, converter)
    # In the order in which they came, so that whatever won a race wins it again.
    ordered = sorted(outcomes.items(), key=lambda item: item[1][0])
    return {key: outcome for key, (_, outcome) in ordered if key in wanted}


def _position(asked: Sequence[Asked], name: str, count: int, kind: Kind | None) -> int:
    for position, step in enumerate(asked):
        if (step.name, step.count) == (name, count) and kind in (None, step.kind):
            return position
    known = ", ".join(dict.fromkeys(f"{step.name}-{step.count}" for step in asked)) or "none"
    raise LookupError(f"there is no step {name!r} with the count {count}; those asked for so far: {known}")


def _outcomes(
    events: Sequence[ev.AnyEvent], asked: Mapping[str, Asked], converter: DataConverter
) -> dict[str, tuple[int, Outcome]]:
    """By key, of all that is over, and of all that was kept before; each with its place."""
    found: dict[str, tuple[int, Outcome]] = {}
    started = events[0]
    assert isinstance(started, ev.WorkflowExecutionStarted)
    if len(started.input) > 1:
        kept = (converter.decode(started.input[1], StartOptions | None) or StartOptions()).kept
        found.update((key, (place - len(kept), outcome)) for place, (key, outcome) in enumerate(kept.items()))
    got = {wait.event_id: key for key, wait in asked.items() if wait.event_id}
    timed_out = {event_id(wait.name, wait.count): key for key, wait in asked.items() if wait.event_id == 0}
    steps: dict[int, str] = {}
    for event in events:
        place = event.event_id
        match event:
            case ev.ActivityTaskScheduled():
                steps[place] = f"do:{event.activity_id}"
            case ev.ActivityTaskCompleted():
                found[steps[event.scheduled_event_id]] = place, Outcome(event.result[0] if event.result else None)
            case ev.ActivityTaskFailed() | ev.ActivityTaskTimedOut():
                found[steps[event.scheduled_event_id]] = place, Outcome(failure=event.failure)
            case ev.WorkflowExecutionSignaled() if place in got:
                found[got[place]] = place, Outcome(converter.encode(plain(event, converter)))
            case ev.TimerFired() if event.timer_id in timed_out:
                found[timed_out[event.timer_id]] = place, Outcome(failure=_time_out(event))
            case ev.TimerFired():
                found[f"sleep:{event.timer_id}"] = place, Outcome()
    return found


def _time_out(event: ev.TimerFired) -> Failure:
    return record_of(WorkflowTimeoutError(f"the time-out {event.timer_id!r} of the run before"))
