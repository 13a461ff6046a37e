"""The examples of graphs, each against a server process."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.cli_processes import shop_with, until

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def serving(folder: Path, *flags: str) -> Iterator[str]:
    """The URL of a server."""
    with shop_with(folder, "") as shop:
        shop.begin("server", "--port", "0", *flags)
        until(lambda: "http://" in shop.said())
        found = re.search(r"http://\S+", shop.said())
        assert found, shop.said()
        yield found[0]


def test_a_graph_with_a_plain_worker(tmp_path: Path) -> None:
    with serving(tmp_path) as url:
        done = run("order", url)
    assert done.stdout.splitlines()[0].startswith("book COMPLETED {'receipt': '500 cents, key ")
    assert done.stdout.splitlines()[1:] == ["unicorn FAILED unicorn is sold out"]


def test_the_published_client(tmp_path: Path) -> None:
    with serving(tmp_path) as url:
        done = run("official_worker", url)
    assert done.stdout.splitlines()[-1] == "COMPLETED {'receipt': '360 cents'}"


def test_graphs_and_code(tmp_path: Path) -> None:
    with serving(tmp_path, "--code", str(ROOT / "examples" / "conductor" / "pricing.py")) as url:
        done = run("pricing", url)
    assert done.stdout == "COMPLETED 12 x book for 2700 cents, approved by Ada\n"


def run(example: str, url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"examples.conductor.{example}", url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done
