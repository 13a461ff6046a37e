"""Durations and moments of WAIT tasks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tenuto.graph.waiting import parse_duration, parse_until


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1d 2h 3m 4s", 93_784),
        ("1 day 2 hours 3 minutes 4 seconds", 93_784),
        ("2 DAYS", 172_800),
        ("90min", 5_400),
        ("2hrs30mins", 9_000),
        ("  5   secs ", 5),
        ("1d4s", 86_404),
        ("0s", 0),
        ("36500d", 3_153_600_000),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", " ", "5", "4s 1d", "1w", "-1s", "1.5h", "1d 1d", "36501d", "9" * 50 + "s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no duration|is too long"):
        parse_duration(text)


def test_a_long_blank_text_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(" " * 100_000 + "x")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2030-12-31", datetime(2030, 12, 31, tzinfo=UTC)),
        ("2030-12-31 23:59", datetime(2030, 12, 31, 23, 59, tzinfo=UTC)),
        ("2030-12-31 23:59 UTC", datetime(2030, 12, 31, 23, 59, tzinfo=UTC)),
        ("2030-07-31 23:59 Europe/Rome", datetime(2030, 7, 31, 21, 59, tzinfo=UTC)),
        ("2030-12-31 23:59 Europe/Rome", datetime(2030, 12, 31, 22, 59, tzinfo=UTC)),
        ("2030-07-31 23:59 PDT", datetime(2030, 8, 1, 6, 59, tzinfo=UTC)),
        ("2030-07-31 23:59 GMT+04:00", datetime(2030, 7, 31, 19, 59, tzinfo=UTC)),
        ("2030-07-31 23:59 -0530", datetime(2030, 8, 1, 5, 29, tzinfo=UTC)),
        ("2030-07-31 23:59+02", datetime(2030, 7, 31, 21, 59, tzinfo=UTC)),
    ],
)
def test_moments(text: str, moment: datetime) -> None:
    assert parse_until(text) == int(moment.timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    "text",
    ["", "tomorrow", "2030-13-01", "2030-02-30", "2030-01-01 24:00", "2030-01-01 10:00 Nowhere", "9999-01-01",
     "0001-01-01", "2030-01-01 10:00 ../../etc/passwd", "2030-01-01 10:00 +99:00", "2030-01-01 10:00 America",
     "2030-01-01T10:00:00Z"],
)  # fmt: skip
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match="is no moment"):
        parse_until(text)
