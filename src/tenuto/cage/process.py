"""One helper process, seen from the cage: started, asked, killed."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from typing import Self

import msgspec

from tenuto.cage.errors import CageUnavailable
from tenuto.cage.limits import CageLimits
from tenuto.cage.wire import LENGTH_BYTES, Answer, Request, frame

START_LIMIT = 30.0  # seconds; it takes a tenth of one on an idle machine
GRACE = 0.5  # seconds beyond the time limit in which a script that can be interrupted is
ANSWER_OVERHEAD = 64 * 1024  # bytes of an answer beside the result

_decoder = msgspec.msgpack.Decoder(Answer)


class HelperDied(Exception):
    """The process ended before it answered. `status` as in `subprocess`: negative for a signal."""

    def __init__(self, status: int) -> None:
        super().__init__(f"a helper process of the cage ended with status {status}")
        self.status = status


class HelperProcess:
    def __init__(self, process: Process, limits: CageLimits) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._requests = process.stdin
        self._answers = process.stdout
        self._limits = limits
        self._killed = False

    @classmethod
    async def start(cls, limits: CageLimits) -> Self:
        """A helper that is ready for its first request. Raises CageUnavailable."""
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-s", "-P", "-m", "tenuto.cage.helper"),
                stdin=PIPE,
                stdout=PIPE,
                env=_environment(),
                start_new_session=True,  # what the terminal sends is for the parent
            )
        except OSError as error:
            raise CageUnavailable(f"no helper process for scripts could be started: {error}") from error
        helper = cls(process, limits)
        try:
            async with asyncio.timeout(START_LIMIT):
                await helper._exchange(frame(limits))
        except BaseException as error:
            await helper.kill()
            if isinstance(error, TimeoutError | HelperDied):
                reason = str(error) or f"it was not ready after {START_LIMIT:g} s"
                raise CageUnavailable(f"a helper process for scripts did not start: {reason}") from error
            raise
        return helper

    async def ask(self, request: Request) -> Answer:
        """What came of the request. Raises TimeoutError, after which only `kill` is allowed, and HelperDied."""
        async with asyncio.timeout(self._limits.seconds + GRACE):
            return await self._exchange(frame(request))

    def is_alive(self) -> bool:
        """False once the end of the process has been noticed."""
        return self._process.returncode is None

    def send_kill(self) -> None:
        """Have the process end. Who waits for its answer gets HelperDied."""
        # Once only: the second signal would take the exit status away from those who wait for it.
        if self.is_alive() and not self._killed:
            self._killed = True
            self._process.kill()

    async def kill(self) -> None:
        """End the process, and wait until it is gone. Not while `ask` runs."""
        self.send_kill()
        self._requests.close()
        await self._end()

    async def _exchange(self, request: bytes) -> Answer:
        try:
            self._requests.write(request)
            await self._requests.drain()
            length = int.from_bytes(await self._answers.readexactly(LENGTH_BYTES), "big")
            if length > self._limits.result_size + ANSWER_OVERHEAD:  # no helper of ours says that much
                self.send_kill()
            return _decoder.decode(await self._answers.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            raise HelperDied(await self._end()) from None

    async def _end(self) -> int:
        while await self._answers.read(64 * 1024):  # to its end, or the transport stays open
            pass
        return await self._process.wait()


def _environment() -> dict[str, str]:
    """Where modules are found, here as there, and nothing of what else the parent's environment holds."""
    environment = {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    if sys.platform == "win32":
        environment["SYSTEMROOT"] = os.environ["SYSTEMROOT"]
    return environment
