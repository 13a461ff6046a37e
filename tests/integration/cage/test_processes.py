"""Helper processes come, go and die; scripts that are none of their business don't notice."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from tenuto.cage.cage import Cage, CageLimits, CageUnavailable, ScriptLimit

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")

SPIN = "for (;;);"
#: A cage in a process of its own, whose only helper spins in C.
ORPHAN = """
import asyncio
from tenuto.cage.cage import Cage, CageLimits

async def main():
    async with Cage(processes=1, limits=CageLimits(seconds=1)) as cage:
        await cage.javascript("1", {})
        print("ready", flush=True)
        if %r:
            await cage.jq("def f: f; f", None)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def stat(pid: int) -> list[str]:
    """What the kernel tells of a process, from its state on; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []


def helpers_of(parent: int) -> set[int]:
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    children = {pid for pid in pids if (found := stat(pid)) and int(found[1]) == parent and found[0] != "Z"}
    return {pid for pid in children if b"tenuto.cage.helper" in command_line(pid)}


def command_line(pid: int) -> bytes:
    """Empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the kernel sends no event
            await asyncio.sleep(0.01)


async def spinning() -> int:
    """The only helper of this process, once it has computed for a while."""
    await until(lambda: any(cpu_ticks(pid) >= 30 for pid in helpers_of(os.getpid())))
    (pid,) = helpers_of(os.getpid())
    return pid


def cpu_ticks(pid: int) -> int:
    found = stat(pid)
    return int(found[11]) if found else 0


async def test_script_whose_helper_is_killed_runs_again_elsewhere_once() -> None:
    async with Cage(processes=1, limits=CageLimits(seconds=30)) as cage:
        running = asyncio.create_task(cage.javascript(SPIN, {}))
        first = await spinning()
        os.kill(first, signal.SIGKILL)
        await until(lambda: first not in helpers_of(os.getpid()))
        second = await spinning()
        assert second != first
        assert not running.done()
        os.kill(second, signal.SIGKILL)
        with pytest.raises(ScriptLimit, match="brought its process down"):
            await running
        assert await cage.javascript("1 + 1", {}) == 2


async def test_helper_that_died_idle_is_replaced() -> None:
    async with Cage(processes=1) as cage:
        for _ in range(3):
            assert await cage.javascript("1 + 1", {}) == 2
            (pid,) = helpers_of(os.getpid())
            os.kill(pid, signal.SIGKILL)


async def test_script_that_spins_holds_up_nobody_on_the_other_helper() -> None:
    async with Cage(processes=2, limits=CageLimits(seconds=30)) as cage:
        spin = asyncio.create_task(cage.javascript(SPIN, {}))
        assert await asyncio.gather(*(cage.javascript("$ * 2", n) for n in range(200))) == list(range(0, 400, 2))
        assert not spin.done()
        assert len(helpers_of(os.getpid())) == 2
        spin.cancel()


async def test_script_that_nobody_waits_for_is_ended() -> None:
    async with Cage(processes=1, limits=CageLimits(seconds=60)) as cage:
        for start in (lambda: cage.javascript(SPIN, {}), lambda: cage.jq("def f: f; f", None)):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await start()
            assert await cage.javascript("1 + 1", {}) == 2


async def test_closing_ends_scripts_and_helpers() -> None:
    async with Cage(processes=1, limits=CageLimits(seconds=60)) as cage:
        running = asyncio.create_task(cage.javascript(SPIN, {}))
        waiting = asyncio.create_task(cage.javascript("1", {}))
        await spinning()
    assert not helpers_of(os.getpid())
    for task in (running, waiting):
        with pytest.raises(CageUnavailable, match="the cage is closed"):
            await task
    with pytest.raises(CageUnavailable, match="the cage is closed"):
        await cage.jq(".", 1)


async def test_no_helper_is_started_before_it_is_needed() -> None:
    async with Cage(processes=4) as cage:
        assert not helpers_of(os.getpid())
        await cage.javascript("1", {})
        await cage.jq("1", {})
        assert len(helpers_of(os.getpid())) == 1


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_helper_holds_nothing_that_its_parent_has_open(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def descriptors() -> list[str]:
        async with Cage() as cage:
            await cage.javascript("1", {})
            (helper,) = helpers_of(os.getpid())
            return sorted(os.listdir(f"/proc/{helper}/fd"))

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(descriptors()) == ["0", "1", "2"]


@pytest.mark.parametrize("executable", ["/bin/false", "/nowhere/python"])
async def test_helper_that_does_not_start_is_not_the_fault_of_the_script(
    monkeypatch: pytest.MonkeyPatch, executable: str
) -> None:
    async with Cage() as cage:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", executable)
            with pytest.raises(CageUnavailable, match=r"start"):
                await cage.javascript("1", {})
        assert await cage.javascript("1", {}) == 1


@pytest.mark.parametrize("busy", [False, True])
async def test_helpers_end_when_their_parent_dies(busy: bool) -> None:
    with subprocess.Popen([sys.executable, "-c", ORPHAN % busy], stdout=subprocess.PIPE) as parent:  # noqa: ASYNC220
        try:
            assert parent.stdout is not None
            assert await asyncio.to_thread(parent.stdout.readline) == b"ready\n"
            (helper,) = helpers_of(parent.pid)
            if busy:
                before = cpu_ticks(helper)
                await until(lambda: cpu_ticks(helper) > before + 10)
        finally:
            parent.kill()
    started = time.monotonic()
    await until(lambda: stat(helper)[:1] in ([], ["Z"]))
    assert time.monotonic() - started < 15
