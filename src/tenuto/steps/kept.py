"""What a restarted instance keeps of the run before: the outcomes of all that came before a step."""

from __future__ import annotations

from collections.abc import Sequence

from tenuto.activities.step_errors import record_of
from tenuto.converter import DataConverter
from tenuto.model import events as ev
from tenuto.steps.control import Asked
from tenuto.steps.errors import WorkflowTimeoutError
from tenuto.steps.events import plain
from tenuto.steps.keys import Kind, key_of
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
    outcomes = _outcomes(events)
    options = converter.decode(events[0].input[1], StartOptions) if len(events[0].input) > 1 else None  # type: ignore[union-attr]
    earlier = {} if options is None else options.kept
    signals = {event.event_id: event for event in events if isinstance(event, ev.WorkflowExecutionSignaled)}
    kept: dict[str, Outcome] = {}
    for step in asked[:position]:
        key = key_of(step.kind, step.name, step.count)
        if step.kind == "event" and step.event_id is not None:
            outcome: Outcome | None = _event(signals.get(step.event_id), step.name, converter)
        else:
            outcome = outcomes.get(key) or earlier.get(key)
        if outcome is not None:
            kept[key] = outcome
    return kept


def _position(asked: Sequence[Asked], name: str, count: int, kind: Kind | None) -> int:
    for position, step in enumerate(asked):
        if (step.name, step.count) == (name, count) and kind in (None, step.kind):
            return position
    known = ", ".join(dict.fromkeys(f"{step.name}-{step.count}" for step in asked)) or "none"
    raise LookupError(f"there is no step {name!r} with the count {count}; those asked for so far: {known}")


def _event(event: ev.WorkflowExecutionSignaled | None, name: str, converter: DataConverter) -> Outcome:
    if event is None:
        return Outcome(failure=record_of(WorkflowTimeoutError(f"wait {name!r} timed out in the run before")))
    return Outcome(converter.encode(plain(event, converter)))


def _outcomes(events: Sequence[ev.AnyEvent]) -> dict[str, Outcome]:
    """By key, of the steps and sleeps that are over."""
    steps: dict[int, str] = {}
    found: dict[str, Outcome] = {}
    for event in events:
        match event:
            case ev.ActivityTaskScheduled():
                steps[event.event_id] = f"do:{event.activity_id}"
            case ev.ActivityTaskCompleted():
                found[steps[event.scheduled_event_id]] = Outcome(event.result[0] if event.result else None)
            case ev.ActivityTaskFailed() | ev.ActivityTaskTimedOut():
                found[steps[event.scheduled_event_id]] = Outcome(failure=event.failure)
            case ev.TimerFired():
                found[f"sleep:{event.timer_id}"] = Outcome()
    return found
