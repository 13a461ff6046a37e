"""The processes of a benchmark: started, read, and weighed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Result = dict[str, Any]
"""One JSON object; durations in seconds, sizes in bytes."""


def report(module: str, *arguments: str) -> Result:
    """The one line that a module of ours prints; then its process is killed, whatever it is at."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.kill()
    if not line:
        raise RuntimeError(f"{' '.join(command)} ended without a result")
    result: Result = json.loads(line)
    return result


@contextmanager
def running(*command: str, log: Path, env: Mapping[str, str] | None = None) -> Iterator[int]:
    """A process of ours that runs within the block; gives its pid. At the end it is asked to stop, which it must do
    within 30 s. What it says goes to `log`; `env` is added to the environment."""
    with (
        log.open("ab") as output,
        subprocess.Popen(
            [sys.executable, *command], stdout=output, stderr=output, env={**os.environ, **(env or {})}
        ) as process,
    ):
        try:
            yield process.pid
            if process.poll() is not None:
                end = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}. Its log: {end}")
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def until(arrived: Callable[[], bool], what: str, limit: float = 60.0) -> None:
    """Wait for `arrived`. Raises TimeoutError."""
    deadline = time.monotonic() + limit
    while not arrived():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not so after {limit:g} s")
        time.sleep(0.05)


def cpu_seconds(pid: int, *, with_ended_children: bool = False) -> float:
    """CPU time that a process has had, in user and in system mode."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return sum(map(int, fields[11 : 15 if with_ended_children else 13])) / os.sysconf("SC_CLK_TCK")


def cpu_seconds_of_tree(parent: int) -> float:
    """CPU time that a process and its children have had, those that have ended included."""
    seconds = cpu_seconds(parent, with_ended_children=True)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            child = stat.read_text().rpartition(")")[2].split()[1] == str(parent)
            seconds += cpu_seconds(int(stat.parent.name)) if child else 0.0
        except OSError:  # it has ended meanwhile
            continue
    return seconds


def load() -> str:
    """How busy the machine was, for whoever reads a figure."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
