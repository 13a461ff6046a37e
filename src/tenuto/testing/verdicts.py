"""What must fail a test: an assertion that failed in a workflow or an activity, an activity that no worker has, and
workflow code that is stuck.

Elsewhere such code would be tried again, for ever if need be. In a test nobody is going to put it right, so whoever
waits for a result gets the exception that the code raised, as it was, with its traceback.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any, TypeVar

from tenuto import failures
from tenuto.exceptions import ApplicationError
from tenuto.model.failures import ApplicationFailure, Failure

T = TypeVar("T")

#: The type of the failure of an activity that is not registered.
MISSING = "NotFoundError"


class Witness:
    """Remembers the exceptions that failures were recently made of."""

    def __init__(self) -> None:
        self._seen: deque[tuple[Failure, BaseException]] = deque(maxlen=50)

    def __call__(self, error: BaseException, failure: Failure) -> None:
        self._seen.append((failure, error))

    def error_of(self, failure: Failure) -> BaseException:
        """The exception itself; one that tells the same if it can't be had, as from another process."""
        for seen, error in reversed(self._seen):
            # The record of a step is made of the first one.
            if seen is failure or (seen.stack_trace and seen.stack_trace == failure.stack_trace):
                return error
        text = f"{failure.brief()}\n{failure.stack_trace}".rstrip()
        return AssertionError(text) if is_assertion(failure) else ApplicationError(text)


def is_assertion(failure: Failure) -> bool:
    """Was it an `assert` that failed?"""
    return isinstance(failure.info, ApplicationFailure) and failure.info.type == "AssertionError"


def is_missing(failure: Failure) -> bool:
    """Is it an activity that the worker hasn't got? The user's own errors of this name have been raised somewhere."""
    return isinstance(failure.info, ApplicationFailure) and (failure.info.type, failure.stack_trace) == (MISSING, "")


class Verdicts:
    """The exceptions that fail what is waited for. `watch` and `forget` begin and end its interest in exceptions."""

    def __init__(self) -> None:
        self._witness = Witness()
        #: Of runs whose code is stuck, by run id.
        self._stuck: dict[str, BaseException] = {}
        self._assertion: BaseException | None = None
        self._told = False
        self._waiting: set[asyncio.Future[None]] = set()
        #: The engine's own end, which ends the block of every worker.
        self.engine_failed: asyncio.Future[None] | None = None

    def watch(self) -> None:
        failures.witnesses.append(self._witness)

    def forget(self) -> None:
        failures.witnesses.remove(self._witness)

    def unheard(self) -> BaseException | None:
        """A failed assertion that nobody has been told of; whoever asks has been told."""
        if self._told or self._assertion is None:
            return None
        self._told = True
        return self._assertion

    def stuck(self, run_id: str, workflow: str, failure: Failure) -> None:
        """The code of a run could not decide."""
        error = self._witness.error_of(failure)
        if is_assertion(failure):
            self.failed_assertion(failure, workflow)
        elif run_id not in self._stuck:
            error.add_note(f"The code of {workflow} failed, which holds it until its code is put right.")
            self._stuck[run_id] = error
            self._tell()

    def mended(self, run_id: str) -> None:
        """The code of a run has decided, or the run has ended."""
        self._stuck.pop(run_id, None)

    def failed_assertion(self, failure: Failure, where: str) -> None:
        """An `assert` failed, or there was nothing to be called; the first one counts."""
        if self._assertion is not None:
            return
        self._assertion = self._witness.error_of(failure)
        self._assertion.add_note(f"An assertion failed in {where}." if is_assertion(failure) else f"It is {where}.")
        self._tell()
        failed = self.engine_failed
        if not self._waiting and failed is not None and not failed.done():
            # Nobody waits for a result: let nobody wait for anything else in vain either.
            failed.set_exception(self._assertion)
            failed.exception()

    async def heeded(self, work: Coroutine[Any, Any, T], *, stuck: bool = True) -> T:
        """What comes of `work`. Raises the exception that fails the test, should there be one before: a failed
        assertion, and with `stuck` that of a workflow whose code is stuck."""
        __tracebackhide__ = True
        task = asyncio.ensure_future(work)
        try:
            while not task.done() and self._verdict(stuck) is None:
                await self._wait_beside(task)
            verdict = self._verdict(stuck and not task.done())
            if verdict is not None:
                self._told |= verdict is self._assertion
                raise verdict
            return task.result()
        finally:
            task.cancel()

    async def _wait_beside(self, task: asyncio.Future[Any]) -> None:
        """Return when there may be news, or the task is done."""
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(news)
        try:
            await asyncio.wait({task, news}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting.discard(news)

    def _tell(self) -> None:
        for news in self._waiting:
            if not news.done():
                news.set_result(None)

    def _verdict(self, stuck: bool) -> BaseException | None:
        return self._assertion or (next(iter(self._stuck.values()), None) if stuck else None)
