"""The connection to NATS servers, which core NATS and JetStream share."""

from __future__ import annotations

import asyncio
import logging

import nats.errors
from nats.aio.client import Client

from tenuto.system_tasks.buses.bus import BusError
from tenuto.system_tasks.buses.shared import Shared
from tenuto.system_tasks.settings import BusSettings

_log = logging.getLogger(__name__)

#: The header by which NATS itself tells a repeated message.
MESSAGE_ID = "Nats-Msg-Id"


class NatsConnection:
    """Connects when first needed. A lost connection is restored by the client, with its subscriptions."""

    def __init__(self, settings: BusSettings) -> None:
        self._settings = settings
        self.timeout = settings.timeout
        self._client = Shared(self._connect, _close, lambda client: not client.is_closed)

    async def get(self) -> Client:
        """Raises BusError."""
        return await self._client.get()

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _connect(self) -> Client:
        nats_settings = self._settings.nats
        client = Client()
        try:
            async with asyncio.timeout(self.timeout):
                await client.connect(
                    servers=list(nats_settings.servers),
                    user=nats_settings.user,
                    password=nats_settings.password,
                    token=nats_settings.token,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=1,
                    error_cb=_complain,
                )
        except (OSError, TimeoutError, nats.errors.Error) as error:
            await client.close()
            servers = ", ".join(server.rpartition("@")[2] for server in nats_settings.servers)
            reason = str(error) or f"no connection within {self.timeout:g} s"
            raise BusError(f"NATS at {servers}: {reason}") from None
        except BaseException:
            await client.close()
            raise
        return client


async def _complain(error: Exception) -> None:
    _log.warning("NATS: %s", str(error) or type(error).__name__)


async def _close(client: Client) -> None:
    await client.close()
