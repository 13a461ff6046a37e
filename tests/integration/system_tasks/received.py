"""A handler of messages that a test can wait for."""

from __future__ import annotations

import asyncio

from tenuto.system_tasks.buses.bus import Message


class Received:
    """Remembers what came; refuses the first `refuse` deliveries."""

    def __init__(self, refuse: int = 0) -> None:
        self.messages: list[Message] = []
        self.refused: list[Message] = []
        self._refuse = refuse
        self._changed = asyncio.Condition()

    async def __call__(self, message: Message) -> None:
        if len(self.refused) < self._refuse:
            self.refused.append(message)
            raise ConnectionError("the store is away")
        async with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    async def count(self, number: int) -> list[Message]:
        """The messages, once there are `number` of them."""
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: len(self.messages) >= number)
        return self.messages

    @property
    def ids(self) -> list[str]:
        return [message.id for message in self.messages]
