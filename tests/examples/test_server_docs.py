"""What docs/server.md shows, runs; what it says of the settings is so.

Its blocks of bash are run as one script against a server of the test's own; a comment `# -> text` says what the lines
before it, back to the last such comment or the beginning of the block, print."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import msgspec
import pytest

from examples.conductor import official_worker
from tenuto.server.settings import Settings
from tests.integration.cli_processes import shop_with, until

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "server.md"
BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page uses curl")
@pytest.mark.parametrize("page", [PAGE, ROOT / "README.md"], ids=lambda page: page.name)
def test_commands_run(page: Path, tmp_path: Path) -> None:
    (script,) = ["".join(BLOCK.findall(page.read_text()))]
    with shop_with(tmp_path, "") as shop:
        shop.begin("server", "--port", "0")
        until(lambda: "http://" in shop.said())
        address = re.search(r"http://(\S+)", shop.said())
        assert address, shop.said()
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script.replace("localhost:8080", address[1])],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    printed = done.stdout
    for text in re.findall(r"^# -> (.*)$", script, re.MULTILINE):
        assert text in printed
        printed = printed[printed.index(text) :]


def test_the_readme_shows_the_official_worker() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (shown,) = [block for block in blocks if "@worker_task" in block]
    assert shown.strip() in inspect.getsource(official_worker)


def test_the_settings_are_those_of_the_code() -> None:
    text = PAGE.read_text()
    table = settings_table()
    assert table in text, f"put this into {PAGE.name}:\n{table}"


def settings_table() -> str:
    """The settings as the page shows them, from the classes and their docstrings."""
    return "\n".join(["| setting | default | |", "|---|---|---|", *rows(Settings, "")]) + "\n"


def rows(kind: type[msgspec.Struct], prefix: str) -> Iterator[str]:
    meanings, hints = docstrings(kind), get_type_hints(kind)
    for field in msgspec.structs.fields(kind):
        default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()  # type: ignore[operator]
        if isinstance(default, msgspec.Struct):
            yield from rows(type(default), f"{prefix}{field.name}.")
            continue
        shown = ", ".join(default) if isinstance(default, list | tuple) else default
        shown = "" if shown in ("", None) else f"`{str(shown).lower() if hints[field.name] is bool else shown}`"
        meaning = meanings[field.name] or (inspect.getdoc(kind) if prefix else "")
        yield f"| `{prefix}{field.name}` | {shown} | {meaning} |"


def docstrings(kind: type[msgspec.Struct]) -> dict[str, str]:
    """What is said of each attribute of a class, by name."""
    tree = ast.parse(inspect.getsource(sys.modules[kind.__module__]))
    (body,) = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == kind.__name__]
    found: dict[str, str] = {}
    for here, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(here, ast.AnnAssign) and isinstance(here.target, ast.Name):
            said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and after.value.value
            found[here.target.id] = " ".join(str(said or "").split())
    return found
