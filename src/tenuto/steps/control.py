"""What bindings and tools say to an instance, beside its events.

- An event is a signal: its name is the event's type, its one argument the payload.
- To terminate an instance with its rollbacks, request the run's cancellation (`handle.cancel()`): the code that waits
  is cancelled, steps under way are cancelled, the rollbacks run, and the run ends as cancelled, with their outcome as
  its details. Without rollbacks, terminate the run.
- A failed run's failure has the name and message of the error, and the rollbacks' outcome as its details.
  `rollback_outcome` reads it from either.
- The query `ASKED_QUERY` lists what the code has asked for, as `Asked`, in that order; `kept.py` finds the outcomes.
- Signals whose name begins with `RESERVED` are ours and no events.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from tenuto.converter import DataConverter
from tenuto.model.errors import PayloadError
from tenuto.model.events import AnyEvent, WorkflowExecutionCanceled, WorkflowExecutionFailed
from tenuto.model.failures import ApplicationFailure
from tenuto.replay.steps import RESERVED
from tenuto.steps.keys import Kind

ASKED_QUERY = f"{RESERVED}asked"


class Asked(Struct, omit_defaults=True):
    """A step, sleep or wait that code has asked for. `event_id` is, of a wait that is over, the event that it got (its
    id in the history), or 0 after a time-out."""

    kind: Kind
    name: str
    count: int
    event_id: int | None = None


class RollbackOutcome(Struct, omit_defaults=True):
    """How the rollbacks of an instance went. `done` names the steps that were rolled back, newest first; `step` is the
    one whose rollback failed, with the error's name and message."""

    status: Literal["complete", "failed"]
    done: list[str] = []
    step: str | None = None
    error_name: str | None = None
    error_message: str | None = None


def rollback_outcome(closing: AnyEvent, converter: DataConverter) -> RollbackOutcome | None:
    """How the rollbacks went of the run that `closing` ended; None if there were none."""
    details: list[Any] = []
    if isinstance(closing, WorkflowExecutionCanceled):
        details = closing.details
    elif isinstance(closing, WorkflowExecutionFailed) and isinstance(closing.failure.info, ApplicationFailure):
        details = closing.failure.info.details
    try:
        return converter.decode(details[0], RollbackOutcome) if details else None
    except PayloadError:
        return None  # details of another kind
