"""Lengths of time in options of nodes, and words for them."""

from __future__ import annotations

import re
from datetime import timedelta

from tenuto.durations import positive_seconds

__all__ = ["seconds_of"]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TEXT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*")


def seconds_of(period: float | str | timedelta) -> float:
    """Seconds of a number of seconds, a timedelta, or a text: "500ms", "30s", "5m", "2h", "1d".

    Raises ValueError for another text and for zero and less, TypeError for anything else."""
    if isinstance(period, str):
        match = _TEXT.fullmatch(period)
        if match is None:
            raise ValueError(f"{period!r} is no length of time; write a number with ms, s, m, h or d, as in '5m'")
        period = float(match[1]) * _UNITS[match[2]]
    return positive_seconds(period)
