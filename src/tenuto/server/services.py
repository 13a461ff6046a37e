"""What the handlers of one server process share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tenuto.engine.clock import Clock
from tenuto.engine.engine import Engine
from tenuto.engine.gateway import Gateway
from tenuto.server.configuration import Configuration
from tenuto.server.metrics import Metrics
from tenuto.server.settings import Settings
from tenuto.store.protocol import Store


class Services:
    """Made by `run.opened`; handlers find it in `Call.services`. `stopping` is set when the server is asked to stop:
    whatever waits for something answers at once then."""

    engine: Engine

    def __init__(self, gateway: Gateway, settings: Settings) -> None:
        self.gateway = gateway
        self.settings = settings
        self.metrics = Metrics()
        self.stopping = asyncio.Event()
        self.configuration = Configuration(gateway.store, gateway.clock, settings)
        self.gate = self.configuration.gate

    @property
    def store(self) -> Store:
        return self.gateway.store

    @property
    def clock(self) -> Clock:
        return self.gateway.clock

    @property
    def new_id(self) -> Callable[[], str]:
        return self.gateway.new_id

    @property
    def failed(self) -> asyncio.Future[None]:
        """Done, with the reason, when the engine can't go on."""
        return self.engine.failed

    @property
    def is_open(self) -> bool:
        """Whether everybody may do everything, because there is no access key."""
        return self.configuration.directory.is_open

    def unready(self) -> str | None:
        """Why the server takes no work now; None if it does."""
        if self.stopping.is_set():
            return "the server is stopping"
        if self.failed.done():
            return "the engine has failed"
        return None

    def now_ms(self) -> int:
        """The time in milliseconds since the epoch, as the wire has it."""
        return self.clock.now() // 1_000_000

    async def start(self, patience: float) -> None:
        """Start the engine; waits at most `patience` seconds for a process that is about to give the store up."""
        self.engine = await self.gateway.acquire(patience)
        try:
            await self.configuration.open()
        except BaseException:
            await self.gateway.release()
            raise
        self.engine.spawn(self.configuration.watch(), "configuration")

    async def stop(self) -> None:
        self.stopping.set()
        await self.gateway.release()
