"""What the tests of durable sequences share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store of the test's own that several processes can open, one after the other."""
    return f"sqlite:///{tmp_path / 'sequences.db'}"
