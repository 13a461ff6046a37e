"""The pytest plugin, in the projects of users."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.testing.projects import run_pytest

FLOWS = """
import asyncio, itertools
from tenuto import activity, workflow

calls = itertools.count()

@activity.defn
async def charge(amount: int) -> int:
    assert amount < 100, "too much"
    return amount

@workflow.defn
class Checkout:
    @workflow.run
    async def run(self, amount: int) -> int:
        await asyncio.sleep(86400)
        assert amount != 13, "unlucky"
        return await charge(amount)

@workflow.defn
class Fickle:
    @workflow.run
    async def run(self) -> None:
        if next(calls) % 2 == 0:
            await asyncio.sleep(1)
        await charge(1)
"""
HEAD = """
import asyncio
import pytest
from tenuto.worker import Worker
from flows import Checkout, Fickle, charge

@pytest.fixture
def worker(tenuto_client):
    return Worker(tenuto_client, workflows=[Checkout, Fickle], activities=[charge])
"""


def project(folder: Path, tests: str) -> Path:
    (folder / "flows.py").write_text(FLOWS)
    (folder / "test_flows.py").write_text(HEAD + tests)
    return folder


def test_fixtures(tmp_path: Path) -> None:
    project(
        tmp_path,
        """
async def test_checkout(tenuto_env, tenuto_client, worker):
    assert tenuto_client is tenuto_env.client
    async with worker:
        assert await tenuto_client.execute_workflow(Checkout.run, 7, id="c") == 7

async def test_each_has_its_own(tenuto_client, worker):
    async with worker:
        assert await tenuto_client.execute_workflow(Checkout.run, 8, id="c") == 8
""",
    )
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_fixtures_in_strict_mode(tmp_path: Path) -> None:
    project(
        tmp_path,
        """
@pytest.mark.asyncio
async def test_checkout(tenuto_client, worker):
    async with worker:
        assert await tenuto_client.execute_workflow(Checkout.run, 7, id="c") == 7
""",
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    done = run_pytest(tmp_path)
    assert "1 passed" in done.stdout, done.stdout


def test_fixtures_with_anyio(tmp_path: Path) -> None:
    project(
        tmp_path,
        """
@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
@pytest.mark.parametrize("amount", [7, 8])
async def test_checkout(tenuto_client, worker, amount):
    async with worker:
        assert await tenuto_client.execute_workflow(Checkout.run, 7, id="c") == amount
""",
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = run_pytest(tmp_path, plugins=("anyio.pytest_plugin", "tenuto.testing.plugin"))
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "✓ c  Checkout  COMPLETED" in done.stdout


def test_assertions_fail_the_test_with_their_own_traceback(tmp_path: Path) -> None:
    project(
        tmp_path,
        """
async def test_in_the_workflow(tenuto_client, worker):
    async with worker:
        await tenuto_client.execute_workflow(Checkout.run, 13, id="in-the-workflow")

async def test_in_the_activity(tenuto_client, worker):
    async with worker:
        await tenuto_client.execute_workflow(Checkout.run, 100, id="in-the-activity")

async def test_nobody_waits_for_the_workflow(tenuto_env, tenuto_client, worker):
    async with worker:
        await tenuto_client.start_workflow(Checkout.run, 13, id="alone")
        await tenuto_env.sleep(90000)
        await asyncio.sleep(60)
""",
    )
    done = run_pytest(tmp_path)
    assert "3 failed" in done.stdout, done.stdout
    assert "AssertionError: unlucky" in done.stdout
    assert '>       assert amount != 13, "unlucky"' in done.stdout
    assert '>       assert amount < 100, "too much"' in done.stdout
    assert re.search(r"flows.py:\d+: AssertionError", done.stdout)
    assert "An assertion failed in activity 'charge' of workflow 'in-the-activity', attempt 1." in done.stdout


def test_a_failing_test_tells_what_the_workflows_did(tmp_path: Path) -> None:
    project(
        tmp_path,
        """
async def test_with_the_fixture(tenuto_client, worker):
    async with worker:
        assert await tenuto_client.execute_workflow(Checkout.run, 7, id="order-7") == 8

async def test_with_its_own_environment():
    from tenuto.testing import WorkflowEnvironment
    async with (
        WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, workflows=[Checkout], activities=[charge]),
    ):
        assert await env.client.execute_workflow(Checkout.run, 9, id="order-9") == 8
""",
    )
    done = run_pytest(tmp_path)
    assert "2 failed" in done.stdout, done.stdout
    for name in ("order-7", "order-9"):
        line = next(line for line in done.stdout.splitlines() if f"✓ {name}  Checkout  COMPLETED" in line)
        assert "1 d" in line
    assert "timer    sleep" in done.stdout
    assert "activity charge" in done.stdout


def test_always_replay_finds_what_is_not_deterministic(tmp_path: Path) -> None:
    project(
        tmp_path,
        """
async def test_fickle(tenuto_client, worker):
    async with worker:
        await tenuto_client.execute_workflow(Fickle.run, id="f")

async def test_checkout(tenuto_client, worker):
    async with worker:
        await tenuto_client.execute_workflow(Checkout.run, 7, id="c")
""",
    )
    assert "2 passed" in run_pytest(tmp_path).stdout
    done = run_pytest(tmp_path, "--tenuto-always-replay")
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "NondeterminismError" in done.stdout


RECORD = """
async def test_record(tenuto_client, worker, pytestconfig):
    async with worker:
        handle = await tenuto_client.start_workflow(Checkout.run, 7, id="c")
        await handle.result()
        folder = pytestconfig.rootpath / "histories"
        folder.mkdir(exist_ok=True)
        (folder / "c.json").write_text((await handle.fetch_history()).to_json())
"""


def test_recorded_histories_are_tests(tmp_path: Path) -> None:
    project(tmp_path, RECORD)
    assert "1 passed" in run_pytest(tmp_path).stdout
    (tmp_path / "test_flows.py").write_text("def test_nothing():\n    pass\n")

    done = run_pytest(tmp_path, "-v", "--tenuto-replay", "histories", "--tenuto-workflows", "flows")
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert "c.json" in done.stdout

    (tmp_path / "flows.py").write_text(FLOWS.replace("        await asyncio.sleep(86400)\n", ""))
    (tmp_path / "pytest.ini").write_text("[pytest]\ntenuto_workflows = flows:Checkout\n")
    changed = run_pytest(tmp_path, "--tenuto-replay", "histories")
    assert "1 failed, 1 passed" in changed.stdout, changed.stdout
    assert "c.json: recorded event 5 is TimerStarted" in changed.stdout


def test_what_the_replay_needs(tmp_path: Path) -> None:
    project(tmp_path, "")
    (tmp_path / "histories").mkdir()
    for options, why in (
        (["--tenuto-replay", "nowhere"], "there is no file or folder"),
        (["--tenuto-replay", "histories"], "there are no histories"),
        (["--tenuto-replay", "flows.py"], "needs the workflows"),
        (["--tenuto-replay", "flows.py", "--tenuto-workflows", "flows:Nothing"], "flows has no workflow Nothing"),
        (["--tenuto-replay", "flows.py", "--tenuto-workflows", "nothing"], "No module named 'nothing'"),
    ):
        done = run_pytest(tmp_path, *options)
        assert done.returncode == 4, done.stdout
        assert why in done.stderr


def test_it_loads_nothing_until_it_is_used() -> None:
    code = "import sys, tenuto.testing.plugin; print([name for name in sys.modules if name.startswith('tenuto.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "['tenuto.testing', 'tenuto.testing.plugin']\n"


@pytest.mark.skipif(
    not entry_points(group="pytest11", name="tenuto"), reason="the installation is older than the plugin"
)
def test_it_is_there_where_tenuto_is_installed(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "--fixtures", plugins=())
    assert "tenuto_env -- " in done.stdout


def test_it_is_declared() -> None:
    settings = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert settings["project"]["entry-points"]["pytest11"] == {"tenuto": "tenuto.testing.plugin"}
    assert not any(dependency.startswith("pytest") for dependency in settings["project"]["dependencies"])
