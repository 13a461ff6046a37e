"""Histories as JSON, in the form in which Temporal's tools write and read them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec

from tenuto.model import events as ev
from tenuto.model.events import AnyEvent, encode_events

__all__ = ["WorkflowHistory"]


class WorkflowHistory:
    """The events of one run. `to_json` and `from_json` lose nothing."""

    def __init__(self, workflow_id: str, events: Sequence[AnyEvent]) -> None:
        self.workflow_id = workflow_id
        self.events = list(events)
