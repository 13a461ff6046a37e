"""Durations as users give them."""

from __future__ import annotations

import re
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


_SECONDS = {
    "millisecond": 0.001,
    "second": 1.0,
    "minute": 60.0,
    "hour": 3_600.0,
    "day": 86_400.0,
    "week": 7 * 86_400.0,
    "month": 30 * 86_400.0,
    "year": 365 * 86_400.0,
}
_SHORT = {
    "ms": "millisecond",
    "s": "second",
    "sec": "second",
    "m": "minute",
    "min": "minute",
    "h": "hour",
    "hr": "hour",
    "d": "day",
    "w": "week",
    "y": "year",
}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)[\s,]*")


def seconds_in(duration: Duration | str) -> float:
    """As `seconds_of`, and for words: "30 seconds", "1.5 hours", "24h", "7 days", "1 hour 30 minutes". A month has 30
    days, a year 365. Raises ValueError for words that can't be understood and for less than nothing."""
    seconds = _in_words(duration) if isinstance(duration, str) else seconds_of(duration)
    if seconds < 0:
        raise ValueError(f"a duration can't be negative, as {duration!r} is")
    return seconds_of(seconds)


def _in_words(words: str) -> float:
    text = words.strip().lower()
    total, at = 0.0, 0
    while part := _PART.match(text, at):
        unit = _SHORT.get(part[2], part[2])
        seconds = _SECONDS.get(unit) or _SECONDS.get(_SHORT.get(unit.removesuffix("s"), unit.removesuffix("s")))
        if seconds is None:
            break
        total += float(part[1]) * seconds
        at = part.end()
    if not text or at < len(text):
        raise ValueError(
            f"{words!r} is not a duration; write a number and a unit from milliseconds to years, such as "
            "'30 seconds', '1.5 hours', '24h' or '7 days'"
        )
    return total
