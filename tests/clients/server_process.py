"""`tenuto server` as a process of its own, on a free loopback port, for clients to be pointed at."""

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

#: Seconds that a server may take to answer /health.
START_LIMIT = 60.0
#: Seconds that a process may take to end after SIGTERM.
STOP_LIMIT = 15.0


class ServerProcess:
    """A running server. `url` has no /api."""

    def __init__(self, folder: Path, process: "subprocess.Popen[bytes]") -> None:
        self.folder = folder
        self.process = process
        self.url = until(self._announced, START_LIMIT, lambda: f"the server did not start:\n{self.said()}")
        with urllib.request.urlopen(f"{self.url}/health", timeout=START_LIMIT) as health:
            assert health.status == 200

    @property
    def api(self) -> str:
        return f"{self.url}/api"

    def said(self) -> str:
        """What it has logged."""
        return (self.folder / "server.txt").read_text()

    def _announced(self) -> str | None:
        found = re.search(r"serving \S+ on (http://\S+)", self.said())
        assert self.process.poll() is None, f"the server ended:\n{self.said()}"
        return found and found[1]


@contextmanager
def running_server(
    folder: Path, environment: Mapping[str, str] | None = None, db: str = "sqlite:///clients.db"
) -> Iterator[ServerProcess]:
    """A server in `folder`, stopped at the end; it must stop cleanly."""
    with (folder / "server.txt").open("wb") as log:
        command = [sys.executable, "-m", "tenuto", "server", "--db", db, "--port", "0"]
        process = subprocess.Popen(command, cwd=folder, env=os.environ | (environment or {}), stdout=log, stderr=log)
    server = None
    try:
        server = ServerProcess(folder, process)
        yield server
    finally:
        end(process)
    assert process.returncode == 0, server.said()
    assert "Traceback" not in server.said(), server.said()


def end(process: "subprocess.Popen[bytes]") -> None:
    """SIGTERM; SIGKILL if that does not help in time."""
    process.terminate()
    try:
        process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def until(
    condition: Callable[[], T | None],
    seconds: float = 20.0,
    why: Callable[[], object] = lambda: "it did not come about",
) -> T:
    """Wait until `condition` gives something true; returns that."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, why()
        time.sleep(0.05)
    return value
