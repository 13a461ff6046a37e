"""`make demo` shows what it promises, and says so with its exit code."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_demo_keeps_its_promises() -> None:
    done = subprocess.run([sys.executable, "-m", "examples.demo"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "kill -9" in done.stdout
    assert done.stdout.count("replayed") == 3  # two steps in the table, and the promise
    assert "packing begins (attempt 2)" in done.stdout
    assert done.stdout.count("kept") == 7
    assert "BROKEN" not in done.stdout
    assert "All as promised" in done.stdout


def test_a_terminal_without_unicode_will_do() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.demo"],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
