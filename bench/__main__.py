"""The benchmark: Tenuto beside DBOS, both on SQLite, in one run.

    python -m bench [--quick] [--only w1,w3] [--markdown FILE]

Prints a table with both absolute columns and the ratio, after the machine and both durability settings. DBOS gets a
virtual environment of its own on the first run. A full run takes about six minutes, nearly all of it DBOS's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import conductor
from bench.peers.runner import run_dbos

Result = dict[str, Any]
#: Scales of `--quick`: (ours, DBOS's).
QUICK = {"w2": (500, 100), "w3": (200, 50), "w4": (1000, 200), "w5": (200, 100), "w6": (2000, 300)}


class Line:
    """One row of the table: what is compared, how it is read out of a result, and what has to come out."""

    def __init__(
        self, workload: str, title: str, read: Callable[[Result], float], unit: str, must: str, *, more: bool = False
    ) -> None:
        self.workload = workload
        self.title = title
        self.read = read
        self.unit = unit
        self.must = must
        self.more_is_better = more


LINES = [
    Line("w1", "W1 sequential activity", lambda r: r["seconds_per_step"] * 1e3, "ms", "4x, aim 8x"),
    Line("w2", "W2 workflows of 5 activities", lambda r: r["workflows_per_second"], "1/s", "20x, aim 50x", more=True),
    Line("w2", "W2 CPU an activity", lambda r: r["cpu_seconds_per_step"] * 1e6, "us", "<= 200, aim 50 us"),
    Line("w3", "W3 one small workflow, p50", lambda r: r["p50_seconds"] * 1e3, "ms", "8x, aim 15x"),
    Line("w3", "W3 one small workflow, p99", lambda r: r["p99_seconds"] * 1e3, "ms", "<= 10 x p50, aim 6 x"),
    Line("w4", "W4 1,000 parallel activities", lambda r: r["seconds"], "s", "25x, aim 60x"),
    Line("w5", "W5 recovery of 1,000 workflows", lambda r: r["seconds"], "s", "10x and <= 2 s, aim 20x, 1 s"),
    Line("w6", "W6 memory of a sleeping workflow", lambda r: r["bytes_per_workflow"] / 1024, "KB", "<= 4 KB"),
]


def ours(workload: str, workdir: Path, scale: int | None = None, synchronous: str = "FULL") -> Result:
    """Run one workload on Tenuto in a process of its own."""
    db = workdir / f"tenuto-{workload}-{synchronous}.db"
    common = ["--db", str(db), "--synchronous", synchronous] + (["--scale", str(scale)] if scale else [])
    if workload != "w5":
        return _report([workload, *common])
    _report(["w5-fill", *common])
    db.with_name(db.name + ".go").touch()
    return _report(["w5-recover", *common, "--started-at", repr(time.monotonic())])


def _report(arguments: list[str]) -> Result:
    """The one line that the process prints; then it is killed, which is what `w5-fill` is for."""
    command = [sys.executable, "-m", "bench.tenuto_sqlite", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.kill()
    if not line:
        raise RuntimeError(f"{' '.join(command)} ended without a result")
    result: Result = json.loads(line)
    return result


def machine() -> str:
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"{os.cpu_count()} x {model}, {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version} (ours)"
    )


def compare(lines: list[Line], workdir: Path, quick: bool) -> list[str]:
    """The table's rows, each workload run once on either side."""
    rows, results = [], {}
    for line in lines:
        if line.workload not in results:
            scales = QUICK.get(line.workload, (None, None)) if quick else (None, None)
            print(f"{line.workload}: Tenuto ...", file=sys.stderr, flush=True)
            our = ours(line.workload, workdir, scales[0])
            print(f"{line.workload}: DBOS ...", file=sys.stderr, flush=True)
            results[line.workload] = (our, run_dbos(line.workload, scale=scales[1], workdir=workdir))
        our, peer = results[line.workload]
        mine, theirs = line.read(our), line.read(peer)
        ratio = mine / theirs if line.more_is_better else theirs / mine
        settings = f"{peer['journal_mode']}/{peer['synchronous']}, {peer['api']}"
        figures = f"{mine:.4g} {line.unit} | {theirs:.4g} {line.unit} | {ratio:.1f}x"
        rows.append(f"| {line.title} | {figures} | {line.must} | {settings} |")
    return rows


def own_lines(workdir: Path, quick: bool) -> list[str]:
    """What has no counterpart: how the engine's own figures relate to each other."""
    count = 500 if quick else None
    full, normal = ours("mixed", workdir, count), ours("mixed", workdir, count, "NORMAL")
    share = full["workflows_per_second"] / normal["workflows_per_second"]
    many = ours("long", workdir, 2000 if quick else None)
    parked = ours("parked", workdir, 5000 if quick else None)
    once = ours("w1", workdir, None, "NORMAL")
    return [
        f"- Steps of 0-5 ms, 200 workflows in flight: {full['workflows_per_second']:.0f} workflows/s with FULL, "
        f"{normal['workflows_per_second']:.0f} with NORMAL: {share:.0%} (must 60 %, aim 75 %).",
        f"- A sequential activity with NORMAL: {once['seconds_per_step'] * 1e3:.3f} ms.",
        f"- CPU of a step in a workflow of {many['steps']:,} steps against one of 100: {many['ratio']:.2f}x.",
        f"- W3's p50 beside {parked['parked']:,} sleeping workflows against without: {parked['ratio']:.2f}x.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller scales, for a first look")
    parser.add_argument("--only", help="workloads to compare, such as w1,w3,server")
    parser.add_argument("--markdown", type=Path, help="write the tables to this file too")
    options = parser.parse_args()
    chosen = [line for line in LINES if options.only is None or line.workload in options.only.split(",")]
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        workdir = Path(folder)
        text = [
            f"Machine: {machine()}; {datetime.now(UTC):%Y-%m-%d}{'; quick' if options.quick else ''}.",
            "Tenuto: journal WAL, synchronous FULL. DBOS 3.4: as shipped, its settings in the last column.",
            "",
            "| | Tenuto | DBOS | ratio | goal | DBOS's journal/synchronous, API |",
            "|---|--:|--:|--:|---|---|",
            *compare(chosen, workdir, options.quick),
        ]
        if options.only is None:
            text += ["", *own_lines(workdir, options.quick)]
        if options.only is None or "server" in options.only.split(","):
            text += ["", *conductor.lines(workdir, options.quick)]
    print("\n".join(text))
    if options.markdown:
        options.markdown.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
