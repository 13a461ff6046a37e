"""What a WAIT task waits for: a duration, or a moment."""

from __future__ import annotations

import re
from typing import Final

from tenuto.model.local_time import nanoseconds_at

#: The longest wait: a hundred years of 365 days.
LONGEST: Final = 36_500 * 86_400

# Matched against texts whose blanks are single spaces.
_DURATION = re.compile(
    r"(?:(\d{1,12}) ?(?:days|day|d))? ?"
    r"(?:(\d{1,12}) ?(?:hours|hour|hrs|hr|h))? ?"
    r"(?:(\d{1,12}) ?(?:minutes|minute|mins|min|m))? ?"
    r"(?:(\d{1,12}) ?(?:seconds|second|secs|sec|s))?",
    re.IGNORECASE | re.ASCII,
)
_MOMENT = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})(?: (\d{1,2}):(\d{2})(?:(?: (?=[A-Za-z])| ?(?=[+-]))(\S{1,60}))?)?", re.ASCII
)


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `1d 2h 3m 4s` or `2 hours 30 minutes`: any of these units, the larger first.

    Raises ValueError."""
    match = _DURATION.fullmatch(" ".join(text.split()))
    if match is None or not any(match.groups()):
        raise ValueError(f"{_shown(text)} is no duration; write one like 1d 2h 3m 4s, 90 minutes or 5 secs")
    days, hours, minutes, seconds = (int(group or 0) for group in match.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if total > LONGEST:
        raise ValueError(f"{_shown(text)} is too long; {LONGEST // 86_400} days is the longest wait")
    return float(total)


def parse_until(text: str) -> int:
    """Nanoseconds since the epoch of `yyyy-MM-dd HH:mm` (UTC without a zone), or of the beginning of `yyyy-MM-dd`.

    Raises ValueError."""
    match = _MOMENT.fullmatch(" ".join(text.split()))
    if match is None:
        raise ValueError(f"{_shown(text)} is no moment; write one like 2030-12-31 or 2030-12-31 23:59 Europe/Rome")
    year, month, day, hour, minute = (int(group or 0) for group in match.groups()[:5])
    try:
        return nanoseconds_at(year, month, day, hour, minute, match[6] or "UTC")
    except ValueError as error:
        raise ValueError(f"{_shown(text)} is no moment: {error}") from None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "...")
