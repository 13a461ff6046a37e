"""Any process may die: real engines, workers and PostgreSQL are killed, frozen, cut off and restarted under load, and
in the end all is done, and done right. `make chaos` runs this for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.plans import short_plan
from tests.chaos.run import run

SEED = 4


@pytest.mark.timeout(600)
async def test_chaos(tmp_path: Path) -> None:
    told, faults = await run(short_plan(), SEED, tmp_path)
    print(told)
    assert not faults, "\n".join(faults[:30])
