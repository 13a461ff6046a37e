"""What steps with `sensitive="output"` returned is recorded, because their code needs it, but not shown."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from tenuto.model.events import ActivityTaskCompleted, ActivityTaskScheduled, AnyEvent
from tenuto.model.payloads import Payload
from tenuto.replay.steps import step_queue

REDACTED = Payload(b'"[redacted]"')


class _Options(msgspec.Struct):
    sensitive: str | None = None


_decode = msgspec.json.Decoder(_Options).decode


def redacted(events: Sequence[AnyEvent]) -> list[AnyEvent]:
    """The events of a run, with `[redacted]` in the place of outputs that are sensitive."""
    hidden: set[int] = set()
    shown: list[AnyEvent] = []
    for event in events:
        if isinstance(event, ActivityTaskScheduled) and _is_sensitive(event):
            hidden.add(event.event_id)
        if isinstance(event, ActivityTaskCompleted) and event.scheduled_event_id in hidden:
            event = replace(event, result=[REDACTED])
        shown.append(event)
    return shown


def _is_sensitive(event: ActivityTaskScheduled) -> bool:
    return event.task_queue.endswith(step_queue("")) and _decode(event.input[0].data).sensitive == "output"
