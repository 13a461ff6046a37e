"""What the documentation shows, runs.

A fenced block of Python that begins with `# file: NAME` is a complete program: it is saved under that name and run.
The other blocks of a page are run in turn, as a reader would type them into `python -m asyncio`.
"""

from __future__ import annotations

import ast
import inspect
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import examples.hello
from tenuto.client import Client
from tenuto.model.limits import Limits
from tenuto.worker import Worker

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"# file: (\S+)\n")


def blocks(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text())


def programs(page: Path) -> dict[str, str]:
    """The complete programs of a page, by name."""
    return {match[1]: block for block in blocks(page) if (match := NAME.match(block))}


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
async def test_snippets_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "docs"}
    try:
        for block in blocks(page):
            if not NAME.match(block):
                code = compile(block, page.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
                running = eval(code, namespace)
                if inspect.iscoroutine(running):
                    await running
    finally:
        if "client" in namespace:
            await namespace["client"].close()


@pytest.mark.parametrize(("name", "output"), [("pool.py", "1229\n"), ("share.py", "Hello from afar\n")])
def test_programs_run(name: str, output: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(programs(ROOT / "docs" / "how-to.md")[name])
    done = python(name, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, output, "")


def test_every_program_is_run_by_a_test() -> None:
    found = {name for page in PAGES for name in programs(page)}
    assert found == {"trip.py", "book.py", "pool.py", "share.py"}


def test_the_tutorial_survives_its_kill(tmp_path: Path) -> None:
    for name, text in programs(ROOT / "docs" / "tutorial.md").items():
        (tmp_path / name).write_text(text)
    command = ["-m", "tenuto", "run", "trip.py", "--id", "trip-2", "--input", '{"city": "Oslo", "nights": 2}']
    log = tmp_path / "log"
    with log.open("w") as out:
        first = subprocess.Popen([sys.executable, *command], cwd=tmp_path, stdout=out, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while "booking a hotel, attempt 1" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.2)  # long enough for the attempt to be on record
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert "booking a flight to Oslo" in log.read_text()

    shown = python("-m", "tenuto", "show", "trip-2", cwd=tmp_path)
    assert "RUNNING" in shown.stdout, shown.stderr

    second = python(*command, cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert "booking a hotel, attempt 2" in second.stdout
    assert "booking a flight" not in second.stdout
    assert '"2 nights in Oslo"' in second.stdout

    third = python("book.py", cwd=tmp_path)
    assert third.returncode == 0, third.stderr
    assert third.stdout.splitlines()[-1] == "['flight to Rome', '4 nights in Rome']"


def test_the_readme_shows_the_hello_example() -> None:
    shown = blocks(ROOT / "README.md")[0]
    source = inspect.getsource(examples.hello)
    assert source.endswith(shown)
    assert source.removesuffix(shown).strip().endswith('"""')  # nothing but the docstring comes before it


async def test_the_steps_of_the_readme_pass_their_test(tenuto_client: Client) -> None:
    names: dict[str, Any] = {"Worker": Worker}
    steps, test = (
        next(block for block in blocks(ROOT / "README.md") if text in block)
        for text in ("class Publish", "async def test_the_picture")
    )
    exec(steps.partition("\n\n\nasync with")[0], names)
    exec(test, names)
    await names["test_the_picture_is_published_a_week_later"](tenuto_client)


def test_the_sequence_of_the_readme_runs_in_both_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = [block for block in blocks(ROOT / "README.md") if "tenuto.sequence" in block]
    names: dict[str, Any] = {}
    exec(block, names)
    profile = {"name": "Ada", "orders": ["order-123"], "visits": 7}
    assert names["workflow"].execute(123) == profile
    assert names["workflow"].execute(123, durable="sqlite:///profiles.db", id="profile-123") == profile


def test_every_link_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *PAGES]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if target == "docs/performance.md" and not (ROOT / target).exists():
                continue  # made by `make bench`
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_anchor_exists() -> None:
    for page in [ROOT / "README.md", *PAGES]:
        for target, anchor in re.findall(r"\]\(([^)#]*)#([^)]*)\)", page.read_text()):
            there = page.parent / target if target else page
            titles = re.findall(r"^#+ (.*)$", there.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in anchors, f"{page.name}: {target}#{anchor}"


def test_the_limits_are_those_of_the_code() -> None:
    table = (ROOT / "docs" / "reference.md").read_text()
    named = set(re.findall(r"`(\w+)`", table[table.index("## Limits") : table.index("## Defaults")]))
    assert set(Limits.__struct_fields__) <= named
    limits = Limits()
    assert (limits.history_events, limits.pending_activities, limits.signals_received) == (50_000, 2_000, 10_000)
    assert (limits.payload_size, limits.history_size) == (2 * 1024**2, 50 * 1024**2)
