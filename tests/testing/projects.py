"""Small projects of users, in which pytest is run."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

SETTINGS = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


def run_pytest(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a project, as its user would."""
    if not (folder / "pytest.ini").exists():
        (folder / "pytest.ini").write_text(SETTINGS)
    installed = any(point.name == "tenuto" for point in entry_points(group="pytest11"))
    plugin = [] if installed else ["-p", "tenuto.testing.plugin"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        *plugin,
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--timeout=30",
        *options,
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
