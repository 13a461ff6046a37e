"""What must hold of durable code, of the store and of the processes in the end."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tenuto.client import Client
from tenuto.model import events as ev
from tenuto.model.events import ExecutionRef
from tenuto.model.policies import ExecutionStatus
from tenuto.store.protocol import ExecutionFilter, ExecutionRow, StoredExecution
from tests.chaos.durable_code import LOST, SIGNALS, expected, kind_of, name_of
from tests.chaos.processes import Member
from tests.chaos.witness import Witness
from tests.support.history_checker import faults_of

#: Activities that a run left over when it was over don't exist: every one that was scheduled has its end.
ENDED = (ev.ActivityTaskCompleted, ev.ActivityTaskFailed, ev.ActivityTaskTimedOut)
CHUNK = 200


class Ledger:
    """What activities did: attempts by idempotency key, and what each was."""

    def __init__(self, path: Path) -> None:
        self.attempts: Counter[str] = Counter()
        self.done: dict[str, str] = {}
        for line in path.read_text().splitlines():
            _, _, key, _, what = line.split(" ", 4)
            self.attempts[key] += 1
            self.done[key] = what


def results(found: dict[int, Any], count: int) -> list[str]:
    """Every workflow came to its right end."""
    faults = []
    for number in range(count):
        wanted, _ = expected(number)
        result = found.get(number, "nothing")
        if kind_of(number) == "once" and isinstance(result, list):
            right = len(result) == len(wanted) and all(a in (b, LOST) for a, b in zip(result, wanted, strict=True))
        else:
            right = result == wanted
        if not right:
            faults.append(f"{name_of(number)}: {result} instead of {wanted}")
    return faults


async def stored(client: Client) -> list[StoredExecution]:
    """All runs with their histories."""
    store = client.gateway.store
    rows: list[ExecutionRow] = []
    while page := await store.find(ExecutionFilter(), 1000, len(rows)):
        rows += page
    runs: list[StoredExecution] = []
    for first in range(0, len(rows), CHUNK):
        refs = [ExecutionRef(row.workflow_id, row.run_id) for row in rows[first : first + CHUNK]]
        runs += [run for run in await store.load(refs, closed_history=True) if run is not None]
    assert len(runs) == len(rows)
    return runs


def histories(runs: Sequence[StoredExecution]) -> list[str]:
    """Every run is over, and its history well-formed: contiguous, each thing begun and ended once, signals in order."""
    faults = []
    for run in runs:
        name = f"{run.row.workflow_id} (run {run.row.run_id})"
        if run.row.status is ExecutionStatus.RUNNING:
            faults.append(f"{name} is still running")
        if not run.graph_events:
            faults += [f"{name}: {fault}" for fault in faults_of(run.events)]
            faults += _signals(name, run)
    return faults


def _signals(name: str, run: StoredExecution) -> list[str]:
    if not run.row.workflow_id.startswith("listener-"):
        return []
    signals = [event.signal_name for event in run.events if isinstance(event, ev.WorkflowExecutionSignaled)]
    return [] if signals == ["hear"] * SIGNALS + ["close"] else [f"{name}: the signals are {signals}"]


def activities(runs: Sequence[StoredExecution], ledger: Ledger, count: int) -> list[str]:
    """What is on record has happened, what has happened is on record, and what may happen once has."""
    scheduled: dict[str, ev.ActivityTaskScheduled] = {}
    completed: set[str] = set()
    faults = []
    for run in runs:
        keys: dict[int, str] = {}
        for event in run.events:
            if isinstance(event, ev.ActivityTaskScheduled):
                keys[event.event_id] = f"{run.row.run_id}:{event.activity_id}"
                scheduled[keys[event.event_id]] = event
            elif isinstance(event, ENDED):
                key = keys.pop(event.scheduled_event_id)
                if isinstance(event, ev.ActivityTaskCompleted):
                    completed.add(key)
        faults += [f"{run.row.workflow_id}: {key} has no end" for key in keys.values()]
    faults += [f"{key} is on record as completed but never ran" for key in completed if not ledger.attempts[key]]
    faults += [f"{key} ({ledger.done[key]}) ran but was never scheduled" for key in ledger.done if key not in scheduled]
    faults += [
        f"{key} ({ledger.done[key]}) ran {ledger.attempts[key]} times, but may run only once"
        for key, event in scheduled.items()
        if event.activity_type == "work_once" and ledger.attempts[key] > 1
    ]
    return faults + _twice(ledger, count)


def _twice(ledger: Ledger, count: int) -> list[str]:
    """Each thing was done by one activity, and nothing is missing, but for what may get lost."""
    keys: dict[str, set[str]] = defaultdict(set)
    for key, what in ledger.done.items():
        keys[what].add(key)
    wanted = {what for number in range(count) for what in expected(number)[1]}
    faults = [f"{what} was scheduled {len(found)} times" for what, found in keys.items() if len(found) > 1]
    missing = [what for what in wanted - keys.keys() if not what.startswith("once-")]
    faults += [f"{what} was never done" for what in missing]
    return faults + [f"{what} was done but not asked for" for what in keys.keys() - wanted]


async def leftovers(witness: Witness) -> list[str]:
    """Nothing waits any more for anybody."""
    left = [row for table in ("inbox", "tasks", "notes", "executions") for row in await witness.rows(table)]
    return [f"{len(left)} rows are left: {left[:5]}"] if left else []


async def ownership(witness: Witness, engines: Sequence[Member]) -> list[str]:
    """The partitions are spread evenly over the engines that live."""
    owners = await witness.owners()
    shares = [owners.get(await witness.member(engine.pid), 0) for engine in engines if engine.alive()]
    even = sum(shares) == 256 and max(shares) - min(shares) <= len(shares)
    return [] if even else [f"the partitions are not spread evenly: {owners}"]


def logs(members: Sequence[Member]) -> list[str]:
    """Nothing was met that nobody had foreseen."""
    return [
        f"{member.name} logged a traceback:\n{_first_traceback(member.said())}"
        for member in members
        if "Traceback" in member.said()
    ]


def _first_traceback(said: str) -> str:
    lines = said.splitlines()
    first = next(number for number, line in enumerate(lines) if "Traceback" in line)
    return "\n".join(lines[max(first - 2, 0) : first + 40])


def finished_at(runs: Sequence[StoredExecution]) -> list[float]:
    """When runs came to their ends."""
    return [
        run.row.close_time / 1e9
        for run in runs
        if run.row.close_time is not None and run.row.close_time < time.time_ns()
    ]
