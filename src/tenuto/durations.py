"""Durations as users give them."""

from __future__ import annotations

from datetime import timedelta

#: Nanoseconds since the epoch are stored in 64 bits, which end in the year 2262.
LONGEST = 200 * 365 * 24 * 3600.0


Duration = timedelta | float | int


def seconds_of(duration: timedelta | float | int) -> float:
    """Seconds of a timedelta; a number is in seconds already. Raises TypeError for anything else, ValueError for what
    is no number or more than 200 years."""
    if isinstance(duration, timedelta):
        seconds = duration.total_seconds()
    elif type(duration) is int or type(duration) is float:
        seconds = float(duration)
    else:
        raise TypeError(f"a duration is a timedelta or a number of seconds, not {duration!r}")
    if not seconds <= LONGEST:  # NaN is not either
        raise ValueError(f"a duration is at most 200 years ({LONGEST:.0f} seconds), not {duration!r}")
    return seconds


def positive_seconds(duration: Duration) -> float:
    """Seconds of a time limit. Raises ValueError for zero and less."""
    seconds = seconds_of(duration)
    if seconds <= 0:
        raise ValueError(f"a timeout must be positive, not {duration!r}")
    return seconds


def limit(duration: Duration | None) -> float | None:
    """Seconds of a time limit that need not be given."""
    return None if duration is None else positive_seconds(duration)
