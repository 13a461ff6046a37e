"""How requests of this process reach executions.

If this process owns the partition, a request is a function call. If nobody owns any, it takes them for as long as the
request lasts. If another process does, the request goes through the inbox, and the answer is looked for. Whoever asks
sees no difference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tenuto.engine.clock import Clock
from tenuto.engine.engine import Engine
from tenuto.engine.graphs import restore
from tenuto.engine.ownership import LEASE
from tenuto.engine.remote import Remote
from tenuto.graph.parents import closing_event
from tenuto.model import messages as msg
from tenuto.model.errors import RPCError, RPCStatusCode, StoreError, StoreOwnedError
from tenuto.model.events import AnyEvent, ExecutionRef
from tenuto.model.limits import Limits
from tenuto.store.protocol import Hint, Rank, Store, StoredExecution

#: Seconds that a worker waits for a client process that holds the partitions for one request.
PATIENCE = 5.0
#: Seconds after which whoever waits for another process makes sure that there is one.
PATIENCE_WITH_OTHERS = 0.2
#: Seconds for which it is remembered that partitions are owned.
REMEMBERED = 0.5


class Gateway:
    """One store, as this process uses it. Lives on one event loop."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        limits: Limits,
        new_id: Callable[[], str],
        *,
        retention: float,
        lease: float = LEASE,
    ) -> None:
        if lease < 1:
            raise ValueError(f"a lease of {lease:g} s is too short to be renewed in time; the least is 1 s")
        self.store = store
        self.clock = clock
        self.limits = limits
        self.new_id = new_id
        self._retention = retention
        self._lease = lease
        self._remote = Remote(store, new_id)
        self._engine: Engine | None = None
        self._users = 0
        #: Loop time until which partitions are taken to be owned by others.
        self._owned_until = 0.0
        self._lock = asyncio.Lock()
        store.watch(self._hinted)

    async def close(self) -> None:
        """Ask nothing any more, and close the store."""
        self.store.watch(None)
        await self._remote.close()
        await self.store.close()

    def _hinted(self, hint: Hint) -> None:
        self._remote.hinted(hint)
        if self._engine is not None:
            self._engine.hinted(hint)

    # -- the engine of this process -----------------------------------------------------------------------------------

    async def acquire(self, patience: float = 0.0, rank: Rank = Rank.CLIENT) -> Engine:
        """The engine of this process, started if need be, and able to do what `rank` says. Give it back with `release`.

        Raises StoreOwnedError if another process has the partitions for longer than `patience` seconds."""
        async with self._lock:
            if self._engine is None:
                self._engine = await self._start(patience, rank)
            self._users += 1
            return self._engine

    async def release(self) -> None:
        async with self._lock:
            self._users -= 1
            if self._users == 0 and self._engine is not None:
                engine, self._engine = self._engine, None
                await engine.stop()

    async def _start(self, patience: float, rank: Rank) -> Engine:
        deadline = asyncio.get_running_loop().time() + patience
        while True:
            engine = Engine(
                self.store,
                self.clock,
                self.limits,
                self.new_id,
                owner=f"engine-{self.new_id()[-12:]}",
                retention=self._retention,
                remote=self._remote,
                rank=rank,
                lease=self._lease,
            )
            try:
                await engine.start()
            except StoreOwnedError:
                engine.failed.cancel()
                if asyncio.get_running_loop().time() >= deadline:
                    raise
                await asyncio.sleep(0.02)
            else:
                return engine

    # -- requests ------------------------------------------------------------------------------------------------------

    async def request(self, target: ExecutionRef, body: msg.Body, timeout: float | None = None) -> msg.Answer:
        """Carry out a request; the answer is on record when it comes. Raises RPCError (DEADLINE_EXCEEDED) after
        `timeout` seconds; the request may then still be carried out. Raises TypeError for values of a wrong type."""
        msg.check(msg.Message(target, body))
        return await self.request_checked(target, body, timeout)

    async def request_checked(self, target: ExecutionRef, body: msg.Body, timeout: float | None = None) -> msg.Answer:
        """As `request`, for values whose types are known to be right."""
        if self._engine is not None and timeout is None:
            return await self._engine.submit(msg.Message(target, body))
        try:
            async with asyncio.timeout(timeout):
                return await self._request(target, body)
        except TimeoutError:
            owner = await self.store.owner()
            raise RPCError(
                f"no answer within {timeout:g} s for workflow {target.workflow_id!r} from the engine of "
                f"{owner or 'this process'}; what was asked for may still be done",
                RPCStatusCode.DEADLINE_EXCEEDED,
            ) from None

    async def _request(self, target: ExecutionRef, body: msg.Body) -> msg.Answer:
        message = msg.Message(target, body)
        if self._engine is not None:
            return await self._engine.submit(message)
        if self.store.shared and await self._others_own():
            return await self._request_by_inbox(message)
        try:
            engine = await self.acquire()
        except StoreOwnedError:
            return await self._request_by_inbox(message)
        try:
            return await engine.submit(message)
        finally:
            await self.release()

    async def _request_by_inbox(self, message: msg.Message) -> msg.Answer:
        asking = asyncio.ensure_future(self._remote.ask(message))
        try:
            while not asking.done():
                await asyncio.wait([asking], timeout=PATIENCE_WITH_OTHERS)
                if not asking.done():
                    await self._serve_inbox()
            return asking.result()
        finally:
            asking.cancel()

    async def _others_own(self) -> bool:
        """Does somebody own partitions? That there is somebody is remembered for a moment."""
        now = asyncio.get_running_loop().time()
        if now >= self._owned_until and await self.store.owner() is not None:
            self._owned_until = now + REMEMBERED
        return now < self._owned_until

    async def _serve_inbox(self) -> None:
        """If the owners have gone, do for a moment what they would do: take messages in."""
        try:
            if self._engine is not None or await self._others_own():
                return
            await self.acquire()
        except StoreError:  # another one came first, or the store has trouble, which the next look tells
            return
        try:
            await asyncio.sleep(0.05)
        finally:
            await self.release()

    # -- reading -------------------------------------------------------------------------------------------------------

    async def load(self, ref: ExecutionRef, *, history: bool = False) -> StoredExecution | None:
        return (await self.store.load([ref], closed_history=history))[0]

    async def closing_event(self, ref: ExecutionRef) -> AnyEvent:
        """Wait for the end of a run. Raises RPCError (NOT_FOUND) if there is no such run."""
        while True:
            if self._engine is not None and ref.run_id is not None and self._engine.owns(ref.workflow_id):
                event = await self._engine.closed_runs.wait(ref.workflow_id, ref.run_id)
                if event is not None:
                    return event
            event = await self._look_for_end(ref)
            if event is not None:
                return event

    async def _look_for_end(self, ref: ExecutionRef) -> AnyEvent | None:
        """The end of a run that another process owns; None after a while in which this one may have come to own it."""
        try:
            async with asyncio.timeout(PATIENCE_WITH_OTHERS):
                closed = await self._remote.end(ref)
        except TimeoutError:
            return None
        if closed is None or not (closed.events or closed.graph_events):
            raise not_found(ref)
        return closed.events[-1] if closed.events else closing_event(restore(closed))


def not_found(ref: ExecutionRef) -> RPCError:
    run = f" with run {ref.run_id}" if ref.run_id else ""
    return RPCError(f"there is no workflow {ref.workflow_id!r}{run}", RPCStatusCode.NOT_FOUND)
