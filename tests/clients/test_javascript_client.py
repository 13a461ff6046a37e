"""The published JavaScript client, from npm, runs its smoke tests against a real server.

Where node or npm is missing the tests are skipped, except in CI."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.server_process import ServerProcess

FOLDER = Path(__file__).with_name("javascript")
#: Seconds for the installation from npm, and for the smoke tests.
INSTALL_LIMIT, RUN_LIMIT = 100, 60

pytestmark = pytest.mark.timeout(INSTALL_LIMIT + RUN_LIMIT + 60)


@pytest.fixture(scope="module")
def node() -> str:
    """The node program, with the client installed as package-lock.json says."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None or npm is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI must have node and npm")
        pytest.skip("node or npm is not installed")
    lock = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
    installed = FOLDER / "node_modules" / ".installed"
    if not installed.exists() or installed.read_text() != lock:
        subprocess.run([npm, "ci", "--no-progress"], cwd=FOLDER, check=True, timeout=INSTALL_LIMIT)
        installed.write_text(lock)
    return program


def test_smoke(node: str, server: ServerProcess) -> None:
    done = subprocess.run(
        [node, "--test", "--test-reporter=spec", FOLDER / "smoke.test.mjs"],
        env=os.environ | {"CONDUCTOR_SERVER_URL": server.url},
        capture_output=True,
        text=True,
        timeout=RUN_LIMIT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
