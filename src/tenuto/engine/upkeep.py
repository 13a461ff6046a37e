"""What an engine does for ever beside its work."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from tenuto.engine.clock import SECOND
from tenuto.model.errors import LeaseLostError, StoreError, StoreOwnedError

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

logger = logging.getLogger("tenuto.engine")

#: Seconds for which a lease holds; it is renewed three times as often.
LEASE = 15.0


async def keep_lease(engine: Engine) -> None:
    """Stay the owner of our partitions."""
    while True:
        await asyncio.sleep(LEASE / 3)
        try:
            await engine.renew()
        except (LeaseLostError, StoreOwnedError):
            raise
        except StoreError as error:
            # The epoch fences whatever is written meanwhile, so there is time to try again.
            logger.warning("the lease could not be renewed, which is tried again: %s", error)


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
