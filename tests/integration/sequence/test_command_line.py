"""`tenuto run` takes a file with a Sequence as it takes one with a workflow class."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_tenuto_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tenuto", "run", str(ROOT / "examples" / "sequence_fan_out.py")]
    options = ["--input", "5", "--id", "p", "--db", f"sqlite:///{tmp_path}/a.db"]
    for _ in range(2):
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"name": "Ada", "orders": 2, "greeting": "Hello Ada", "visits": 7}
