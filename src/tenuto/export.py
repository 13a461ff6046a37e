"""Histories as JSON, in the form in which Temporal's tools write and read them.

That is protobuf's JSON of a `temporal.api.history.v1.History`:

    {"events": [{"eventId": "1", "eventTime": "2026-11-20T17:29:00Z",
                 "eventType": "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED",
                 "workflowExecutionStartedEventAttributes": {"workflowType": {"name": "Checkout"}, ...}}, ...]}

What Temporal has no field for lies beside its fields under names of ours, so nothing is lost on the way out and back.
On the way in, attributes that nobody here knows are passed over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from tenuto._export_forms import INT64, Malformed, bare, expected, node_at, object_of
from tenuto._export_tables import FORMS, TYPE_PREFIX, EventForm
from tenuto.model import events as ev
from tenuto.model.events import AnyEvent

__all__ = ["WorkflowHistory"]

_FORMS_BY_TYPE: dict[str | int, EventForm] = {
    key: form for kind, form in FORMS.items() for key in (ev.EVENT_TYPES[kind].name, int(ev.EVENT_TYPES[kind]))
}
_UPDATES = (ev.WorkflowExecutionUpdateAccepted, ev.WorkflowExecutionUpdateCompleted)


class WorkflowHistory:
    """The events of one run. `to_json` and `from_json` lose nothing."""

    def __init__(self, workflow_id: str, events: Sequence[AnyEvent]) -> None:
        self.workflow_id = workflow_id
        self.events = list(events)

    def __repr__(self) -> str:
        return f"WorkflowHistory({self.workflow_id!r}, <{len(self.events)} events>)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WorkflowHistory):
            return NotImplemented
        return self.workflow_id == other.workflow_id and self.events == other.events

    __hash__ = None  # type: ignore[assignment]

    @property
    def run_id(self) -> str:
        """The run that this is the history of. Raises RuntimeError if the history doesn't begin with its start."""
        first = self.events[0] if self.events else None
        if not isinstance(first, ev.WorkflowExecutionStarted):
            raise RuntimeError("this history does not begin with WorkflowExecutionStarted, which names the run")
        return first.run_id

    def to_json_dict(self) -> dict[str, Any]:
        """The history as `json` and the like take it."""
        return {"events": [FORMS[type(event)].write(event) for event in self.events]}

    def to_json(self, indent: int | None = None) -> str:
        """The history as JSON text; on one line without `indent`."""
        return json.dumps(self.to_json_dict(), indent=indent)

    @classmethod
    def from_json(cls, workflow_id: str, text: str | dict[str, Any]) -> WorkflowHistory:
        """The history that `text` holds: what `to_json` gives, or what Temporal's command line, UI and SDKs export.

        Raises ValueError that names the place, as in `$.events[3].timerStartedEventAttributes.timerId: is missing`, and
        for an event of a kind that there is none of here (markers, Nexus operations).
        """
        try:
            return cls(workflow_id, _events(workflow_id, _parsed(text) if isinstance(text, str) else text))
        except Malformed as problem:
            raise problem.under("$") from None
        except RecursionError:
            raise ValueError("$: nested too deeply for a history") from None


def _parsed(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise Malformed(f"not JSON: {error}") from None


def _events(workflow_id: str, root: Any) -> list[AnyEvent]:
    nodes = node_at(object_of(root), ("events",))
    if not isinstance(nodes, list):
        raise expected("an array of events", root.get("events")).under(".events")
    events: list[AnyEvent] = []
    decided = 0
    for index, node in enumerate(nodes):
        try:
            event = _event(object_of(node), workflow_id, decided)
        except Malformed as problem:
            raise problem.under(f".events[{index}]") from None
        if isinstance(event, ev.WorkflowTaskCompleted):
            decided = event.event_id
        events.append(event)
    return events


def _event(node: Mapping[str, Any], workflow_id: str, decided: int) -> AnyEvent:
    """`decided` is the last WorkflowTaskCompleted, to which updates belong; Temporal leaves that to be inferred."""
    form = _form_of(node)
    known: dict[str, Any] = {}
    if form.kind is ev.WorkflowExecutionStarted:
        known = {"workflowId": workflow_id}
    elif form.kind in _UPDATES:
        known = {"workflowTaskCompletedEventId": decided}
    return cast(AnyEvent, form.read(node, known))


def _form_of(node: Mapping[str, Any]) -> EventForm:
    kind = node.get("eventType")
    form = None
    if isinstance(kind, str):
        form = _FORMS_BY_TYPE.get(bare(kind, TYPE_PREFIX))
    elif isinstance(kind, int) and not isinstance(kind, bool) and kind in INT64:
        form = _FORMS_BY_TYPE.get(kind)
    if form is None:
        raise expected("a type of event that Tenuto has", kind).under(".eventType")
    return form
