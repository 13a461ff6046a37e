"""Histories don't grow without bounds."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tenuto.engine.resident import Resident
from tenuto.history import closing
from tenuto.history.execution import Execution

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

#: Events that a step leaves behind, with the workflow task after it. Steps are limited by their number, so these don't
#: count.
EVENTS_OF_A_STEP = 6

logger = logging.getLogger("tenuto.engine")


def check_history(engine: Engine, resident: Resident, execution: Execution) -> None:
    """End a run whose history has outgrown the limits; warn earlier, once."""
    if execution.state.closed:
        return
    limits = engine.limits
    events = execution.state.last_event_id - EVENTS_OF_A_STEP * execution.state.steps
    size = execution.history_size
    if events > limits.history_events or size > limits.history_size:
        reason = (
            f"the history has {events:,} events and {size:,} bytes; the limits are {limits.history_events:,} and "
            f"{limits.history_size:,}. Let the workflow continue as new when info().is_continue_as_new_suggested()"
        )
        logger.error("workflow %s is terminated: %s", resident.row.workflow_id, reason)
        closing.terminate(execution, reason, [], "tenuto", engine.clock.now())
    elif not resident.warned and (events > limits.history_events_warning or size > limits.history_size_warning):
        resident.warned = True
        logger.warning(
            "the history of workflow %s has %d events and %d bytes; at %d or %d it is terminated",
            resident.row.workflow_id,
            events,
            size,
            limits.history_events,
            limits.history_size,
        )
