"""A PostgreSQL of the chaos suite's own, as a user would run it (fsync on), that can be crashed and started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import asyncpg

#: Seconds that PostgreSQL may take to answer after its start, recovery included.
START_LIMIT = 60.0
USER = "tenuto"
#: Errors of a server that is down or on its way up or down.
DOWN = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)


class Database:
    """One server with one database, in a folder of its own below the system's for temporary files: the server runs as
    an unprivileged user, who can't enter those of the tests."""

    def __init__(self) -> None:
        self._binaries = _binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="tenuto-chaos-"))
        self._data = self._folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]

    def url(self, application: str) -> str:
        """The store, for the process that its connections shall be known by."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres?application_name={application}"

    def create(self) -> None:
        if os.getuid() == 0:
            shutil.chown(self._folder, "postgres", "postgres")
        command = [self._binaries / "initdb", "-D", self._data, "-U", USER, "--auth=trust", "-E", "UTF8", "--locale=C"]
        subprocess.run(self._unprivileged(command), check=True, capture_output=True, cwd=self._folder)

    async def start(self) -> None:
        """Start it, after a crash too; returns once it takes connections."""
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "log_min_messages": "fatal"}
        command: list[Any] = [self._binaries / "postgres", "-D", self._data, "-p", str(self.port)]
        command += [f"--{name}={value}" for name, value in options.items()]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - it returns as soon as the process is there
                self._unprivileged(command), stdout=log, stderr=log, cwd=self._folder, start_new_session=True
            )
        deadline = time.monotonic() + START_LIMIT
        while True:
            try:
                await (await self.connect()).close()
            except DOWN:
                assert self._process.poll() is None, self.said()
                assert time.monotonic() < deadline, self.said()
                await asyncio.sleep(0.05)
            else:
                return

    async def connect(self) -> asyncpg.Connection[Any]:
        settings = {"application_name": "chaos"}
        return await asyncpg.connect(
            host="127.0.0.1", port=self.port, user=USER, database="postgres", timeout=5, server_settings=settings
        )

    async def crash(self) -> None:
        """Stop it as `pg_ctl stop -m immediate` does: nothing is flushed, its next start is a recovery."""
        process = self._process
        assert process is not None
        process.send_signal(signal.SIGQUIT)
        await asyncio.to_thread(process.wait, 30)

    async def cut(self, chosen: random.Random, share: float) -> int:
        """End about this share of Tenuto's connections; returns how many."""
        pids = await self._backends()
        picked = [pid for pid in pids if chosen.random() < share] or pids[:1]
        await self.ask("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS v (pid)", picked)
        return len(picked)

    async def kill_a_backend(self, chosen: random.Random) -> None:
        """`kill -9` for one of the server's processes: it then ends all others, and recovers by itself."""
        while not (pids := await self._backends()):  # noqa: ASYNC110 - in other processes
            await asyncio.sleep(0.05)
        with contextlib.suppress(ProcessLookupError):
            os.kill(chosen.choice(pids), signal.SIGKILL)

    async def _backends(self) -> list[int]:
        rows = await self.ask(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> 'chaos'"
            " ORDER BY backend_start, pid"
        )
        return [row["pid"] for row in rows]

    async def ask(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """The rows, as soon as the server gives any."""
        while True:
            try:
                connection = await self.connect()
                try:
                    return await connection.fetch(statement, *arguments)
                finally:
                    await connection.close()
            except DOWN:
                await asyncio.sleep(0.05)

    def destroy(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGQUIT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:  # it was in the midst of a recovery
                process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def said(self) -> str:
        return (self._folder / "log").read_text()

    @staticmethod
    def _unprivileged(command: list[Any]) -> list[str]:
        """PostgreSQL refuses to run as root."""
        words = [str(word) for word in command]
        if os.getuid() != 0:
            return words
        user = pwd.getpwnam("postgres")
        return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *words]


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    assert found, "no PostgreSQL"
    return found[-1].parent
