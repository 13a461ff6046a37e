"""The page on testing is a test file, as it says."""

from __future__ import annotations

import re
from pathlib import Path

from tests.testing.projects import run_pytest

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_snippet_runs(tmp_path: Path) -> None:
    blocks = BLOCK.findall(PAGE.read_text())
    code = "\n\n".join(blocks)
    (tmp_path / "test_page.py").write_text(code)
    tests = len(re.findall(r"^async def test_", code, re.MULTILINE))
    done = run_pytest(tmp_path)
    assert f"{tests + 1} passed" in done.stdout, done.stdout  # one has two cases
    assert tests == sum("async def test_" in line for line in code.splitlines())
    again = run_pytest(tmp_path, "--tenuto-always-replay")
    assert f"{tests + 1} passed" in again.stdout, again.stdout
