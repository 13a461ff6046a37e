"""Heartbeats of one attempt, thinned out: the first goes at once, later ones a few times a second, the last never
lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tenuto.converter import DataConverter
from tenuto.model.payloads import Payload

#: Seconds between two heartbeats that are passed on; less when the heartbeat timeout is short.
INTERVAL = 0.1


class Heartbeats:
    """Lives on the event loop. `send` passes encoded details to the engine."""

    def __init__(self, send: Callable[[list[Payload]], None], converter: DataConverter, timeout: float | None) -> None:
        self._send = send
        self._converter = converter
        self._interval = INTERVAL if timeout is None else min(INTERVAL, 0.8 * timeout)
        self._latest: list[Payload] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def encode(self, details: tuple[Any, ...]) -> list[Payload]:
        """Raises PayloadError where the heartbeat was made, so that the attempt fails with it."""
        return self._converter.encode_all(details)

    def beat(self, details: list[Payload]) -> None:
        self._latest = details
        if self._timer is None:
            self.flush()
            self._timer = asyncio.get_running_loop().call_later(self._interval, self._again)

    def flush(self) -> None:
        """Pass on what has not been."""
        if self._latest is not None:
            latest, self._latest = self._latest, None
            self._send(latest)

    def stop(self) -> None:
        """The attempt is over: the last details go on record before its outcome does."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.flush()

    def _again(self) -> None:
        self._timer = None
        if self._latest is not None:
            self.beat(self._latest)
