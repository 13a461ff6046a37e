"""Environments: an engine in the test's own process, in which time passes as the test needs it.

async with WorkflowEnvironment.start_time_skipping() as env:
    async with Worker(env.client, workflows=[Reminder], activities=[send]):
        await env.client.execute_workflow(Reminder.run, id="r-1")  # sleeps for 30 days, takes milliseconds
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from tenuto.activity import in_activity
from tenuto.client import Client
from tenuto.converter import DataConverter
from tenuto.durations import Duration, seconds_of
from tenuto.engine.clock import Clock, SystemClock
from tenuto.model.limits import Limits
from tenuto.store.urls import open_store
from tenuto.testing.clock import SkippingClock
from tenuto.testing.faults import FaultyStore
from tenuto.testing.gateway import WatchedGateway
from tenuto.testing.skipping import TimeSkipper
from tenuto.testing.timelines import timelines

__all__ = ["WorkflowEnvironment"]

NOT_STARTED = "this environment has not been started; use it with `async with`, or await it"


class WorkflowEnvironment:
    """An engine for tests, with a store of its own; make one with `start_time_skipping` or `start_local`. Any number of
    them can be used side by side.

    - `client` is what tests start workflows with, and what they give to a `Worker`.
    - `clock` tells the environment's time.
    - `store` is its store, in which faults can be injected.

    Workflow code that fails, where a server would hold it until it is put right, fails whatever waits for a result,
    with the exception that the code raised. So does an assertion that fails in a workflow or an activity."""

    #: Is every decision of a workflow preceded by a replay of all before it, unless an environment is told otherwise?
    #: The pytest plugin sets it for `--tenuto-always-replay`.
    always_replay = False

    client: Client

    def __init__(
        self,
        url: str | Path,
        *,
        skips: bool,
        data_converter: DataConverter | None = None,
        limits: Limits | None = None,
        always_replay: bool | None = None,
    ) -> None:
        self._skips = skips
        self._converter = data_converter
        self._limits = limits or Limits()
        self.clock: Clock = SkippingClock() if skips else SystemClock()
        self.store = FaultyStore(open_store(f"sqlite:///{url}" if isinstance(url, Path) else url))
        if always_replay is not None:
            self.always_replay = always_replay
        self._gateway: WatchedGateway | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def start_time_skipping(
        cls,
        url: str | Path = "memory://",
        *,
        data_converter: DataConverter | None = None,
        limits: Limits | None = None,
        always_replay: bool | None = None,
    ) -> WorkflowEnvironment:
        """An environment that leaves out the time in which nothing happens. Use it with `async with`, or await it and
        call `shutdown` in the end.

        While somebody waits for the result of a workflow or an update, or in `sleep`, and no activity, workflow or
        commit is under way, time jumps to the next moment at which something is due. Otherwise it passes as it does
        everywhere. `url` names a store (a path: of a SQLite file), by default one in memory."""
        return cls(url, skips=True, data_converter=data_converter, limits=limits, always_replay=always_replay)

    @classmethod
    def start_local(
        cls,
        url: str | Path = "memory://",
        *,
        data_converter: DataConverter | None = None,
        limits: Limits | None = None,
        always_replay: bool | None = None,
    ) -> WorkflowEnvironment:
        """As `start_time_skipping`, in real time."""
        return cls(url, skips=False, data_converter=data_converter, limits=limits, always_replay=always_replay)

    # -- life --------------------------------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, WorkflowEnvironment]:
        return self._begun().__await__()

    async def _begun(self) -> WorkflowEnvironment:
        if self._gateway is not None:
            return self
        self._loop = asyncio.get_running_loop()
        gateway = WatchedGateway(self.store, self.clock, self._limits, always_replay=self.always_replay)
        await self.store.open()
        converter = self._converter or DataConverter(payload_size_limit=self._limits.payload_size)
        self.client = Client(gateway, data_converter=converter)
        engine = await gateway.acquire()
        gateway.verdicts.watch()
        if isinstance(self.clock, SkippingClock):
            gateway.skipper = TimeSkipper(engine, self.store, self.clock, self.timelines)
        self._gateway = gateway
        return self

    async def shutdown(self) -> None:
        """End the environment. Its workers must have ended."""
        gateway, self._gateway = self._gateway, None
        if gateway is None:
            return
        gateway.verdicts.forget()
        await gateway.release()
        await self.client.close()
        if isinstance(self.clock, SkippingClock):
            self.clock.close()

    async def __aenter__(self) -> WorkflowEnvironment:
        return await self._begun()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        unheard = self.unheard_assertion()
        failed = error or unheard
        if isinstance(failed, Exception) and not self.store.dead:
            done = await self.timelines()
            failed.add_note(f"What the workflows did:\n{done}" if done else "There were no workflows.")
        await self.shutdown()
        if unheard is not None and error is None:
            raise unheard

    @property
    def is_running(self) -> bool:
        """Has it been started, and not ended?"""
        return self._gateway is not None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that it lives on."""
        if self._loop is None:
            raise RuntimeError(NOT_STARTED)
        return self._loop

    def unheard_assertion(self) -> BaseException | None:
        """An assertion that failed in a workflow or an activity and that nobody has been told of; None if there is
        none. Whoever asks has been told. Leaving the environment raises it."""
        return None if self._gateway is None else self._gateway.verdicts.unheard()

    async def timelines(self) -> str:
        """What the latest workflows did, as `tenuto show` prints it; empty if there are none."""
        return await timelines(self.client, self.store.inner)

    # -- time --------------------------------------------------------------------------------------------------------

    async def get_current_time(self) -> datetime:
        """The time in the environment."""
        return datetime.fromtimestamp(self.clock.now() / 1e9, UTC)

    async def sleep(self, duration: Duration) -> None:
        """Let time pass: all that is due until then happens, in order. Where time is skipped this takes no longer than
        what happens takes. In an activity, it is the activity that takes so long. Raises ValueError for a negative
        duration, and an assertion that fails meanwhile in a workflow or an activity."""
        seconds = seconds_of(duration)
        if seconds < 0:
            raise ValueError(f"time can't go back by {-seconds} s")
        gateway = self._running
        sleeping = asyncio.sleep(seconds) if gateway.skipper is None else gateway.skipper.sleep(seconds)
        await (sleeping if in_activity() else gateway.verdicts.heeded(sleeping, stuck=False))

    def auto_time_skipping_disabled(self) -> AbstractContextManager[None]:
        """A block in which only `sleep` skips time."""
        skipper = self._running.skipper
        return nullcontext() if skipper is None else skipper.disabled()

    @property
    def _running(self) -> WatchedGateway:
        if self._gateway is None:
            raise RuntimeError(NOT_STARTED)
        return self._gateway
