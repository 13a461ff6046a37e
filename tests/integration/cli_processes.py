"""The `tenuto` command as real processes, in a directory of their own, for tests."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent


class Shop:
    """A directory with workflows in a file, a database, and processes of the command; all killed at the end."""

    def __init__(self, folder: Path, flows: str) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[str]] = []
        (folder / "flows.py").write_text(dedent(flows))

    def begin(self, *words: str) -> "subprocess.Popen[str]":
        """The command, in the background; its stderr goes to a file, so that it never waits for a reader."""
        environment = {key: value for key, value in os.environ.items() if key != "TENUTO_DB"}
        with (self.folder / "stderr").open("a") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "tenuto", *words],
                cwd=self.folder,
                env=environment | {"TERM": "dumb"},
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        self.processes.append(process)
        return process

    def do(self, *words: str, code: int = 0) -> str:
        """The command; it must end with `code`. Returns what it printed on stdout."""
        process = self.begin(*words)
        return self.end(process, code)

    def end(self, process: "subprocess.Popen[str]", code: int) -> str:
        output, _ = process.communicate(timeout=100)
        assert process.returncode == code, self.said()
        return output

    def said(self) -> str:
        return (self.folder / "stderr").read_text()

    def effects(self) -> list[str]:
        file = self.folder / "effects"
        return file.read_text().splitlines() if file.exists() else []

    def open_gate(self) -> None:
        (self.folder / "opened").touch()


@contextmanager
def shop_with(folder: Path, flows: str) -> Iterator[Shop]:
    """A shop whose file flows.py holds `flows`."""
    shop = Shop(folder, flows)
    try:
        yield shop
    finally:
        for process in shop.processes:
            process.kill()
            with process:  # waits, and closes its pipe
                pass


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
