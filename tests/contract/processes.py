"""Python processes for tests: real ones, that fork, are killed and share a file."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]


@contextmanager
def python(source: str, *arguments: object) -> Iterator["subprocess.Popen[str]"]:
    """A Python process that runs `source`; killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", dedent(source), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: "subprocess.Popen[str]") -> str:
    """The next line that the process prints."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def finish(process: "subprocess.Popen[str]", said: str = "") -> str:
    """Tell the process `said`, and return all that it still prints; it must end well."""
    output, _ = process.communicate(said)
    assert process.returncode == 0, output
    return output
