"""Records the histories that `test_recorded_histories.py` replays:

    python -m tests.replay.record [SCENARIO ...]

Record anew only what is missing. A recording stands for executions that users have on disk: a change of the code that
can't replay it is a change that breaks them.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tenuto.client import WorkflowHistory
from tenuto.model.events import WorkflowExecutionStarted
from tests.crash.scenarios import SCENARIOS, new_world

HISTORIES = Path(__file__).parent / "histories"


async def record(names: list[str]) -> None:
    for scenario in SCENARIOS:
        if names and scenario.name not in names:
            continue
        world = new_world(scenario, f"memory://recording {scenario}")
        _, result = await world.live(scenario.script)
        runs = await world.check()
        scenario.check(world, result, runs)
        for number, events in enumerate(runs.values()):
            started = events[0]
            assert isinstance(started, WorkflowExecutionStarted)
            path = HISTORIES / f"{scenario}-{number}.json"
            path.write_text(WorkflowHistory(started.workflow_id, events).to_json() + "\n")
            print(f"{path}: {len(events)} events of {started.workflow_type}")


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1:]))
