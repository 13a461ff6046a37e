"""What the workflows of an environment did, for whoever reads of a test that failed."""

from __future__ import annotations

from tenuto.client import Client
from tenuto.clients.descriptions import describe
from tenuto.model.events import ExecutionRef
from tenuto.store.protocol import ExecutionFilter, Store
from tenuto.timeline import build_timeline
from tenuto.timeline_view import timeline_lines

#: Runs that are told of, the latest.
MOST = 8


async def timelines(client: Client, store: Store) -> str:
    """The timelines of the latest runs of durable code, the oldest first; empty if there are none."""
    rows = await store.find(ExecutionFilter(), MOST + 1, 0)
    refs = [ExecutionRef(row.workflow_id, row.run_id) for row in rows[:MOST]]
    parts = [] if len(rows) <= MOST else ["(and earlier ones)"]
    for stored in reversed(await store.load(refs, closed_history=True)):
        if stored is None or not stored.events:
            continue  # a graph, which has no events of this kind
        pending = describe(stored, client.data_converter).pending_activities
        note = stored.notes.get(0)
        timeline = build_timeline(stored.events, pending, None if note is None else note.last_failure)
        lines = timeline_lines(timeline, now=client.gateway.clock.now())
        parts.append("\n".join(line.plain.rstrip() for line in lines))
    return "\n\n".join(parts)
