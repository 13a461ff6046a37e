"""What is on record of events: messages that wait, messages that were dealt with, and what actions came to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct

from tenuto.model.errors import ConflictError
from tenuto.model.json_values import Json, encode_json
from tenuto.server.collection import key_of
from tenuto.server.event_handlers import ActionName
from tenuto.server.recent_documents import RecentDocuments
from tenuto.store.protocol import Document

if TYPE_CHECKING:
    from tenuto.server.services import Services

#: Messages, and executions of actions, that are kept.
KEPT = 10_000

PENDING = "event_pending"


class EventMessage(Struct, rename="camel", kw_only=True):
    """A message; times are milliseconds since the epoch."""

    id: str
    event: str
    payload: dict[str, Json]
    created_at: int
    handlers: int = 0
    """How many handlers took it."""


class PendingMessage(EventMessage, kw_only=True):
    """A message that waits, or is being dealt with."""

    taken_by: str = ""
    """By which server."""

    def done(self) -> EventMessage:
        return EventMessage(
            id=self.id, event=self.event, payload=self.payload, created_at=self.created_at, handlers=self.handlers
        )


class EventExecution(Struct, rename="camel", kw_only=True):
    """What one action of one handler came to for one message."""

    id: str
    message_id: str
    name: str
    """Of the handler."""
    event: str
    created: int
    status: Literal["IN_PROGRESS", "COMPLETED", "FAILED", "SKIPPED"]
    action: ActionName | None = None
    output: dict[str, Json] = {}
    payload: dict[str, Json] = {}

    @property
    def key(self) -> str:
        return key_of(self.name, self.id)

    @property
    def over(self) -> bool:
        return self.status != "IN_PROGRESS"


class EventRecords:
    """The records of one store."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.messages = RecentDocuments(services, "event_messages", EventMessage, KEPT)
        self.executions = RecentDocuments(services, "event_executions", EventExecution, KEPT)

    async def load(self) -> None:
        """Find out what is on record."""
        await self.messages.load()
        await self.executions.load()

    async def catch_up(self) -> None:
        """Find out what other servers have put on record."""
        if self._services.engine.ownership.peers:
            await self.load()

    async def put_pending(self, key: str, message: PendingMessage) -> bool:
        """Put a message on record; it is durable when this returns. False if it is there already."""
        document = Document(PENDING, key, encode_json(message), updated=self._services.clock.now())
        if not self._services.engine.ownership.peers:
            await self._services.graphs.write([document])
            return True
        try:
            await self._services.store.put_document(document, expected=0)
        except ConflictError:
            return False
        return True

    async def pending(self, key: str) -> PendingMessage | None:
        """A message that waits."""
        document = await self._services.store.document(PENDING, key)
        return None if document is None else decode_pending(document.data)

    async def is_done(self, key: str) -> bool:
        """Was this message dealt with, by whichever server?"""
        if key in self.messages or not self._services.engine.ownership.peers:
            return key in self.messages
        return await self.messages.get(key) is not None

    async def known_execution(self, key: str) -> EventExecution | None:
        """What is on record of an action for a message."""
        if key in self.executions or self._services.engine.ownership.peers:
            return await self.executions.get(key)
        return None

    async def drop_pending(self, key: str) -> None:
        """The message is not waited for any more."""
        await self._services.graphs.write([], [(PENDING, key)])

    async def write_execution(self, execution: EventExecution) -> None:
        await self.executions.put([self.executions.document(execution.key, execution)])

    async def finish(self, key: str, message: EventMessage, executions: list[EventExecution]) -> None:
        """The message was dealt with, and this is what its actions came to."""
        documents = [self.executions.document(execution.key, execution) for execution in executions]
        done = self.messages.document(key, message)
        stale, stale_messages = self.executions.excess(documents), self.messages.excess([done])
        await self._services.graphs.write([*documents, done], [*stale, *stale_messages, (PENDING, key)])
        self.executions.learn(documents, stale)
        self.messages.learn([done], stale_messages)


_decoder = msgspec.json.Decoder(PendingMessage)


def decode_pending(data: bytes) -> PendingMessage:
    return _decoder.decode(data)
