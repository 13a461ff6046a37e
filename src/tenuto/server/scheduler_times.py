"""When a schedule comes due: cron expressions as Spring has them, evaluated in a time zone.

Six fields, seconds first: `0 */5 * ? * *`. A day must fit both day fields. Where clocks change, an expression with
fixed hours means the clock on the wall: a time that is skipped comes that much later, one that comes twice counts once.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from msgspec import Struct

_MACROS = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: The last moment that is computed: 9999 would overflow in zones.
_LAST = datetime(9000, 1, 1, tzinfo=UTC)
_FIELDS = 6
#: More than clocks are ever put forward for summer.
_CHANGE = timedelta(hours=3)


class BadCron(ValueError):
    """The expression, or the zone, can't be read; the text says why."""


class Cron(Struct, frozen=True):
    """An expression in a zone."""

    expression: str
    zone: str = "UTC"

    def next_after(self, milliseconds: int) -> int | None:
        """The first moment after one (milliseconds since the epoch); None if there is none any more. Raises BadCron."""
        fields, zone = _read(self.expression), zone_of(self.zone)
        after = _EPOCH + timedelta(milliseconds=max(0, milliseconds))
        if after >= _LAST:
            return None
        local = after.astimezone(zone)
        found = _next_wall(fields, local, after) if fields.split()[2] != "*" else _next_real(fields, local)
        return None if found is None else round((found - _EPOCH) / timedelta(milliseconds=1))


def check_cron(expression: str, zone: str) -> None:
    """Raises BadCron if the expression or the zone can't be read, or never comes due."""
    if Cron(expression, zone).next_after(0) is None:
        raise BadCron(f"the cron expression {expression!r} never comes due")


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """A time zone by its name. Raises BadCron."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError; a folder's name an OSError
        raise BadCron(f"{name!r} is no time zone; use a name such as Europe/Rome or UTC") from None


@lru_cache(maxsize=1024)
def _read(expression: str) -> str:
    """The expression as cronsim reads it."""
    text = _MACROS.get(expression.strip().lower(), expression).strip()
    fields = text.split()
    if len(fields) != _FIELDS:
        raise BadCron(
            f"the cron expression {expression!r} has {len(fields)} fields instead of {_FIELDS}: second, minute, hour,"
            " day of month, month, day of week"
        )
    fields = ["*" if field == "?" else field for field in fields]
    try:
        _simulator(" ".join(fields), datetime(2026, 1, 1, tzinfo=UTC))
    except (CronSimError, ValueError, OverflowError) as error:
        raise BadCron(f"the cron expression {expression!r} can't be read: {error}") from None
    return " ".join(fields)


def _simulator(fields: str, start: datetime) -> CronSim:
    simulator = CronSim(fields, start)
    simulator.day_and = True  # as in Spring, unlike crontab
    return simulator


def _next_real(fields: str, local: datetime) -> datetime | None:
    """Each hour that passes counts, whatever clocks show."""
    try:
        return next(_simulator(fields, local))
    except (StopIteration, OverflowError, ValueError):
        return None


def _next_wall(fields: str, local: datetime, after: datetime) -> datetime | None:
    """What clocks on the wall show counts."""
    zone = local.tzinfo
    earlier = (after - _CHANGE).astimezone(zone)
    # Only then times that clocks have skipped may be still to come.
    start = local if earlier.utcoffset() == local.utcoffset() else earlier
    try:
        for shown in _simulator(fields, start.replace(tzinfo=None)):
            # Of a time that clocks show twice, this is the first.
            moment = shown.replace(tzinfo=zone).astimezone(UTC)
            if moment > after:
                return moment
    except (OverflowError, ValueError):
        return None
    return None
