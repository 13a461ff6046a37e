"""The virtual environments that peers run in, apart from ours: their pins are not our pins."""

import shutil
import subprocess
import sys
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".bench-venv"
"""Where the environments are kept between runs; not under version control."""


def peer_python(peer: str) -> Path:
    """The python of `peer`'s environment, which is first created if need be.

    What it holds is pinned in `requirements-<peer>.txt`. It is made once, which takes some tens of
    seconds and a package index, and again when the pins or our own python change; a failed
    installation is never taken for a finished one. Raises `CalledProcessError` if the installation
    fails; what pip says about it is on stderr.
    """
    requirements = Path(__file__).with_name(f"requirements-{peer}.txt")
    home = CACHE / peer
    python = home / "bin" / "python"
    stamp = home / "pins.txt"
    pins = f"# python {sys.version}\n{requirements.read_text()}"
    if not (stamp.exists() and stamp.read_text() == pins):
        _create(home, python, requirements)
        stamp.write_text(pins)
    return python


def _create(home: Path, python: Path, requirements: Path) -> None:
    """A new environment in `home`, in place of whatever was there."""
    shutil.rmtree(home, ignore_errors=True)
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    _run([sys.executable, "-m", "venv", str(home)])
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "-r", str(requirements)])


def _run(command: list[str]) -> None:
    """Run a command whose output, if any, belongs on our stderr: stdout is for results."""
    subprocess.run(command, check=True, stdout=sys.stderr)
