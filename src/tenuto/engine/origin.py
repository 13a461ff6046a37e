"""Where a request came from, and so where its answer goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec import Struct

from tenuto.model.messages import Answer


class Origin(Struct, frozen=True):
    """A caller in this process (`future`), a message of the `inbox`, or an execution that runs here (neither)."""

    future: asyncio.Future[Answer] | None = None
    inbox: tuple[int, int] | None = None
    """(partition, id) of the message."""
    reply_to: str | None = None
    then: Callable[[Answer], None] | None = None
    """Called with the answer as soon as it is known, before it is on record; what it does goes into the same batch."""


FROM_EXECUTION = Origin()
