"""New run ids: UUIDs of version 7, so that runs started together lie together in the store."""

from __future__ import annotations

import random
from collections.abc import Callable

from tenuto.engine.clock import Clock


def uuid7(milliseconds: int, noise: int) -> str:
    """The UUIDv7 (RFC 9562) of a time and 74 random bits."""
    value = (milliseconds & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76 | ((noise >> 62) & 0xFFF) << 64
    value |= 0b10 << 62 | (noise & ((1 << 62) - 1))
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def id_source(clock: Clock, generator: random.Random | None = None) -> Callable[[], str]:
    """A function that gives a new id at each call."""
    bits = (generator or random.SystemRandom()).getrandbits

    def new_id() -> str:
        return uuid7(clock.now() // 1_000_000, bits(74))

    return new_id
