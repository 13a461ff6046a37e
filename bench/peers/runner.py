"""Run one workload on a peer, in processes of its own, and hand back what it reports."""

import json
import subprocess
import time
from pathlib import Path
from threading import Timer
from typing import Any

from bench.peers.environment import peer_python

Result = dict[str, Any]
"""One JSON object, as described in `dbos_runs.py`; durations in seconds, sizes in bytes."""

TIMEOUT_SECONDS = 1200.0
"""How long one peer process may take before it is killed and counted as failed."""

FOLDER = Path(__file__).parent


class PeerFailed(Exception):
    """A peer's process ended without a result; the message holds the end of its stderr."""


def run_dbos(workload: str, *, database: str, scale: int | None, workdir: Path, api: str = "auto") -> Result:
    """Run `w1` ... `w6` on DBOS and return its report.

    `database` is the URL of a new database. `scale` is the number of workflows or steps, None for the
    workload's own. The log goes to `workdir`. `api` narrows the measurement to one of DBOS's two
    APIs, `async` or `sync`. DBOS's environment is created first if need be (`environment.py`). Raises
    `PeerFailed` if a process fails or takes longer than `TIMEOUT_SECONDS`.
    """
    log = workdir / f"dbos-{workload}-{time.monotonic_ns()}.log"
    marker = log.with_suffix(".go")
    options = ["--database", database, "--marker", str(marker), "--api", api]
    if scale is not None:
        options += ["--scale", str(scale)]
    if workload == "w5":
        return _fill_kill_recover(options, marker, log)
    return _report("dbos", workload, options, log)


def run_procrastinate(*, database: str, scale: int, workdir: Path) -> Result:
    """Run so many jobs on procrastinate, in a new PostgreSQL database, and return its report; else as `run_dbos`."""
    log = workdir / f"procrastinate-{time.monotonic_ns()}.log"
    return _report("procrastinate", "jobs", ["--database", database, "--scale", str(scale)], log)


def run_hamilton(*, scale: int, rounds: int, workdir: Path) -> Result:
    """Execute a chain of so many functions on Hamilton, so many times, and return its report; else as `run_dbos`."""
    log = workdir / f"hamilton-{time.monotonic_ns()}.log"
    return _report("hamilton", "chain", ["--scale", str(scale), "--rounds", str(rounds)], log)


def _fill_kill_recover(options: list[str], marker: Path, log: Path) -> Result:
    """W5: the report of the recovering process, with that of the killed one under `fill`."""
    fill = _report("dbos", "w5-fill", options, log)
    marker.touch()
    options = [*options, "--started-at", repr(time.monotonic())]
    recovered = _report("dbos", "w5-recover", options, log)
    return {**recovered, "workload": "w5", "fill": fill}


def _report(peer: str, workload: str, options: list[str], log: Path) -> Result:
    """Start the peer, read its one line, and end it at once, with SIGKILL, whatever it is at.

    That is how `w5-fill` is meant to end; every other workload has nothing left to do by then.
    """
    command = [str(peer_python(peer)), str(FOLDER / f"{peer}_runs.py"), workload, *options]
    with (
        log.open("ab") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr) as process,
    ):
        assert process.stdout is not None
        deadline = Timer(TIMEOUT_SECONDS, process.kill)
        deadline.start()
        line = process.stdout.readline()
        deadline.cancel()
        process.kill()
    if not line:
        end = log.read_text(errors="replace")[-2000:]
        raise PeerFailed(
            f"{peer} {workload} ended with status {process.returncode} and without a result"
            f" (-9: killed after {TIMEOUT_SECONDS:.0f} s). The end of {log}:\n{end}"
        )
    report: Result = json.loads(line)
    return report
