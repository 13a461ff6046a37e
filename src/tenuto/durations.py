"""Durations as users give them."""

from __future__ import annotations

from datetime import timedelta


def seconds_of(duration: timedelta | float | int) -> float:
    """Seconds of a timedelta; a number is in seconds already. Raises TypeError for anything else."""
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if type(duration) is int or type(duration) is float:
        return float(duration)
    raise TypeError(f"a duration is a timedelta or a number of seconds, not {duration!r}")
