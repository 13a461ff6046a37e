"""The processes that are killed and frozen: engines (`tenuto server`) and workers (`tenuto worker`)."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
#: Seconds that a process may take until it serves, or to end when it is asked to; many share few processors.
PATIENCE = 120.0
#: Servers of one database need the same; this one keeps no secret.
SECRETS_KEY = base64.urlsafe_b64encode(bytes(32)).decode()

#: What a process is called with, for the name under which its connections are known.
Command = Callable[[str], list[str]]


class Member:
    """One engine or worker, in one process after the other. `application` names the process of now."""

    def __init__(self, name: str, folder: Path, command: Command, environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.life = 0
        self.frozen = False
        self._command = command
        self._environment = {key: value for key, value in os.environ.items() if not key.startswith("TENUTO_")}
        self._environment.update(environment or {})
        self._folder = folder
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def application(self) -> str:
        return f"{self.name}.{self.life}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        self.life += 1
        command = [sys.executable, "-m", "tenuto", *self._command(self.application)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=log, stderr=log)

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
        self.frozen = False

    def freeze(self) -> None:
        assert self._process is not None
        self.frozen = True
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
        self.frozen = False

    async def stop(self) -> None:
        """Ask it to end; it must do so by itself, and cleanly."""
        assert self._process is not None
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} does not end:\n{self.tail()}") from None
        assert self._process.returncode == 0, f"{self.name} ended with {self._process.returncode}:\n{self.tail()}"

    def size_of_log(self) -> int:
        return self._log.stat().st_size if self._log.exists() else 0

    def said(self, since: int = 0) -> str:
        """What it has logged behind so many bytes."""
        with self._log.open("rb") as log:
            log.seek(since)
            return log.read().decode(errors="replace")

    def tail(self, lines: int = 60) -> str:
        return "\n".join(self.said().splitlines()[-lines:])

    async def serves(self) -> None:
        """Return when it is at work. One that finds no database ends, and is started again, as supervisors do."""
        deadline = time.monotonic() + PATIENCE
        while not await self._ready():
            if not self.alive():
                self.start()
            assert time.monotonic() < deadline, f"{self.name} does not come up:\n{self.tail()}"
            await asyncio.sleep(0.05)

    async def _ready(self) -> bool:
        return f"(pid {self.pid}) serves" in self.said()


class EngineMember(Member):
    """An engine; `url` is where it listens, in every life."""

    def __init__(self, name: str, folder: Path, store: Callable[[str], str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(
            name,
            folder,
            lambda application: ["server", "--port", str(port), "--db", store(application)],
            {"TENUTO_SECRETS_KEY": SECRETS_KEY},
        )

    async def _ready(self) -> bool:
        async with httpx.AsyncClient(timeout=5) as client:
            try:
                return (await client.get(f"{self.url}/ready")).status_code == 200
            except httpx.TransportError:
                return False


def worker_member(name: str, folder: Path, store: Callable[[str], str], ledger: Path) -> Member:
    """A worker with the code of `tests.chaos.durable_code`."""
    return Member(
        name,
        folder,
        lambda application: ["worker", "tests.chaos.durable_code", "--db", store(application), "--grace", "5"],
        {"CHAOS_LEDGER": str(ledger)},
    )
