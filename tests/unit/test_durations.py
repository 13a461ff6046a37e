"""Durations in words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tenuto.durations import seconds_in


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        (5, 5),
        (0.25, 0.25),
        (timedelta(minutes=2), 120),
        ("30 seconds", 30),
        ("1 second", 1),
        ("1.5 hours", 5_400),
        ("24h", 86_400),
        ("7 days", 604_800),
        ("2 weeks", 1_209_600),
        ("1 month", 2_592_000),
        ("1 year", 31_536_000),
        ("250 ms", 0.25),
        ("10 Minutes", 600),
        ("1 hour 30 minutes", 5_400),
        ("1h30m", 5_400),
        ("2 days, 3 hours", 183_600),
        ("5 mins", 300),
    ],
)
def test_durations_are_numbers_timedeltas_or_words(duration: Any, seconds: float) -> None:
    assert seconds_in(duration) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "duration", ["", "soon", "5", "5 parsecs", "five days", "-1 day", "1 day ago", -1, "300 years"]
)
def test_what_is_no_duration_is_refused(duration: Any) -> None:
    with pytest.raises(ValueError, match="duration"):
        seconds_in(duration)


@pytest.mark.parametrize("duration", [None, True, [5], {"days": 1}])
def test_what_is_not_even_of_the_kind_is_a_type_error(duration: Any) -> None:
    with pytest.raises(TypeError, match="duration"):
        seconds_in(duration)
