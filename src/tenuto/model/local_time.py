"""Local dates and times of a zone as points in time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

#: Abbreviations in common use, as hours from UTC. (`ZoneInfo` knows only some, and only by standard time.)
_HOURS = {
    "UTC": 0, "GMT": 0, "Z": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "MSK": 3,
    "IST": 5.5, "SGT": 8, "HKT": 8, "AWST": 8, "JST": 9, "KST": 9, "ACST": 9.5, "AEST": 10, "AEDT": 11, "NZST": 12,
    "NZDT": 13, "AST": -4, "ADT": -3, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8,
    "PDT": -7, "AKST": -9, "AKDT": -8, "HST": -10, "BRT": -3,
}  # fmt: skip
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?", re.IGNORECASE)
_ZONE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEARS = range(1970, 2262)  # those whose nanoseconds fit 64 bits, on the safe side


def nanoseconds_at(year: int, month: int, day: int, hour: int, minute: int, zone: str) -> int:
    """Nanoseconds since the epoch of a local time. `zone` is a name (`Europe/Rome`), an abbreviation or an offset
    (`+02:00`, `GMT+2`).

    Raises ValueError if there is no such time or zone, and for years before 1970 or after 2261."""
    if year not in _YEARS:
        raise ValueError(f"the year must be one from {_YEARS[0]} to {_YEARS[-1]}")
    moment = datetime(year, month, day, hour, minute, tzinfo=_zone(zone))
    return int((moment - _EPOCH) / timedelta(seconds=1)) * 1_000_000_000


def _zone(name: str) -> tzinfo:
    hours = _HOURS.get(name.upper())
    if hours is not None:
        return timezone(timedelta(hours=hours))
    offset = _OFFSET.fullmatch(name)
    if offset is not None:
        minutes = int(offset[2]) * 60 + int(offset[3] or 0)
        if minutes <= 18 * 60:
            return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    elif _ZONE_NAME.fullmatch(name):
        try:
            return ZoneInfo(name)
        except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError; a folder's name an OSError
            pass
    raise ValueError(f"{name!r} is no time zone; write one like UTC, Europe/Rome or +02:00")
