"""Tells the sinks that workflow definitions name of changes of status."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec

from tenuto.engine.announcements import COLLECTION, Announcement
from tenuto.engine.batch import Batch
from tenuto.model.errors import RPCError, StoreError
from tenuto.model.json_values import Json, encode_json
from tenuto.server.event_handlers import is_outside
from tenuto.store.protocol import Document
from tenuto.system_tasks.buses.bus import BusError, Message

if TYPE_CHECKING:
    from tenuto.server.services import Services

logger = logging.getLogger("tenuto.events")

PAGE = 100
#: Seconds after which what could not be passed on is tried again.
AGAIN = 5.0


class StatusListener:
    """Passes announcements on, each at least once and those of one workflow in order. An observer of the engine."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._wake = asyncio.Event()

    def committed(self, batch: Batch) -> None:
        """There is something to pass on, if the definition of anything that changed asks for it."""
        executions = (transition.graph.state for transition in batch.transitions if transition.task is None)
        if any(state.plan.snapshot.workflow.workflow_status_listener_enabled for state in executions):
            self._wake.set()

    async def run(self) -> None:
        """Pass on, for ever."""
        self._services.graphs.moved.append(self._wake.set)
        while True:
            self._wake.clear()
            try:
                waiting = await self._pass_on()
            except (StoreError, RPCError) as error:
                logger.warning("announcements of workflows wait: %s", error)
                waiting = True
            try:
                async with asyncio.timeout(AGAIN if waiting else None):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _pass_on(self) -> bool:
        """Pass all on. True if some could not be."""
        stuck: set[str] = set()
        after = ""
        while True:
            page = await self._services.store.documents(COLLECTION, after=after, limit=PAGE)
            done: list[tuple[str, str]] = []
            for document in page:
                if not self._services.engine.owns(document.key.rpartition("_")[0]):
                    continue  # its owner passes it on
                told = msgspec.json.decode(document.data, type=Announcement)
                # What comes later of the same sink waits too.
                if told.sink in stuck or not await self._publish(told, document):
                    stuck.add(told.sink)
                else:
                    done.append((COLLECTION, document.key))
            if done:
                await self._services.graphs.write([], done)
            if len(page) < PAGE:
                return bool(stuck)
            after = page[-1].key

    async def _publish(self, told: Announcement, document: Document) -> bool:
        message: dict[str, Json] = {
            "workflowName": told.workflow_name,
            "eventType": told.event_type,
            "payload": told.payload,
        }
        try:
            if is_outside(told.sink):
                buses = self._services.system_tasks.buses
                await buses.publish(told.sink, Message(document.key, encode_json(message)))
            else:
                await self._services.events.publish(told.sink, message, message_id=document.key)
        except BusError as error:
            logger.warning("workflow %s can't be announced: %s", document.key.partition("_")[0], error)
            return False
        return True
