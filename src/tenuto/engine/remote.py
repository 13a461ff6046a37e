"""Requests to executions whose partitions another process owns: they go through the inbox, and the answers are looked
for together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from tenuto.model import messages as msg
from tenuto.model.errors import StoreError
from tenuto.store.protocol import Hint, Store, partition_of

logger = logging.getLogger("tenuto.engine")

#: Seconds between two looks for answers: first, and at most.
SOON, SELDOM = 0.002, 0.05


class RemoteRequests:
    """Asks for what others own. One of a store; `close` it before the store."""

    def __init__(self, store: Store, new_id: Callable[[], str]) -> None:
        self._store = store
        self._new_id = new_id
        self._waiting: dict[str, asyncio.Future[msg.Answer]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._poked = asyncio.Event()

    async def ask(self, message: msg.Message) -> msg.Answer:
        """Have the owner of the target carry out a request. Waits for as long as there is no answer."""
        request_id = self._new_id()
        data = msg.encode(msg.Message(message.target, message.body, request_id))
        answered: asyncio.Future[msg.Answer] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = answered
        try:
            await self._store.send([(partition_of(message.target.workflow_id), data)])
            if self._looking is None or self._looking.done():
                self._looking = asyncio.get_running_loop().create_task(self._look(), name="tenuto: answers")
            self._poked.set()
            return await answered
        finally:
            self._waiting.pop(request_id, None)

    def hinted(self, hint: Hint) -> None:
        """There may be answers."""
        if hint.answers:
            self._poked.set()

    async def close(self) -> None:
        """Whoever waits is cancelled."""
        for future in self._waiting.values():
            future.cancel()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        pause = SOON
        while self._waiting:
            if self._poked.is_set():
                pause = SOON
            self._poked.clear()
            try:
                found = await self._store.answers(list(self._waiting))
            except StoreError as error:
                logger.warning("answers could not be read, which is tried again: %s", error)
                found = {}
            for request_id, data in found.items():
                future = self._waiting.pop(request_id, None)
                if future is not None and not future.done():
                    future.set_result(msg.decode_answer(data))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._poked.wait()
            pause = min(pause * 1.5, SELDOM)
