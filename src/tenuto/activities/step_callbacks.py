"""Where the code of a step is found: in the instance that asked for it, or else in one that is rebuilt for it.

A step's callback is a closure of live workflow code, which an attempt needs wherever it runs. Code that was evicted, or
that lives in another process, is brought back by replaying the history as the store has it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict

from tenuto.activities.step_code import StepCode
from tenuto.activities.step_errors import WorkflowInternalError
from tenuto.model.errors import StoreError, StoreFormatError
from tenuto.model.events import ExecutionRef
from tenuto.model.tasks import ActivityTask
from tenuto.replay.host import WorkflowCode
from tenuto.replay.keyed import KeyedInstance
from tenuto.store.protocol import Store, StoredExecution

logger = logging.getLogger("tenuto.activity")

#: Rebuilt instances that are kept for the next attempt, and histories that are read at one go.
KEPT, CHUNK = 100, 50


class StepCallbacks:
    """Finds the code of steps for one worker. Lives on its event loop."""

    def __init__(self, code: WorkflowCode, store: Store) -> None:
        self._code = code
        self._store = store
        self._rebuilt: OrderedDict[str, KeyedInstance] = OrderedDict()
        self._wanted: dict[str, tuple[ExecutionRef, asyncio.Future[None]]] = {}
        self._rebuilding: asyncio.Task[None] | None = None

    async def find(self, task: ActivityTask) -> StepCode | None:
        """The code of the step that `task` is an attempt of; None if today's code does not ask for it.

        Raises WorkflowInternalError if the code can't be brought back."""
        found = self.at_hand(task)
        if found is None:
            await self._rebuild(ExecutionRef(task.workflow_id, task.run_id))
            found = self.at_hand(task)
        return found

    async def close(self) -> None:
        """Forget all that was rebuilt."""
        if self._rebuilding is not None:
            self._rebuilding.cancel()
            await asyncio.gather(self._rebuilding, return_exceptions=True)
        while self._rebuilt:
            self._rebuilt.popitem()[1].discard()

    def at_hand(self, task: ActivityTask) -> StepCode | None:
        """The code of the step, if it is in memory."""
        for instances in (self._code.live, self._rebuilt):
            instance = instances.get(task.run_id)
            step: StepCode | None = None if instance is None else instance.steps.get(task.activity_id)
            if step is not None:
                return step
        return None

    async def _rebuild(self, ref: ExecutionRef) -> None:
        """Return when there is an instance that has seen all that was on record when this was called."""
        assert ref.run_id is not None
        wanted = self._wanted.get(ref.run_id)
        if wanted is None:
            wanted = self._wanted[ref.run_id] = (ref, asyncio.get_running_loop().create_future())
        if self._rebuilding is None or self._rebuilding.done():
            self._rebuilding = asyncio.get_running_loop().create_task(self._run(), name="tenuto: rebuild steps")
        await asyncio.shield(wanted[1])

    async def _run(self) -> None:
        while self._wanted:
            chunk = [self._wanted.pop(run_id) for run_id in list(self._wanted)[:CHUNK]]
            try:
                found = await self._load([ref for ref, _ in chunk])
            except BaseException as error:
                _tell([future for _, future in chunk], error)
                raise
            for (_, future), stored in zip(chunk, found, strict=True):
                problem = None if stored is None or not stored.events else self._replay(stored)
                if not future.done():
                    future.set_result(None) if problem is None else future.set_exception(WorkflowInternalError(problem))

    async def _load(self, refs: list[ExecutionRef]) -> list[StoredExecution | None]:
        while True:
            try:
                return await self._store.load(refs)
            except StoreFormatError:
                raise  # what is damaged stays so
            except StoreError as error:
                logger.warning("executions could not be read, which is tried again: %s", error)
                await asyncio.sleep(0.1)

    def _replay(self, stored: StoredExecution) -> str | None:
        """Returns what is wrong with the code, if something is."""
        instance = self._code.create(stored.events[0])  # type: ignore[arg-type]  # every history begins with Started
        broken = instance.feed(stored.events)
        if broken is not None or not isinstance(instance, KeyedInstance):
            instance.discard()
            return "the code can't be brought back" + (f": {broken.failure.brief()}" if broken is not None else "")
        outdated = self._rebuilt.pop(stored.row.run_id, None)
        if outdated is not None:
            outdated.discard()
        self._rebuilt[stored.row.run_id] = instance
        if len(self._rebuilt) > KEPT:
            self._rebuilt.popitem(last=False)[1].discard()
        return None


def _tell(futures: list[asyncio.Future[None]], error: BaseException) -> None:
    for future in futures:
        if not future.done():
            if isinstance(error, asyncio.CancelledError):
                future.cancel()
            else:
                future.set_exception(error)
