"""What a workflow's definition wants told of its status: written with the change itself, so that none is lost.

A document each; whoever serves graphs passes them on to the sink that they name and deletes them.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from tenuto.graph.execution import GraphExecution
from tenuto.graph.views import workflow_view
from tenuto.model.graph import GraphChanged, GraphEvent, GraphStarted
from tenuto.model.json_values import Json, encode_json
from tenuto.store.protocol import Document

COLLECTION = "status_announcements"

#: What operations that open a workflow again are called in announcements; any other change to RUNNING is a resumption.
_AGAIN = {"restarted": "RESTARTED", "retried": "RETRIED", "rerun": "RERAN"}


class Announcement(Struct, rename="camel"):
    """`event_type`: STARTED, PAUSED, RESUMED, RESTARTED, RETRIED, RERAN, COMPLETED, or TERMINATED for any bad end."""

    sink: str
    workflow_name: str
    event_type: str
    payload: dict[str, Json]
    """The workflow, without its tasks and its definition."""


def announcements(graph: GraphExecution, events: Iterable[GraphEvent]) -> list[Document]:
    """The announcements of events that are about to be written."""
    definition = graph.state.plan.snapshot.workflow
    sink = definition.workflow_status_listener_sink
    if not definition.workflow_status_listener_enabled or not sink:
        return []
    found: list[Document] = []
    for event in events:
        event_type = _event_type(event)
        if event_type is not None:
            workflow_id = graph.workflow_id
            payload = workflow_view(graph, tasks=False)
            del payload["workflowDefinition"]
            told = Announcement(sink, definition.name, event_type, payload)
            key = f"{workflow_id}_{event.event_id:010d}"
            found.append(Document(COLLECTION, key, encode_json(told), updated=event.time))
    return found


def _event_type(event: GraphEvent) -> str | None:
    if isinstance(event, GraphStarted):
        return "STARTED"
    status = event.changes.get("status") if isinstance(event, GraphChanged) else None
    match status:
        case None:
            return None
        case "RUNNING":
            return _AGAIN.get(event.cause, "RESUMED")  # type: ignore[union-attr]
        case "COMPLETED" | "PAUSED":
            return str(status)
    return "TERMINATED"
