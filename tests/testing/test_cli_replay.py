"""`tenuto replay`: what it says, and its exit codes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CODE = """
import asyncio
from tenuto import activity, workflow

@activity.defn
async def step(name: str) -> str:
    return name

@workflow.defn
class Trip:
    @workflow.run
    async def run(self, name: str) -> str:
        await step(name)
        await asyncio.sleep(3600)
        return name
"""
CHANGED = CODE.replace("        await step(name)\n", "        await asyncio.sleep(1)\n        await step(name)\n")
OTHER = CODE.replace("class Trip", "class Voyage")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with an open and a closed run, its histories in files, and three versions of the code."""
    folder = tmp_path_factory.mktemp("replay")
    for name, text in (("trip.py", CODE), ("changed.py", CHANGED), ("other.py", OTHER)):
        (folder / name).write_text(text)
    asyncio.run(record(folder))
    return folder


async def record(folder: Path) -> None:
    from tenuto.testing import WorkflowEnvironment
    from tenuto.worker import Worker

    code: dict[str, Any] = {"__name__": "trip"}
    exec(CODE, code)
    (folder / "histories").mkdir()
    async with (
        WorkflowEnvironment.start_time_skipping(folder / "trips.db") as env,
        Worker(env.client, workflows=[code["Trip"]], activities=[code["step"]]),
    ):
        done = await env.client.start_workflow("Trip", "Oslo", id="done")
        await done.result()
        asleep = await env.client.start_workflow("Trip", "Rome", id="asleep")
        await env.sleep(60)
        for handle in (done, asleep):
            text = (await handle.fetch_history()).to_json()
            (folder / "histories" / f"{handle.id}.json").write_text(text)


def tenuto(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tenuto", "replay", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=folder)


def test_histories_that_fit(folder: Path) -> None:
    done = tenuto(folder, "trip.py", "--history", "histories")
    assert done.returncode == 0, done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [["ok", "asleep"], ["ok", "done"]]
    assert done.stderr == "2 replayed, 0 can't be, 0 skipped\n"


def test_histories_that_do_not_fit_are_named_with_the_difference(folder: Path) -> None:
    done = tenuto(folder, "changed.py", "--history", "histories/done.json", "--history", "histories/asleep.json")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("failed   done  Trip, ")
    assert "recorded event 5 is ActivityTaskScheduled" in lines[1]
    assert "changed.py:" in lines[1]
    assert done.stderr.endswith("0 replayed, 2 can't be, 0 skipped\n")


def test_as_json(folder: Path) -> None:
    done = tenuto(folder, "changed.py", "--history", "histories/done.json", "--json")
    assert done.returncode == 1
    (found,) = json.loads(done.stdout)
    assert (found["workflow_id"], found["workflow_type"], found["outcome"]) == ("done", "Trip", "failed")
    assert "ActivityTaskScheduled" in found["reason"]


def test_the_open_runs_of_a_store(folder: Path) -> None:
    done = tenuto(folder, "trip.py", "--store", "sqlite:///trips.db")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ok       asleep  Trip, ")
    assert len(done.stdout.splitlines()) == 1
    every = tenuto(folder, "changed.py", "--store", "sqlite:///trips.db", "--query", "WorkflowType = 'Trip'")
    assert every.returncode == 1
    assert "0 replayed, 2 can't be" in every.stderr


def test_what_there_is_no_code_for(folder: Path) -> None:
    of_store = tenuto(folder, "other.py", "--store", "sqlite:///trips.db")
    assert of_store.returncode == 3
    assert of_store.stdout.startswith("skipped  asleep")
    assert "nothing to replay" in of_store.stderr
    of_file = tenuto(folder, "other.py", "--history", "histories")
    assert of_file.returncode == 1
    assert "no code for workflow type 'Trip'; there is: Voyage" in of_file.stdout


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["trip.py"], "say what to replay"),
        (["trip.py", "--history", "nowhere"], "no file or folder nowhere"),
        (["nothing.py", "--history", "histories"], "there is no file nothing.py"),
        (["trip.py", "--store", "sqlite:///trips.db", "--query", "Colour = 'red'"], "Colour"),
    ],
)
def test_bad_usage_is_one_line(folder: Path, words: list[str], why: str) -> None:
    done = tenuto(folder, *words)
    assert done.returncode == 2
    assert why in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_file_that_is_no_history_is_named(folder: Path) -> None:
    done = tenuto(folder, "trip.py", "--history", "trip.py")
    assert done.returncode == 1
    assert "trip.py is not a history" in done.stdout
