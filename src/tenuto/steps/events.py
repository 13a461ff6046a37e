"""Events sent to one instance: kept until somebody waits for one of their type, first in first out."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from tenuto.activities.records import Record, frozen
from tenuto.converter import DataConverter
from tenuto.model.events import WorkflowExecutionSignaled
from tenuto.replay.keyed import KeyedInstance
from tenuto.workflows.context import utc

Waiter = asyncio.Future[WorkflowExecutionSignaled | None]


class Inbox:
    """The events of one instance."""

    def __init__(self, instance: KeyedInstance) -> None:
        self._instance = instance
        self._kept: dict[str, deque[WorkflowExecutionSignaled]] = {}
        self._waiting: dict[str, deque[Waiter]] = {}

    def arrived(self, event: WorkflowExecutionSignaled) -> None:
        """Give it to whoever waits for the longest time, or keep it."""
        waiting = self._waiting.get(event.signal_name, deque())
        while waiting:
            waiter = waiting.popleft()
            if not waiter.done():
                waiter.set_result(event)
                return
        self._kept.setdefault(event.signal_name, deque()).append(event)

    def take(self, type: str) -> WorkflowExecutionSignaled | None:
        """The oldest event of this type that nobody has had."""
        kept = self._kept.get(type)
        return kept.popleft() if kept else None

    def put_back(self, event: WorkflowExecutionSignaled) -> None:
        """Whoever got it does not want it any more: it is the next one's."""
        waiting = self._waiting.get(event.signal_name)
        if waiting:
            self.arrived(event)
        else:
            self._kept.setdefault(event.signal_name, deque()).appendleft(event)

    def wait(self, type: str) -> Waiter:
        """A future of the next event, or of None if none comes. `forget` it when it is of no use any more."""
        waiter: Waiter = self._instance.loop.create_future()
        self._waiting.setdefault(type, deque()).append(waiter)
        return waiter

    def forget(self, type: str, waiter: Waiter) -> None:
        """Nobody waits any more; events that come later are for others."""
        waiting = self._waiting.get(type)
        if waiting is not None and waiter in waiting:
            waiting.remove(waiter)


def plain(event: WorkflowExecutionSignaled, converter: DataConverter) -> dict[str, Any]:
    """The event as it can be stored."""
    payload = converter.decode(event.input[0]) if event.input else None
    return {"payload": payload, "timestamp": event.time, "type": event.signal_name}


def shown(event: dict[str, Any]) -> Record:
    """What `wait_for_event` returns: the payload, when the event was recorded, its type."""
    return Record({**event, "payload": frozen(event["payload"]), "timestamp": utc(event["timestamp"])})
