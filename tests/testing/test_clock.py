"""The clock that is put forward."""

from __future__ import annotations

import asyncio
import time

from tenuto.engine.clock import SECOND
from tenuto.testing.clock import SkippingClock


async def test_it_calls_what_is_due_in_order() -> None:
    clock, called = SkippingClock(), []
    now = clock.now()
    for hours in (3, 1, 2, 30):
        clock.call_at(now + hours * 3600 * SECOND, lambda hours=hours: called.append(hours))  # type: ignore[misc]
    clock.call_at(now + 3600 * SECOND, lambda: called.append(0)).cancel()
    clock.skip_to(now + 4 * 3600 * SECOND)
    assert clock.now() >= now + 4 * 3600 * SECOND
    assert called == []
    await asyncio.sleep(0)
    assert called == [1, 2, 3]
    clock.close()


async def test_time_passes_by_itself_and_never_goes_back() -> None:
    clock, over = SkippingClock(), asyncio.Event()
    began, real = clock.now(), time.monotonic()
    clock.skip_to(began - 10 * SECOND)
    assert clock.now() >= began
    clock.call_at(began + SECOND // 50, over.set)
    await over.wait()
    assert time.monotonic() - real >= 0.015
    clock.close()
