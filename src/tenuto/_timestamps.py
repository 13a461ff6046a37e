"""Points in time as ISO 8601 text, exact to the nanosecond (`datetime` ends at microseconds)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_SECOND = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"(?:[T ](?P<time>\d\d:\d\d(?::\d\d)?)(?:[.,](?P<fraction>\d{1,9}))?"
    r"(?:Z|(?P<sign>[+-])(?P<hours>\d\d)(?::?(?P<minutes>\d\d))?)?)?",
    re.ASCII | re.IGNORECASE,
)


def text_of(time: int) -> str:
    """Nanoseconds since the epoch as RFC 3339 in UTC, with 0, 3, 6 or 9 digits after the second. Raises ValueError for
    what lies outside the years 1 to 9999."""
    seconds, fraction = divmod(time, _SECOND)
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError(f"{time} nanoseconds since 1970 lie outside the years 1 to 9999") from None
    digits = f"{fraction:09}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return moment.strftime(f"{moment.year:04}-%m-%dT%H:%M:%S") + ("." + digits if digits else "") + "Z"


def time_of(text: str) -> int:
    """The nanoseconds since the epoch that ISO 8601 `text` means; without an offset it is in UTC. Raises ValueError."""
    found = _ISO.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a time like 2026-11-20T17:29:00.5Z")
    try:
        moment = datetime.fromisoformat(f"{found['date']}T{found['time'] or '00:00'}").replace(tzinfo=UTC)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a time: {error}") from None
    since = moment - _EPOCH
    seconds = since.days * 86_400 + since.seconds - _offset(found)
    return seconds * _SECOND + int((found["fraction"] or "").ljust(9, "0"))


def _offset(found: re.Match[str]) -> int:
    """Seconds by which the clock that was read is ahead of UTC."""
    if found["sign"] is None:
        return 0
    hours, minutes = int(found["hours"]), int(found["minutes"] or 0)
    if hours > 23 or minutes > 59:
        raise ValueError(f"{found.group()!r} is not a time: its offset must be less than a day")
    return (hours * 60 + minutes) * (-60 if found["sign"] == "-" else 60)
