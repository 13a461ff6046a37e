"""The cage: scripts of workflow definitions run in helper processes, which die when a script won't stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import msgspec

from tenuto.cage.errors import CageUnavailable, ScriptError, ScriptLimit, ScriptTimeout
from tenuto.cage.limits import CageLimits
from tenuto.cage.process import HelperDied, HelperProcess
from tenuto.cage.wire import Answer, Language, Request
from tenuto.model.json_values import Json, decode_json, encode_json

__all__ = ["Cage", "CageLimits", "CageUnavailable", "ScriptError", "ScriptLimit", "ScriptTimeout"]

STANDARD_LIMITS = CageLimits()

#: Nobody in a helper process sends these: the machine ran out of memory, or an operator was at work.
FROM_OUTSIDE = {-getattr(signal, name, 0) for name in ("SIGKILL", "SIGTERM")}
OUT_OF_CPU = -getattr(signal, "SIGXCPU", 0)
ATTEMPTS = 2


class Cage:
    """Runs scripts, each alone in one of `processes` helper processes; further ones wait their turn.

    A helper is started when one is needed, and stays. Used as an async context manager, which ends them all.
    """

    def __init__(self, *, processes: int = 2, limits: CageLimits = STANDARD_LIMITS) -> None:
        if processes < 1:
            raise ValueError(f"processes must be at least 1, not {processes}")
        self._processes = processes
        self._limits = limits
        self._turns = asyncio.Semaphore(processes)
        self._waiting = 0
        self._running = 0
        self._helpers: set[HelperProcess] = set()
        #: The last one used is the next one used: its compiled programs are likely to be the wanted ones.
        self._idle: list[HelperProcess] = []
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._closed = True
        for helper in self._helpers:
            helper.send_kill()
        for _ in range(self._processes):  # whoever runs or waits notices, and leaves
            await self._turns.acquire()
        await asyncio.gather(*(helper.kill() for helper in self._helpers))
        self._helpers.clear()
        for _ in range(self._processes):
            self._turns.release()

    @property
    def running(self) -> int:
        """How many scripts run now."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many scripts wait for a process that is free."""
        return self._waiting

    async def javascript(self, script: str, dollar: Json, *, body: bool = False) -> Json:
        """The completion value of `script`, which sees a copy of `dollar` as `$`; with `body`, what it returns.

        `undefined` and numbers that JSON has no way to write are None. `dollar` must not change meanwhile.
        Raises ScriptError and its kinds; CageUnavailable if it could not be run.
        """
        return await self._run("javascript", script, dollar, body=body)

    async def jq(self, program: str, value: Json) -> list[Json]:
        """All results of `program` for `value`, which must not change meanwhile. Raises like `javascript`."""
        results: list[Json] = await self._run("jq", program, value)
        return results

    async def check(self, language: Language, script: str, *, body: bool = False) -> None:
        """Parse `script` without running it. Raises like `javascript`."""
        self._check_size(script)
        async with self._turn():
            await self._answer(Request(language=language, script=script, input=None, body=body))

    async def _run(self, language: Language, script: str, value: Json, *, body: bool = False) -> Json:
        self._check_size(script)
        async with self._turn():
            # Only now, so that what waits holds no copies.
            try:
                input = encode_json(value)
            except RecursionError:
                raise ScriptLimit("the script's input is nested too deeply") from None
            if len(input) > self._limits.input_size:
                raise ScriptLimit(f"the script's input has {len(input)} bytes, more than {self._limits.input_size}")
            result = await self._answer(Request(language=language, script=script, input=input, body=body))
        try:
            return decode_json(result)
        except RecursionError:
            raise ScriptLimit("the script's result is nested too deeply") from None
        except msgspec.DecodeError as error:
            raise ScriptError(f"the script's result can't be stored as JSON: {error}") from error

    def _check_size(self, script: str) -> None:
        if (size := len(script.encode())) > self._limits.script_size:
            raise ScriptLimit(f"the script has {size} bytes, more than {self._limits.script_size}")

    async def _answer(self, request: Request) -> bytes:
        """What the helper found. If somebody killed it, another is asked: scripts have no effects."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._content(await self._ask(request))
            except HelperDied as died:
                self._check_open()
                if died.status == OUT_OF_CPU:
                    raise self._timeout() from None
                if died.status not in FROM_OUTSIDE or attempt == ATTEMPTS:
                    raise ScriptLimit(
                        f"the script brought its process down ({died}); did it run out of memory?"
                    ) from None
        raise AssertionError("every attempt either answers or raises")

    async def _ask(self, request: Request) -> Answer:
        helper = await self._helper()
        try:
            answer = await helper.ask(request)
        except BaseException as error:  # cancelled too: what it works at is wanted by nobody
            await self._discard(helper)
            if isinstance(error, TimeoutError):
                raise self._timeout() from None
            raise
        self._idle.append(helper)
        return answer

    async def _helper(self) -> HelperProcess:
        while self._idle:
            helper = self._idle.pop()
            if helper.is_alive():
                return helper
            await self._discard(helper)
        helper = await HelperProcess.start(self._limits)
        self._helpers.add(helper)
        return helper

    async def _discard(self, helper: HelperProcess) -> None:
        await helper.kill()
        self._helpers.discard(helper)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._waiting >= self._limits.backlog:
            raise ScriptLimit(f"too many scripts wait: {self._waiting}")
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        self._running += 1
        try:
            self._check_open()
            yield
        finally:
            self._running -= 1
            self._turns.release()

    def _check_open(self) -> None:
        if self._closed:
            raise CageUnavailable("the cage is closed")

    def _content(self, answer: Answer) -> bytes:
        match answer.outcome:
            case "done":
                return answer.content
            case "timeout":
                raise self._timeout()
            case "limit":
                raise ScriptLimit(answer.content.decode())
            case "error":
                raise ScriptError(answer.content.decode())

    def _timeout(self) -> ScriptTimeout:
        return ScriptTimeout(f"the script ran longer than {self._limits.seconds:g} s")
