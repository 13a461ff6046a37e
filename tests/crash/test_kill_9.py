"""`kill -9` at random moments, while 200 mixed workflows run on one file: in the end all is done, and done right."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tenuto.client import Client
from tenuto.model.errors import StoreError
from tenuto.model.events import ActivityTaskScheduled, ExecutionRef
from tenuto.model.policies import ExecutionStatus
from tenuto.store.protocol import ExecutionFilter
from tenuto.store.urls import open_store
from tests.crash.mixed import WORKFLOWS, expected, name_of
from tests.support.history_checker import check_history

ROOT = Path(__file__).parents[2]
KILLS = 10
SEEDS = range(6)
#: Seconds of work until a process is killed. The earliest kills find it recovering from the one before.
SOONEST, LATEST = 0.005, 0.12


@pytest.mark.parametrize("seed", SEEDS)
async def test_kill_9(tmp_path: Path, seed: int) -> None:
    moments = random.Random(seed)
    killed = worlds = 0
    while killed < KILLS:
        # A machine so fast that all is done before it was killed often enough begins again with a new file.
        worlds += 1
        database, ledger = tmp_path / f"mixed-{worlds}.db", tmp_path / f"ledger-{worlds}"
        while killed < KILLS and kill(database, ledger, moments.uniform(SOONEST, LATEST)):
            killed += 1
        run_to_the_end(database, ledger)
        await check(database, ledger)


def start(database: Path, ledger: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.crash.mixed", str(database), str(ledger)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def kill(database: Path, ledger: Path, after: float) -> bool:
    """Let a process work for so many seconds, and kill it. False if it was done before."""
    with start(database, ledger) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n", process.stderr and process.stderr.read()
        time.sleep(after)
        process.kill()
        output, _ = process.communicate()
    return process.returncode == -9 and "done" not in output


def run_to_the_end(database: Path, ledger: Path) -> None:
    with start(database, ledger) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        output, errors = process.communicate()
        watchdog.cancel()
    assert process.returncode == 0, errors
    assert output == "working\ndone\n"


async def check(database: Path, ledger: Path) -> None:
    lines = [line.split(" ", 1) for line in ledger.read_text().splitlines()]
    effects = {tuple(line) for line in lines}
    async with await Client.connect(f"sqlite:///{database}") as client:
        for number in range(WORKFLOWS):
            result, _ = expected(number)
            assert await client.get_workflow_handle(name_of(number)).result() == result, name_of(number)
    store = open_store(f"sqlite:///{database}")
    await store.open()
    try:
        rows = await store.find(ExecutionFilter(), 10_000, 0)
        histories = await store.load([ExecutionRef(row.workflow_id, row.run_id) for row in rows], closed_history=True)
        waiting = await store.receive(range(256), (), 10)
    finally:
        await store.close()
    assert not [row for row in rows if row.status is ExecutionStatus.RUNNING]
    assert not waiting, "messages that nobody took in"
    scheduled = set()
    for row, stored in zip(rows, histories, strict=True):
        assert stored is not None
        check_history(stored.events)
        scheduled |= {
            f"{row.run_id}:{event.activity_id}" for event in stored.events if isinstance(event, ActivityTaskScheduled)
        }
    assert {key for key, _ in effects} == scheduled, "what ran is what is on record"
    by_key = Counter(what for _, what in effects)
    assert by_key == Counter(what for number in range(WORKFLOWS) for what in expected(number)[1])


def test_enough_kills() -> None:
    assert KILLS * len(SEEDS) >= 50


async def test_a_damaged_end_of_the_log_is_no_commit(tmp_path: Path) -> None:
    """A write-ahead log cut off in the midst of a commit, as a loss of power leaves it, loses no other."""
    database, ledger = tmp_path / "mixed.db", tmp_path / "ledger"
    assert kill(database, ledger, 0.1)
    log = database.with_name("mixed.db-wal")
    size = log.stat().st_size
    with log.open("r+b") as file:
        file.truncate(max(size - 100, 0))
    try:
        run_to_the_end(database, ledger)
    except StoreError as error:  # pragma: no cover
        raise AssertionError("the file can't be opened any more") from error
    async with await Client.connect(f"sqlite:///{database}") as client:
        for number in range(WORKFLOWS):
            assert await client.get_workflow_handle(name_of(number)).result() == expected(number)[0]
