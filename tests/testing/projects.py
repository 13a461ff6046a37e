"""Small projects of users, in which pytest is run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SETTINGS = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""
#: What such a project needs. Whatever else is installed here would only take time.
PLUGINS = ("pytest_asyncio.plugin", "pytest_timeout", "tenuto.testing.plugin")


def run_pytest(folder: Path, *options: str, plugins: tuple[str, ...] = PLUGINS) -> subprocess.CompletedProcess[str]:
    """Run pytest in a project, as its user would; without `plugins`, with all that are installed."""
    if not (folder / "pytest.ini").exists():
        (folder / "pytest.ini").write_text(SETTINGS)
    command = [sys.executable, "-m", "pytest", *(word for plugin in plugins for word in ("-p", plugin)), *options]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} if plugins else None
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False, env=environment
    )
