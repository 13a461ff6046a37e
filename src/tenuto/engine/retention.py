"""Retention: closed runs are forgotten when their time is over."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from tenuto.engine.clock import SECOND
from tenuto.model.errors import StoreError

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

logger = logging.getLogger("tenuto.engine")


async def retain(engine: Engine, seconds: float) -> None:
    """Forget closed runs whose time is over, a few at a time."""
    while True:
        now = engine.clock.now()
        try:
            gone = await engine.store.purge(now - int(seconds * SECOND), now, 100)
        except StoreError as error:
            logger.warning("closed runs could not be purged, which is tried again: %s", error)
            gone = 0
        await asyncio.sleep(0.1 if gone == 100 else 60)
