"""The limits of one engine. Each ends in a clear error or in back-pressure, never in a silent drop."""

from __future__ import annotations

from msgspec import Struct

MIB = 1024 * 1024


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds that hold for every execution of an engine; sizes are bytes."""

    payload_size: int = 2 * MIB
    """The largest single value: an argument, a result, a heartbeat's details, a memo."""
    history_events: int = 50_000
    """A run whose history grows past this is terminated."""
    history_size: int = 50 * MIB
    history_events_warning: int = 10_000
    history_size_warning: int = 10 * MIB
    history_events_suggestion: int = 4_096
    """From here on `info().is_continue_as_new_suggested()` is true."""
    history_size_suggestion: int = 4 * MIB
    pending_activities: int = 2_000
    pending_children: int = 2_000
    pending_signals: int = 2_000
    """Signals sent to other executions and not yet answered."""
    pending_cancels: int = 2_000
    signals_received: int = 10_000
    updates_in_flight: int = 10
    updates_received: int = 2_000
    name_length: int = 1_000
    """Characters of an id or a name."""
    waiting_requests: int = 100_000
    """Requests accepted from this process and not yet answered; more are refused."""
