"""How requests of this process reach executions.

If this process owns the partitions, a request is a function call. If nobody does, it takes them for as long as the
request lasts. If another process does, the request goes through the inbox, and the answer is polled for. Whoever asks
sees no difference.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable

from tenuto.engine.clock import Clock
from tenuto.engine.engine import Engine
from tenuto.engine.graphs import restore
from tenuto.graph.parents import closing_event
from tenuto.model import messages as msg
from tenuto.model.errors import RPCError, RPCStatusCode, StoreOwnedError
from tenuto.model.events import AnyEvent, ExecutionRef
from tenuto.model.limits import Limits
from tenuto.model.policies import ExecutionStatus
from tenuto.store.protocol import Store, StoredExecution, partition_of

#: Seconds that a worker waits for a client process that holds the partitions for one request.
PATIENCE = 5.0
#: Seconds between two looks for an answer or for the end of a run: first, and at most.
SOON, SELDOM = 0.002, 0.05


def process_name() -> str:
    """This process, in words for people."""
    return f"pid {os.getpid()} on {socket.gethostname()} ({' '.join(sys.argv)[:120] or 'python'})"


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
    ) -> None:
        self.store = store
        self.clock = clock
        self.limits = limits
        self.new_id = new_id
        self._retention = retention
        self._engine: Engine | None = None
        self._users = 0
        self._lock = asyncio.Lock()

    # -- the engine of this process -----------------------------------------------------------------------------------

    async def acquire(self, patience: float = 0.0) -> Engine:
        """The engine of this process, started if need be. Give it back with `release`.

        Raises StoreOwnedError if another process has the partitions for longer than `patience` seconds."""
        async with self._lock:
            if self._engine is None:
                self._engine = await self._start(patience)
            self._users += 1
            return self._engine

    async def release(self) -> None:
        async with self._lock:
            self._users -= 1
            if self._users == 0 and self._engine is not None:
                engine, self._engine = self._engine, None
                await engine.stop()

    async def _start(self, patience: float) -> Engine:
        deadline = asyncio.get_running_loop().time() + patience
        while True:
            engine = Engine(
                self.store,
                self.clock,
                self.limits,
                self.new_id,
                owner=f"{process_name()} {self.new_id()}",
                retention=self._retention,
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
        if self._engine is not None:
            return await self._engine.submit(msg.Message(target, body))
        try:
            engine = await self.acquire()
        except StoreOwnedError:
            return await self._request_by_inbox(target, body)
        try:
            return await engine.submit(msg.Message(target, body))
        finally:
            await self.release()

    async def _request_by_inbox(self, target: ExecutionRef, body: msg.Body) -> msg.Answer:
        request_id = self.new_id()
        data = msg.encode(msg.Message(target, body, request_id))
        await self.store.send([(partition_of(target.workflow_id), data)])
        pause, waited = SOON, 0.0
        while True:
            answer = await self.store.answer(request_id)
            if answer is not None:
                return msg.decode_answer(answer)
            await asyncio.sleep(pause)
            waited += pause
            pause = min(pause * 1.5, SELDOM)
            if waited > 0.2:
                waited = 0.0
                await self._serve_inbox()

    async def _serve_inbox(self) -> None:
        """If the owner has gone, do for a moment what it would do: take messages in."""
        if self._engine is not None or await self.store.owner() is not None:
            return
        try:
            await self.acquire()
        except StoreOwnedError:
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
            if self._engine is not None and ref.run_id is not None:
                event = await self._engine.closed_runs.wait(ref.workflow_id, ref.run_id)
                if event is not None:
                    return event
            event = await self._wait_closed(ref)
            if event is not None:
                return event

    async def _wait_closed(self, ref: ExecutionRef) -> AnyEvent | None:
        """Poll until the run has closed; None if this process has become the one that will know it first."""
        pause = SOON
        while True:
            stored = await self.load(ref)
            if stored is None:
                raise not_found(ref)
            if stored.row.status is not ExecutionStatus.RUNNING:
                closed = await self.load(ExecutionRef(ref.workflow_id, stored.row.run_id), history=True)
                if closed is None or not (closed.events or closed.graph_events):
                    raise not_found(ref)
                return closed.events[-1] if closed.events else closing_event(restore(closed))
            # Also when the engine of this process asks to look again: the end is perhaps just being written, and must
            # get its turn of the loop.
            await asyncio.sleep(pause)
            if self._engine is not None and ref.run_id is not None:
                return None
            pause = min(pause * 1.5, SELDOM)


def not_found(ref: ExecutionRef) -> RPCError:
    run = f" with run {ref.run_id}" if ref.run_id else ""
    return RPCError(f"there is no workflow {ref.workflow_id!r}{run}", RPCStatusCode.NOT_FOUND)
