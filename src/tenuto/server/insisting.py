"""Writes that are repeated when the store fails for a moment."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenuto.model.errors import StoreError

logger = logging.getLogger("tenuto.server")

T = TypeVar("T")

#: Seconds between attempts.
PAUSES = (0.0, 0.1, 0.5, 2.0, 5.0)


async def insist(write: Callable[[], Awaitable[T]], what: str) -> T:
    """Do a write that may be done twice, again if it fails. Raises StoreError if it goes on failing."""
    for pause in PAUSES:
        try:
            return await write()
        except StoreError as error:
            logger.warning("%s was not written, which is tried again: %s", what, error)
            await asyncio.sleep(pause)
    return await write()
