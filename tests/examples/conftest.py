"""What the tests of the examples share: every store, and waiting for what is about to happen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

Until = Callable[[Callable[[], Any]], Awaitable[Any]]


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store of the test's own, of each kind."""
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'examples.db'}"


@pytest.fixture
def until() -> Until:
    async def until(condition: Callable[[], Any]) -> Any:
        """Wait until `condition()` (or what it awaits) is true, and return it."""
        async with asyncio.timeout(10):
            while True:
                found = condition()
                if asyncio.iscoroutine(found):
                    found = await found
                if found:
                    return found
                await asyncio.sleep(0.002)

    return until
