"""The commit pipeline: while one batch is being written, the next one gathers.

Effects of a batch are released in order, after its commit and before the next one's. A commit that fails takes the
batch that gathered behind it down with it, because that one was decided on facts that are not recorded; the engine then
goes back to what the store knows (`on_failure`) and the pipeline goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter

from tenuto.engine.batch import Batch
from tenuto.model.errors import StoreError
from tenuto.store.protocol import Store


class Pipeline:
    """One commit at a time; the caller fills `batch` and calls `offer`."""

    def __init__(
        self,
        store: Store,
        epochs: dict[int, int],
        gather: Callable[[], None],
        on_committed: Callable[[Batch], None],
        on_failure: Callable[[list[Batch], StoreError], Awaitable[None]],
    ) -> None:
        self._store = store
        self._epochs = epochs
        self._gather = gather
        self._closed = False
        self._fault: StoreError | None = None
        self._on_committed = on_committed
        self._on_failure = on_failure
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.batch = Batch()

    def offer(self) -> None:
        """There may be something to write."""
        if self.batch:
            self._idle.clear()
            self._work.set()

    async def drain(self) -> None:
        """Wait until nothing is left to be written."""
        await self._idle.wait()

    async def flushed(self) -> None:
        """Wait until what has happened up to now is written, or was lost with a commit that failed; more may come
        meanwhile."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.batch.effects.append(lambda: None if done.done() else done.set_result(None))
        self.batch.failed.append(lambda error: None if done.done() else done.set_result(None))
        self.offer()
        await done

    def abandon(self, error: StoreError) -> None:
        """What was decided can't be written, as if a commit had failed."""
        self._fault = error
        self._work.set()

    def close(self) -> None:
        """Write nothing any more: what was decided last can't be trusted."""
        self._closed = True
        self._idle.set()  # whoever waits for the rest to be written would wait for ever

    async def run(self) -> None:
        """Write batches for ever; ends only with an error that is not the store's."""
        while True:
            await self._work.wait()
            self._work.clear()
            while (self.batch or self._fault) and not self._closed:
                await self._write()
            self._idle.set()

    async def _write(self) -> None:
        # An answer or an effect may be in the batch whose facts wait for the next turn of the loop to be decided on:
        # the batch must have both, or the answer would be given before its facts are on record.
        self._gather()
        batch, self.batch = self.batch, Batch()
        commit = batch.seal(self._epochs)
        try:
            if self._fault is not None:
                raise self._fault
            if commit is not None:
                began = perf_counter()
                await self._store.commit(commit)
                batch.seconds = perf_counter() - began
        except StoreError as error:
            lost, self.batch = [batch, self.batch], Batch()
            self._fault = None
            await self._on_failure(lost, error)
            return
        for resident in batch.residents:
            resident.in_flight -= 1
        for effect in batch.effects:
            effect()
        self._on_committed(batch)
