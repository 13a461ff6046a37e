"""All that is stored about this installation besides executions and definitions, kept in step with other servers."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from tenuto.engine.clock import Clock
from tenuto.engine.following import Following
from tenuto.model.errors import StoreError
from tenuto.server.collection import CHANGES, Collection
from tenuto.server.event_configs import QueueConfigs
from tenuto.server.event_handlers import EventHandlers
from tenuto.server.human_templates import HumanTemplates
from tenuto.server.identity.directory import Directory
from tenuto.server.identity.gate import Gate
from tenuto.server.identity.records import GatewayAuth
from tenuto.server.integrations import Integrations
from tenuto.server.prompts import Prompts
from tenuto.server.schedules import SchedulerState, Schedules
from tenuto.server.schemas import Schemas
from tenuto.server.secrets import Environment, Secrets
from tenuto.server.settings import Settings
from tenuto.server.tags import Tags
from tenuto.server.vault import open_vault
from tenuto.server.webhook_configs import Webhooks
from tenuto.store.protocol import Store

logger = logging.getLogger("tenuto.server")

#: Seconds between two looks whether another server has changed something.
LOOK = 1.0


class Configuration:
    """The stored configuration of one store, as one server process has it in memory."""

    def __init__(self, store: Store, clock: Clock, settings: Settings) -> None:
        vault = open_vault(settings)
        self.tags = Tags(store, clock)
        self.directory = Directory(store, clock, settings.admin_key)
        self.gate = Gate(store, clock, self.directory, self.tags, settings.token_ttl)
        self.gateway_auth = Collection(store, clock, "gateway_auth", GatewayAuth)
        self.secrets = Secrets(store, clock, vault)
        self.environment = Environment(store, clock)
        self.prompts = Prompts(store, clock)
        self.integrations = Integrations(store, clock, vault)
        self.schemas = Schemas(store, clock)
        self.event_handlers = EventHandlers(store, clock)
        self.queue_configs = QueueConfigs(store, clock, vault)
        self.webhooks = Webhooks(store, clock, vault, self.secrets.lookup)
        self.human_templates = HumanTemplates(store, clock)
        self.schedules = Schedules(store, clock)
        self.scheduler_state = Collection(store, clock, "scheduler", SchedulerState)
        self._following = Following(store, CHANGES, self._read)
        self._collections: list[Collection[Any]] = [
            self.tags,
            *self.directory.collections,
            self.gateway_auth,
            self.secrets.stored,
            self.environment,
            self.prompts,
            *self.integrations.collections,
            self.schemas,
            self.event_handlers,
            self.queue_configs,
            self.webhooks,
            self.human_templates,
            self.schedules,
            self.scheduler_state,
        ]

    async def open(self) -> None:
        """Read everything."""
        await self.gate.open()
        await self.reload()

    async def reload(self) -> None:
        """Read what others have changed."""
        await self._following.reload()

    async def fresh(self) -> None:
        """See every change that was made before the call, at whichever server."""
        await self._following.fresh()

    async def _read(self) -> None:
        for collection in self._collections:
            await collection.refresh()

    async def watch(self) -> None:
        """Follow what other servers change, for ever."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self._following.look()
            except StoreError as error:
                logger.warning("the configuration can't be read: %s", error, extra={"action": "configuration_unread"})
