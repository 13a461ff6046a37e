"""When schedules come due."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from tenuto.server.scheduler_times import BadCron, Cron, check_cron


def moments(expression: str, zone: str, start: str, number: int) -> list[str]:
    """The next moments in local time."""
    local = ZoneInfo(zone)
    moment = int(datetime.fromisoformat(start).replace(tzinfo=local).timestamp() * 1000)
    found = []
    for _ in range(number):
        due = Cron(expression, zone).next_after(moment)
        assert due is not None
        moment = due
        found.append(datetime.fromtimestamp(moment / 1000, local).strftime("%m-%d %H:%M:%S %z"))
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 */5 * ? * *", ["01-01 00:05:00", "01-01 00:10:00"]),
        ("*/20 * * * * *", ["01-01 00:00:20", "01-01 00:00:40"]),
        ("0 0 9 ? * MON-FRI", ["01-01 09:00:00", "01-02 09:00:00", "01-05 09:00:00"]),
        ("0 0 0 L * ?", ["01-31 00:00:00", "02-28 00:00:00"]),
        ("0 0 12 ? * 1#2", ["01-12 12:00:00", "02-09 12:00:00"]),
        ("0 0 0 1 * MON", ["06-01 00:00:00"]),
        ("@daily", ["01-02 00:00:00", "01-03 00:00:00"]),
    ],
)
def test_expressions(expression: str, expected: list[str]) -> None:
    found = moments(expression, "UTC", "2026-01-01T00:00:00", len(expected))
    assert found == [f"{each} +0000" for each in expected]


def test_clocks_put_forward() -> None:
    # On 2026-03-29 there is no 02:30 in Rome.
    assert moments("0 30 2 * * *", "Europe/Rome", "2026-03-28T12:00:00", 2) == [
        "03-29 03:30:00 +0200",
        "03-30 02:30:00 +0200",
    ]
    assert moments("0 30 2 * * *", "Europe/Rome", "2026-03-29T03:10:00", 1) == ["03-29 03:30:00 +0200"]


def test_clocks_put_back() -> None:
    # On 2026-10-25 02:30 comes twice in Rome.
    assert moments("0 30 2 * * *", "Europe/Rome", "2026-10-24T12:00:00", 2) == [
        "10-25 02:30:00 +0200",
        "10-26 02:30:00 +0100",
    ]
    assert moments("0 0 * * * *", "Europe/Rome", "2026-10-25T01:30:00", 3) == [
        "10-25 02:00:00 +0200",
        "10-25 02:00:00 +0100",
        "10-25 03:00:00 +0100",
    ]


@pytest.mark.parametrize(
    ("expression", "zone", "message"),
    [
        ("* * * * *", "UTC", "5 fields"),
        ("", "UTC", "0 fields"),
        ("0 0 25 * * *", "UTC", "hour"),
        ("0 0 0 30 2 *", "UTC", "day"),
        ("a b c d e f", "UTC", "second"),
        ("0 0 0 ? * *", "Middle/Earth", "time zone"),
        ("0 0 0 ? * *", "../etc", "time zone"),
    ],
)
def test_what_cannot_be_read(expression: str, zone: str, message: str) -> None:
    with pytest.raises(BadCron, match=message):
        check_cron(expression, zone)
