"""What every event bus can do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from msgspec import Struct, field


class BusError(Exception):
    """A bus can't do what it was asked: which, with what, and why."""


class Message(Struct, frozen=True):
    """One message of a bus."""

    id: str
    """The same whenever the message is delivered again, as far as the bus can tell."""
    payload: bytes
    headers: dict[str, str] = field(default_factory=dict)


Handler: TypeAlias = Callable[[Message], Awaitable[None]]
"""Takes a message. When it returns, the message is durably taken; when it raises, the message comes again."""


class Subscription(Protocol):
    """Messages of one destination on their way to a handler; goes on until it is closed, whatever the bus does."""

    @property
    def failure(self) -> str | None:
        """Why no messages come at present; None while they can."""
        ...

    async def ready(self) -> None:
        """Wait until messages can come."""
        ...

    async def aclose(self) -> None:
        """Take no further messages. What a handler was busy with comes again, to whoever subscribes next."""
        ...


class Bus(Protocol):
    """One kind of message broker."""

    async def publish(self, destination: str, message: Message) -> None:
        """Returns once the broker has the message. Raises BusError if it doesn't say so in time."""
        ...

    def subscribe(self, destination: str, handler: Handler) -> Subscription:
        """Hand all messages of `destination` to `handler`. Raises BusError if the destination can't be read."""
        ...

    async def aclose(self) -> None:
        """Close the connections for publishing. Subscriptions are closed by who made them."""
        ...
